# SPDX-License-Identifier: Apache-2.0
"""Saves a PyTorch model as a file that sluice runs, with an input and what PyTorch makes of it.

    python3 07_from_pytorch.py FOLDER

Writes tagger.safetensors, x.npy and y.npy. Needs the packages torch, numpy and safetensors.
"""
import json
import sys

import numpy
import torch
from safetensors.torch import save_file


class Tagger(torch.nn.Module):
    """The probability of a tag for each step of a sequence."""

    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.LSTM(8, 16, batch_first=True, bidirectional=True)
        self.head = torch.nn.Linear(32, 1)

    def forward(self, x):
        return torch.sigmoid(self.head(self.rnn(x)[0]))


# The modules in order, each with the prefix of its parameters and PyTorch's names of its options.
ARCHITECTURE = [
    {"type": "LSTM", "prefix": "rnn", "input_size": 8, "hidden_size": 16, "batch_first": True,
     "bidirectional": True},
    {"type": "Linear", "prefix": "head", "in_features": 32, "out_features": 1},
    {"type": "Sigmoid"},
]

folder = sys.argv[1]
torch.manual_seed(1)
model = Tagger()  # train it here
save_file(model.state_dict(), f"{folder}/tagger.safetensors",
          metadata={"sluice.architecture": json.dumps(ARCHITECTURE)})

x = torch.randn(3, 20, 8)  # [batch, time, features]
with torch.no_grad():
    numpy.save(f"{folder}/x.npy", x.numpy())
    numpy.save(f"{folder}/y.npy", model(x).numpy())
