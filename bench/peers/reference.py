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
            parts.append(
                direction(cell, y, *(weights[n + suffix].astype(np.float64) for n in names), lengths, d == 1)
            )
        y = np.concatenate(parts, axis=2)
    return y


def convolution(x, weight, bias=0.0, stride=1, padding=0):
    """x [N, C, L], weight [O, C, K] -> [N, O, L']"""
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2], axis=2)[:, :, ::stride]
    return np.einsum("nclk,ock->nol", windows, weight, optimize=True) + np.reshape(bias, (-1, 1))


def speech(windows, weights):
    """Silero VAD on [N, 512] consecutive windows -> N probabilities."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    x = np.zeros((len(windows), 1, 640))  # the end of the window before, the window, its end mirrored
    x[1:, 0, :64], x[:, 0, 64:576] = windows[:-1, -64:], windows
    x[:, 0, 576:] = x[:, 0, 511:575][:, ::-1]
    spectrum = convolution(x, w["stft_conv.weight"], stride=128)
    y = np.hypot(spectrum[:, :129], spectrum[:, 129:])
    for i, stride in enumerate((1, 2, 2, 1), 1):
        y = np.maximum(convolution(y, w[f"conv{i}.weight"], w[f"conv{i}.bias"], stride, 1), 0)
    lstm = (w["lstm_cell." + name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h = direction("lstm", y.transpose(0, 2, 1), *lstm, np.array([len(windows)]), False)
    return sigmoid(np.maximum(h[:, 0], 0) @ w["final_conv.weight"][0, :, 0] + w["final_conv.bias"])
