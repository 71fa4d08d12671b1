# SPDX-License-Identifier: Apache-2.0
"""LSTM and GRU in float64, written like the papers: what every engine's result is compared with."""

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def direction(cell, x, w, u, bx, bh, lengths, backward):
    """x [T, B, I] -> y [T, B, H]; PyTorch's weights. Rows end at their length, where y goes on as zero."""
    steps, batch, _ = x.shape
    hidden = u.shape[1]
    h, c = np.zeros((batch, hidden)), np.zeros((batch, hidden))
    y = np.zeros((steps, batch, hidden))
    of_x = (x.reshape(steps * batch, -1) @ w.T + bx).reshape(steps, batch, -1)
    for t in reversed(range(steps)) if backward else range(steps):
        of_h = h @ u.T + bh
        if cell == "lstm":
            i, f, g, o = np.split(of_x[t] + of_h, 4, axis=1)
            c_next = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h_next = sigmoid(o) * np.tanh(c_next)
        else:
            (xr, xz, xn), (hr, hz, hn) = np.split(of_x[t], 3, axis=1), np.split(of_h, 3, axis=1)
            r, z = sigmoid(xr + hr), sigmoid(xz + hz)
            h_next, c_next = (1 - z) * np.tanh(xn + r * hn) + z * h, c
        runs = (t < lengths)[:, None]
        h, c = np.where(runs, h_next, h), np.where(runs, c_next, c)
        y[t] = np.where(runs, h_next, 0)
    return y


def sequence(cell, x, weights, layers, directions, lengths=None):
    """All layers and directions: [T, B, I] -> [T, B, directions * H]."""
    y = x.astype(np.float64)
    lengths = np.full(x.shape[1], x.shape[0]) if lengths is None else np.asarray(lengths)
    for layer in range(layers):
        parts = []
        for d in range(directions):
            suffix = f"_l{layer}" + ("_reverse" if d == 1 else "")
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            parts.append(direction(cell, y, *(weights[n + suffix].astype(np.float64) for n in names), lengths, d == 1))
        y = np.concatenate(parts, axis=2)
    return y
