# SPDX-License-Identifier: Apache-2.0
"""Trains the model of train_words.cc with PyTorch, from the same first values, on the same batches.

    build/bin/examples/train_words build/data/words.txt out/words.safetensors EPOCHS FOLDER
    python3 train_words.py build/data/words.txt FOLDER

FOLDER has first.safetensors and order.npy. Prints the bits a character of the held-out words after each epoch, as
train_words does. Needs the packages torch, numpy and safetensors.
"""
import math
import re
import sys

import numpy
import torch
from safetensors.torch import load_file
from torch.nn.utils.rnn import pad_sequence

BATCH, RATE = 64, 3e-3


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = torch.nn.Embedding(27, 32)
        self.rnn = torch.nn.GRU(32, 256)
        self.head = torch.nn.Linear(256, 27)

    def forward(self, x):
        return self.head(self.rnn(self.emb(x))[0])


def make_batch(words):
    """x and next [T, B] as in words.h; past a word's end next is -100, which the loss leaves out."""
    codes = [torch.tensor([ord(c) - ord("a") + 1 for c in word]) for word in words]
    zero = torch.zeros(1, dtype=torch.long)
    return (pad_sequence([torch.cat([zero, code]) for code in codes]),
            pad_sequence([torch.cat([code, zero]) for code in codes], padding_value=-100))


def loss_of(model, words, reduction):
    x, following = make_batch(words)
    return torch.nn.functional.cross_entropy(model(x).reshape(-1, 27), following.reshape(-1), reduction=reduction)


path, folder = sys.argv[1:]
every = [word for word in open(path, encoding="utf-8").read().split("\n") if re.fullmatch("[a-z]{2,15}", word)]
training = [word for i, word in enumerate(every) if i % 10 != 0]
held_out = every[::10]
order = numpy.load(f"{folder}/order.npy")

model = Model()
model.load_state_dict(load_file(f"{folder}/first.safetensors"))
optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=len(order))
for epoch, rows in enumerate(order):
    for first in range(0, len(rows), BATCH):
        loss = loss_of(model, [training[row] for row in rows[first:first + BATCH]], "mean")
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    schedule.step()
    with torch.no_grad():
        total = sum(loss_of(model, held_out[i:i + 256], "sum").item() for i in range(0, len(held_out), 256))
    characters = sum(len(word) + 1 for word in held_out)
    print(f"epoch {epoch + 1}: {total / characters / math.log(2):.4f}", flush=True)
