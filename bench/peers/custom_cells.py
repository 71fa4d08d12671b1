# SPDX-License-Identifier: Apache-2.0
"""Custom cells in float64, forward and back, written like the papers: what reference.py is for LSTM and GRU. Each step
gives h, c and a function that takes their gradients to those of W x, U h and of h and c as they come in otherwise, and
adds those of the parameters to `grads`. The formulas are those of include/sluice/cells/."""

import numpy as np

from reference import sigmoid


def lstm(w, grads, of_x, of_h, h, c):
    i, f, g, o = np.split(of_x + of_h + w["bias_ih"] + w["bias_hh"], 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c_new = f * c + i * g
    tanh_c = np.tanh(c_new)

    def back(dh, dc):
        dc = dc + dh * o * (1 - tanh_c**2)
        d = np.concatenate((dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2),
                            dh * tanh_c * o * (1 - o)), axis=1)  # fmt: skip
        grads["bias_ih"] += d.sum(axis=0)
        grads["bias_hh"] += d.sum(axis=0)
        return d, d, 0, dc * f

    return o * tanh_c, c_new, back


def peephole_lstm(w, grads, of_x, of_h, h, c):
    i, f, g, o = np.split(of_x + of_h + w["bias"], 4, axis=1)
    p_i, p_f, p_o = np.split(w["peephole"], 3)
    i, f, g = sigmoid(i + p_i * c), sigmoid(f + p_f * c), np.tanh(g)
    c_new = f * c + i * g
    o, tanh_c = sigmoid(o + p_o * c_new), np.tanh(c_new)

    def back(dh, dc):
        d_o = dh * tanh_c * o * (1 - o)
        dc = dc + dh * o * (1 - tanh_c**2) + d_o * p_o
        d_i, d_f, d_g = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2)
        d = np.concatenate((d_i, d_f, d_g, d_o), axis=1)
        grads["bias"] += d.sum(axis=0)
        grads["peephole"] += np.concatenate((d_i * c, d_f * c, d_o * c_new), axis=1).sum(axis=0)
        return d, d, 0, dc * f + d_i * p_i + d_f * p_f

    return o * tanh_c, c_new, back


def normalise(a, eps=1e-5):
    """Rows of a with mean 0 and variance 1, and the function that takes gradients back."""
    deviation = np.sqrt(a.var(axis=-1, keepdims=True) + eps)
    y = (a - a.mean(axis=-1, keepdims=True)) / deviation

    def back(d):
        return (d - d.mean(axis=-1, keepdims=True) - y * (d * y).mean(axis=-1, keepdims=True)) / deviation

    return y, back


def layer_norm_lstm(w, grads, of_x, of_h, h, c):
    batch, size = c.shape
    norm_x, back_x = normalise(of_x.reshape(batch, 4, size))  # each gate by itself
    norm_h, back_h = normalise(of_h.reshape(batch, 4, size))
    norm_x, norm_h = norm_x.reshape(batch, -1), norm_h.reshape(batch, -1)
    i, f, g, o = np.split(norm_x * w["gain_ih"] + norm_h * w["gain_hh"] + w["bias"], 4, axis=1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c_new = f * c + i * g
    norm_c, back_c = normalise(c_new)
    tanh_c = np.tanh(norm_c * w["gain_c"] + w["bias_c"])

    def back(dh, dc):
        d_c = dh * o * (1 - tanh_c**2)
        grads["gain_c"] += (d_c * norm_c).sum(axis=0)
        grads["bias_c"] += d_c.sum(axis=0)
        dc = dc + back_c(d_c * w["gain_c"])
        d = np.concatenate((dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2),
                            dh * tanh_c * o * (1 - o)), axis=1)  # fmt: skip
        grads["gain_ih"] += (d * norm_x).sum(axis=0)
        grads["gain_hh"] += (d * norm_h).sum(axis=0)
        grads["bias"] += d.sum(axis=0)
        d_x = back_x((d * w["gain_ih"]).reshape(batch, 4, size)).reshape(batch, -1)
        d_h = back_h((d * w["gain_hh"]).reshape(batch, 4, size)).reshape(batch, -1)
        return d_x, d_h, 0, dc * f

    return o * tanh_c, c_new, back


def li_gru(w, grads, of_x, of_h, h, c):
    z, n = np.split(of_x + of_h + w["bias"], 2, axis=1)
    z, n = sigmoid(z), np.maximum(n, 0)

    def back(dh, dc):
        d = np.concatenate((dh * (h - n) * z * (1 - z), dh * (1 - z) * (n > 0)), axis=1)
        grads["bias"] += d.sum(axis=0)
        return d, d, dh * z, dc

    return z * h + (1 - z) * n, c, back


CELLS = {"lstm": lstm, "peephole-lstm": peephole_lstm, "layer-norm-lstm": layer_norm_lstm, "li-gru": li_gru}


def sequence(cell, x, w):
    """y of one layer from states of zeros, and the function that takes its gradient to those of x and of the
    parameters, in the order of `w`."""
    steps, batch, inputs = x.shape
    size = w["weight_hh"].shape[1]
    grads = {name: np.zeros_like(array) for name, array in w.items()}
    of_x = x @ w["weight_ih"].T
    h, c = np.zeros((batch, size)), np.zeros((batch, size))
    before, ways, y = np.zeros((steps, batch, size)), [], np.zeros((steps, batch, size))
    for t in range(steps):
        before[t] = h
        h, c, back = CELLS[cell](w, grads, of_x[t], h @ w["weight_hh"].T, h, c)
        y[t] = h
        ways.append(back)

    def back(grad):
        d_x, d_h = np.zeros_like(of_x), np.zeros_like(of_x)
        dh, dc = np.zeros((batch, size)), np.zeros((batch, size))
        for t in reversed(range(steps)):
            d_x[t], d_h[t], rest, dc = ways[t](dh + grad[t], dc)
            dh = d_h[t] @ w["weight_hh"] + rest
        rows_x, rows_h = d_x.reshape(steps * batch, -1), d_h.reshape(steps * batch, -1)
        grads["weight_ih"] += rows_x.T @ x.reshape(steps * batch, inputs)
        grads["weight_hh"] += rows_h.T @ before.reshape(steps * batch, size)
        return [d_x @ w["weight_ih"], *grads.values()]

    return y, back
