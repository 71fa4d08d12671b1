# SPDX-License-Identifier: Apache-2.0
"""Golden losses of truncated back-propagation in PyTorch, float64: truncated.safetensors, which truncated_test.cc reads.

    python3 tests/golden/make_truncated_golden.py [FOLDER]

Made with PyTorch 2.15.0 and NumPy 2.4.6 on Python 3.11; another version may differ in the last bits. Seeded: the
same bytes each time. Inputs and first weights are float32 numbers, so that float32 and float64 train from the same.

Two layers of LSTM or GRU and a Linear learn to give `target` [B, T, F] from `x` [B, T, I] by mean squared error and
Adam, in batches of 3 of the 6 rows in order and windows of 3 of the 7 steps, 8 epochs: the state goes from window to
window detached, each window is a step of the optimizer. With lengths, rows that have ended stay out of later
windows; a window in which no row has a step is no step. `KIND.NAME` are the first weights, `CASE.losses` those of
every window, in order, `CASE.epochs` the mean of an epoch's windows.
"""

import pathlib
import sys

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import safetensors_file

FOLDER = pathlib.Path(__file__).resolve().parent
B, T, I, H, F, L, EPOCHS, BATCH, WINDOW = 6, 7, 3, 5, 2, 2, 8, 3, 3
LENGTHS = {"whole": [T] * B, "ragged": [2, 7, 4, 3, 1, 5]}  # the second batch of the ragged case ends a window early


def rows_of(state, rows):
    """The rows of h, or of (h, c)."""
    return tuple(s[:, rows] for s in state) if isinstance(state, tuple) else state[:, rows]


def carry(old, new, rows):
    """`old` with the `rows` of `new`, without its gradients."""
    if isinstance(old, tuple):
        return tuple(carry(a, b, rows) for a, b in zip(old, new))
    old = old.clone()
    old[:, rows] = new.detach()
    return old


def train(kind, first, lengths, x, target):
    model = nn.ModuleDict({"rnn": getattr(nn, kind)(I, H, L, batch_first=True), "head": nn.Linear(H, F)}).double()
    model.load_state_dict(first)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses, epochs = [], []
    for _ in range(EPOCHS):
        of_epoch = []
        for begin in range(0, B, BATCH):
            zeros = torch.zeros(L, BATCH, H, dtype=torch.float64)
            state = (zeros, zeros) if kind == "LSTM" else zeros
            for at in range(0, T, WINDOW):
                steps = [min(max(length - at, 0), WINDOW) for length in lengths[begin:begin + BATCH]]
                rows = [row for row in range(BATCH) if steps[row] > 0]
                if not rows:
                    continue
                steps = torch.tensor([steps[row] for row in rows])
                places = [begin + row for row in rows]
                packed = pack_padded_sequence(x[places, at:at + WINDOW], steps, batch_first=True, enforce_sorted=False)
                y, new = model["rnn"](packed, rows_of(state, rows))
                state = carry(state, new, rows)
                y = model["head"](pad_packed_sequence(y, batch_first=True)[0])
                counts = torch.arange(y.shape[1]) < steps[:, None]
                loss = nn.functional.mse_loss(y[counts], target[places, at:at + y.shape[1]][counts])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                of_epoch.append(loss.item())
        losses += of_epoch
        epochs.append(sum(of_epoch) / len(of_epoch))
    assert epochs[-1] < 0.8 * epochs[0], (kind, epochs)
    return losses, epochs


def main():
    tensors, metadata = {}, {}
    torch.manual_seed(12)
    x = (torch.rand(B, T, I) * 2 - 1).double()
    target = torch.tanh(x.cumsum(1)[..., :F] * 2 - x.roll(1, 1)[..., :F]).float().double()
    tensors |= {"x": x.numpy(), "target": target.numpy()}
    for kind in ("LSTM", "GRU"):
        rnn = getattr(nn, kind)(I, H, L, batch_first=True)
        first = nn.ModuleDict({"rnn": rnn, "head": nn.Linear(H, F)}).state_dict()
        for name, value in first.items():
            tensors[f"{kind}.{name}"] = value.double().numpy()
        for case, lengths in LENGTHS.items():
            losses, epochs = train(kind, first, lengths, x, target)
            tensors[f"{kind}.{case}.losses"] = torch.tensor(losses, dtype=torch.float64).numpy()
            tensors[f"{kind}.{case}.epochs"] = torch.tensor(epochs, dtype=torch.float64).numpy()
            metadata[f"{kind}.{case}"] = f"kind={kind} lengths={','.join(map(str, lengths))}"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    safetensors_file.save(folder / "truncated.safetensors", tensors, metadata)


main()
