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


def gradients(cell, x, w, u, bx, bh, grad_of):
    """y of one layer from a state of zeros, and where grad_of(y) is the gradient of y, those of x, W, U and both
    biases. The way back through time of Werbos 1990."""
    steps, batch, _ = x.shape
    hidden = u.shape[1]
    y = direction(cell, x, w, u, bx, bh, np.full(batch, steps), False)
    grad = grad_of(y)
    before = np.concatenate([np.zeros((1, batch, hidden)), y[:-1]])
    of_x, of_h = x @ w.T + bx, before @ u.T + bh
    pre_x, pre_h = np.zeros_like(of_x), np.zeros_like(of_h)  # their gradients
    dh = np.zeros((batch, hidden))
    if cell == "lstm":
        i, f, g, o = np.split(of_x + of_h, 4, axis=2)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = np.zeros((steps + 1, batch, hidden))  # c[t] is that before step t
        for t in range(steps):
            c[t + 1] = f[t] * c[t] + i[t] * g[t]
        dc = np.zeros((batch, hidden))
        for t in reversed(range(steps)):
            dh, tanh_c = dh + grad[t], np.tanh(c[t + 1])
            dc = dc + dh * o[t] * (1 - tanh_c**2)
            parts = (dc * g[t] * i[t] * (1 - i[t]), dc * c[t] * f[t] * (1 - f[t]), dc * i[t] * (1 - g[t] ** 2),
                     dh * tanh_c * o[t] * (1 - o[t]))  # fmt: skip
            pre_x[t] = pre_h[t] = np.concatenate(parts, axis=1)
            dh, dc = pre_h[t] @ u, dc * f[t]
    else:
        (xr, xz, xn), (hr, hz, hn) = np.split(of_x, 3, axis=2), np.split(of_h, 3, axis=2)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        n = np.tanh(xn + r * hn)
        for t in reversed(range(steps)):
            dh = dh + grad[t]
            dn = dh * (1 - z[t]) * (1 - n[t] ** 2)
            dz = dh * (before[t] - n[t]) * z[t] * (1 - z[t])
            dr = dn * hn[t] * r[t] * (1 - r[t])
            pre_x[t] = np.concatenate((dr, dz, dn), axis=1)
            pre_h[t] = np.concatenate((dr, dz, dn * r[t]), axis=1)
            dh = pre_h[t] @ u + dh * z[t]
    rows_x, rows_h = pre_x.reshape(steps * batch, -1), pre_h.reshape(steps * batch, -1)
    return (y, pre_x @ w, rows_x.T @ x.reshape(steps * batch, -1), rows_h.T @ before.reshape(steps * batch, -1),
            rows_x.sum(axis=0), rows_h.sum(axis=0))  # fmt: skip


def adam(values, gradients_of, updates, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """The arrays after so many updates (Kingma and Ba 2015)."""
    averages, squares = [0.0] * len(values), [0.0] * len(values)
    for step in range(1, updates + 1):
        for k, g in enumerate(gradients_of(values)):
            averages[k] = betas[0] * averages[k] + (1 - betas[0]) * g
            squares[k] = betas[1] * squares[k] + (1 - betas[1]) * g**2
        values = [
            v - lr * (m / (1 - betas[0] ** step)) / (np.sqrt(s / (1 - betas[1] ** step)) + eps)
            for v, m, s in zip(values, averages, squares)
        ]
    return values


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
