# SPDX-License-Identifier: Apache-2.0
"""A model with a cell that no one else has, stated in Python: custom_model.safetensors, which `sluice run` and `sluice
train` take as it is, and what PyTorch makes of it in float64: custom_model_run.safetensors.

    python3 tests/golden/make_custom_model_golden.py [FOLDER]

Made with PyTorch 2.15.0 and NumPy 2.4.6 on Python 3.11; another version may differ in the last bits. Seeded: the
same bytes each time.

`x` and `target` are [B, T, ..]; `output` is what the model makes of x, and `losses` are the mean squared errors of
EPOCHS steps of gradient descent on all rows.
"""

import json
import pathlib
import sys

import torch
from torch import nn

import safetensors_file

FOLDER = pathlib.Path(__file__).resolve().parent
T, B, I, H, O, LAYERS = 6, 5, 3, 4, 2, 2
EPOCHS, RATE = 8, 0.5

# c is a leaky mean of what comes in, kept at 0.5 or below; a gate that sees c lets it out.
CELL = {
    "name": "LeakyGate", "input_size": I,
    "states": [{"name": "h", "size": H}, {"name": "c", "size": H}],
    "values": [
        # In the order of thought, from the results to what they are made of.
        {"name": "h_new", "op": "mul", "args": ["o", "c_new"]},
        {"name": "o", "op": "sigmoid", "args": ["o_sum"]},
        {"name": "o_sum", "op": "add", "args": ["pre_o", "peep"]},
        {"name": "peep", "op": "mul", "args": ["peephole", "c_new"]},
        {"name": "c_new", "op": "min", "args": ["c_sum", 0.5]},
        {"name": "c_sum", "op": "add", "args": ["old", "in"]},
        {"name": "old", "op": "mul", "args": ["f", "c"]},
        {"name": "in", "op": "mul", "args": ["not_f", "n"]},
        {"name": "not_f", "op": "sub", "args": [1, "f"]},
        {"name": "f", "op": "sigmoid", "args": ["f_sum"]},
        {"name": "f_sum", "op": "mul", "args": ["scale", "normal_f"]},
        {"name": "normal_f", "op": "layer_norm", "args": ["pre_f", "gain", 0], "eps": 1e-3},
        {"name": "n", "op": "tanh", "args": ["pre_n"]},
        {"name": "pre_f", "op": "slice", "args": ["pre"], "first": 0, "size": H},
        {"name": "pre_n", "op": "slice", "args": ["pre"], "first": H, "size": H},
        {"name": "pre_o", "op": "slice", "args": ["pre"], "first": 2 * H, "size": H},
        {"name": "pre", "op": "add", "args": ["products", "bias"]},
        {"name": "products", "op": "add", "args": ["wx", "uh"]},
        {"name": "wx", "op": "matrix", "parameter": "weight_ih", "rows": 3 * H, "args": ["x"]},
        {"name": "uh", "op": "matrix", "parameter": "weight_hh", "rows": 3 * H, "args": ["h"]},
        {"op": "vector", "parameter": "bias", "size": 3 * H},
        {"op": "vector", "parameter": "peephole", "size": H},
        {"op": "vector", "parameter": "gain", "size": H},
        {"op": "scalar", "parameter": "scale"},
    ],
    "next": {"h": "h_new", "c": "c_new"},
    "output": "h_new",
}
ARCHITECTURE = [
    {"type": "Recurrent", "prefix": "rnn", "cell": CELL, "num_layers": LAYERS, "batch_first": True},
    {"type": "Linear", "prefix": "head", "in_features": H, "out_features": O},
]


def make_weights():
    weights = {}
    for layer in range(LAYERS):
        shapes = {"weight_ih": (3 * H, H if layer else I), "weight_hh": (3 * H, H), "bias": (3 * H,),
                  "peephole": (H,), "gain": (H,), "scale": (1,)}
        weights.update({f"rnn.{name}_l{layer}": torch.rand(*shape) * 2 - 1 for name, shape in shapes.items()})
    weights.update({"head.weight": torch.rand(O, H) * 2 - 1, "head.bias": torch.rand(O) * 2 - 1})
    return weights


def run(weights, x):
    for layer in range(LAYERS):
        w, u, b, peephole, gain, scale = (weights[f"rnn.{name}_l{layer}"] for name in (
            "weight_ih", "weight_hh", "bias", "peephole", "gain", "scale"))
        h = c = x.new_zeros(len(x), H)
        steps = []
        for t in range(x.shape[1]):
            pre_f, pre_n, pre_o = (x[:, t] @ w.T + h @ u.T + b).chunk(3, 1)
            f = torch.sigmoid(scale * nn.functional.layer_norm(pre_f, (H,), gain, eps=1e-3))
            c = (f * c + (1 - f) * torch.tanh(pre_n)).clamp(max=0.5)
            h = torch.sigmoid(pre_o + peephole * c) * c
            steps.append(h)
        x = torch.stack(steps, 1)
    return x @ weights["head.weight"].T + weights["head.bias"]


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    torch.manual_seed(20)
    torch.set_num_threads(1)
    weights = make_weights()
    safetensors_file.save(folder / "custom_model.safetensors", {n: w.numpy() for n, w in weights.items()},
                          {"sluice.architecture": json.dumps(ARCHITECTURE)})
    x = torch.rand(B, T, I, dtype=torch.float64) * 4 - 2
    target = torch.rand(B, T, O, dtype=torch.float64) * 2 - 1
    trained = {n: w.double().requires_grad_() for n, w in weights.items()}
    output, losses = run(trained, x).detach(), []
    optimizer = torch.optim.SGD(trained.values(), lr=RATE)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(run(trained, x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    assert losses[-1] < 0.8 * losses[0], losses
    tensors = {"x": x, "target": target, "output": output, "losses": torch.stack(losses)}
    safetensors_file.save(folder / "custom_model_run.safetensors", {n: t.numpy() for n, t in tensors.items()}, {})


if __name__ == "__main__":
    main()
