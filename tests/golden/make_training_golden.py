# SPDX-License-Identifier: Apache-2.0
"""Golden losses of training in PyTorch, float64: training.safetensors, which training_test.cc reads.

    python3 tests/golden/make_training_golden.py [FOLDER]

Made with PyTorch 2.15.0 and NumPy 2.4.6 on Python 3.11; another version may differ in the last bits. Seeded: the
same bytes each time. Inputs and first weights are float32 numbers, so that float32 and float64 train from the same.

An LSTM, GRU or RNN and a Linear learn to give `target` [B, T, F] from `x` [B, T, I]: mean squared error, batches of
4 of the 8 rows in order, 20 epochs. `KIND.NAME` are the first weights; `KIND.OPTIMIZER.losses` [20] the mean of an
epoch's two losses, as they were trained.
"""

import pathlib
import sys

import torch
from torch import nn

import safetensors_file

FOLDER = pathlib.Path(__file__).resolve().parent
B, T, I, H, F, EPOCHS, BATCH = 8, 6, 3, 5, 2, 20, 4
OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.005),
}
tensors, metadata = {}, {}
torch.manual_seed(11)
x = (torch.rand(B, T, I) * 2 - 1).double()
target = torch.tanh(x.cumsum(1)[..., :F] * 2 - x.roll(1, 1)[..., :F]).float().double()
tensors |= {"x": x.numpy(), "target": target.numpy()}
for kind in ("LSTM", "GRU", "RNN"):
    first = nn.ModuleDict({"rnn": getattr(nn, kind)(I, H, batch_first=True), "head": nn.Linear(H, F)}).state_dict()
    for name, value in first.items():
        tensors[f"{kind}.{name}"] = value.double().numpy()
    for optimizer, make in OPTIMIZERS.items():
        model = nn.ModuleDict({"rnn": getattr(nn, kind)(I, H, batch_first=True), "head": nn.Linear(H, F)}).double()
        model.load_state_dict(first)
        step = make(model.parameters())
        losses = []
        for _ in range(EPOCHS):
            total = 0.0
            for begin in range(0, B, BATCH):
                rows = slice(begin, begin + BATCH)
                loss = nn.functional.mse_loss(model["head"](model["rnn"](x[rows])[0]), target[rows])
                step.zero_grad()
                loss.backward()
                step.step()
                total += loss.item()
            losses.append(total / (B // BATCH))
        assert losses[-1] < 0.8 * losses[0], (kind, optimizer, losses)
        tensors[f"{kind}.{optimizer}.losses"] = torch.tensor(losses, dtype=torch.float64).numpy()
        metadata[f"{kind}.{optimizer}"] = f"kind={kind} optimizer={optimizer}"

folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
safetensors_file.save(folder / "training.safetensors", tensors, metadata)
