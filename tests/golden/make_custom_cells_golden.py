# SPDX-License-Identifier: Apache-2.0
"""Golden outputs and gradients of the library of cells (sluice/cells/) from PyTorch's autograd in float64:
custom_cells.safetensors, which custom_cells_test.cc reads.

    python3 tests/golden/make_custom_cells_golden.py [FOLDER]

Made with PyTorch 2.15.0 and NumPy 2.4.6 on Python 3.11; another version may differ in the last bits. Seeded: the
same bytes each time. Inputs, parameters and first states are float32 numbers, and stored so.

Each cell is written here as its paper has it, a matrix a gate. It takes T steps from the states `init.NAME` and gives
`output` [T, B, ..] and the states `final.NAME`. The loss is the sum of output * grad.output and of every
final.NAME * grad.NAME; `case.of.NAME` is its gradient with respect to a parameter, `x` or `init.NAME`. What torch.nn
has too (LSTM, with projection too, GRU, layer normalisation) must agree with it.
"""

import pathlib
import sys

import torch
from torch import nn

import safetensors_file

FOLDER = pathlib.Path(__file__).resolve().parent
T, B, I, H, P = 5, 3, 3, 5, 4
sigmoid, tanh, exp, relu = torch.sigmoid, torch.tanh, torch.exp, torch.relu


def uniform(*shape):
    return (torch.rand(*shape, dtype=torch.float64) * 2 - 1).float().double()


def parts(parameter, count):
    """A matrix or vector a gate."""
    return parameter.chunk(count, 0)


def on(matrix, value):
    """The matrix applied to each row."""
    return torch.einsum("oi,bi->bo", matrix, value)


def layer_norm(a, gain, bias):
    """Ba et al. 2016, with torch.nn.LayerNorm's eps."""
    mu = a.mean(1, keepdim=True)
    variance = ((a - mu) ** 2).mean(1, keepdim=True)
    result = gain * (a - mu) / torch.sqrt(variance + 1e-5) + bias
    assert torch.allclose(result, nn.functional.layer_norm(a, a.shape[1:], gain, bias), rtol=0, atol=1e-12)
    return result


# A cell: parameters' shapes, states' sizes, and a step: x, states, parameters -> output, new states.


def lstm_gates(p, x, h):
    """Pre-activations of i, f, g, o, as torch.nn.LSTM."""
    both = zip(*(parts(p[name], 4) for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")))
    return [on(w, x) + b_w + on(u, h) + b_u for w, b_w, u, b_u in both]


def lstm(p, x, h, c):
    """Hochreiter and Schmidhuber 1997, Gers et al. 2000."""
    i, f, g, o = lstm_gates(p, x, h)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, (h, c)


def lstmp(p, x, h, c):
    """Sak et al. 2014 without peepholes: h is the recurrent projection r."""
    i, f, g, o = lstm_gates(p, x, h)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = on(p["weight_hr"], sigmoid(o) * tanh(c))
    return h, (h, c)


def peephole_lstm(p, x, h, c):
    """Gers and Schmidhuber 2000."""
    (w_i, w_f, w_g, w_o), (u_i, u_f, u_g, u_o) = parts(p["weight_ih"], 4), parts(p["weight_hh"], 4)
    b_i, b_f, b_g, b_o = parts(p["bias"], 4)
    p_i, p_f, p_o = parts(p["peephole"], 3)
    i = sigmoid(on(w_i, x) + on(u_i, h) + p_i * c + b_i)
    f = sigmoid(on(w_f, x) + on(u_f, h) + p_f * c + b_f)
    g = tanh(on(w_g, x) + on(u_g, h) + b_g)
    c = f * c + i * g
    o = sigmoid(on(w_o, x) + on(u_o, h) + p_o * c + b_o)
    h = o * tanh(c)
    return h, (h, c)


def cifg(p, x, h, c):
    """Greff et al. 2017: the LSTM with peepholes, and f = 1 - i."""
    (w_i, w_g, w_o), (u_i, u_g, u_o) = parts(p["weight_ih"], 3), parts(p["weight_hh"], 3)
    b_i, b_g, b_o = parts(p["bias"], 3)
    p_i, p_o = parts(p["peephole"], 2)
    i = sigmoid(on(w_i, x) + on(u_i, h) + p_i * c + b_i)
    c = tanh(on(w_g, x) + on(u_g, h) + b_g) * i + c * (1 - i)
    h = tanh(c) * sigmoid(on(w_o, x) + on(u_o, h) + p_o * c + b_o)
    return h, (h, c)


def layer_norm_lstm(p, x, h, c):
    """Ba et al. 2016, each gate by itself; one bias is the sum of the three that are added."""
    gates = []
    names = ("weight_ih", "weight_hh", "gain_ih", "gain_hh", "bias")
    for w, u, gain_x, gain_h, b in zip(*(parts(p[name], 4) for name in names)):
        zero = torch.zeros_like(b)
        gates.append(layer_norm(on(u, h), gain_h, zero) + layer_norm(on(w, x), gain_x, zero) + b)
    i, f, g, o = gates
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(layer_norm(c, p["gain_c"], p["bias_c"]))
    return h, (h, c)


def gru(p, x, h):
    """Cho et al. 2014 as torch.nn.GRU has it: reset after the product."""
    (w_r, w_z, w_n), (u_r, u_z, u_n) = parts(p["weight_ih"], 3), parts(p["weight_hh"], 3)
    (b_r, b_z, b_n), (d_r, d_z, d_n) = parts(p["bias_ih"], 3), parts(p["bias_hh"], 3)
    r = sigmoid(on(w_r, x) + b_r + on(u_r, h) + d_r)
    z = sigmoid(on(w_z, x) + b_z + on(u_z, h) + d_z)
    n = tanh(on(w_n, x) + b_n + r * (on(u_n, h) + d_n))
    h = (1 - z) * n + z * h
    return h, (h,)


def gru_reset_before(p, x, h):
    """Cho et al. 2014: the product is with r * h."""
    (w_r, w_z, w_n), (u_r, u_z, u_n) = parts(p["weight_ih"], 3), parts(p["weight_hh"], 3)
    (b_r, b_z, b_n), (d_r, d_z, d_n) = parts(p["bias_ih"], 3), parts(p["bias_hh"], 3)
    r = sigmoid(on(w_r, x) + b_r + on(u_r, h) + d_r)
    z = sigmoid(on(w_z, x) + b_z + on(u_z, h) + d_z)
    n = tanh(on(w_n, x) + b_n + on(u_n, r * h) + d_n)
    h = z * h + (1 - z) * n
    return h, (h,)


def mgu(p, x, h):
    """Zhou et al. 2016."""
    (w_f, w_n), (u_f, u_n), (b_f, b_n) = (parts(p[name], 2) for name in ("weight_ih", "weight_hh", "bias"))
    f = sigmoid(on(w_f, x) + on(u_f, h) + b_f)
    h = (1 - f) * h + f * tanh(on(u_n, f * h) + on(w_n, x) + b_n)
    return h, (h,)


def li_gru(p, x, h):
    """Ravanelli et al. 2018, a bias in the place of batch normalisation."""
    (w_z, w_n), (u_z, u_n), (b_z, b_n) = (parts(p[name], 2) for name in ("weight_ih", "weight_hh", "bias"))
    z = sigmoid(on(w_z, x) + b_z + on(u_z, h))
    h = z * h + (1 - z) * relu(on(w_n, x) + b_n + on(u_n, h))
    return h, (h,)


def sru(p, x, c, alpha=1.5):
    """Lei et al. 2018, with the scaling of the input by alpha."""
    w, w_f, w_r = parts(p["weight_ih"], 3)
    (v_f, v_r), (b_f, b_r) = parts(p["weight_c"], 2), parts(p["bias"], 2)
    f = sigmoid(on(w_f, x) + v_f * c + b_f)
    r = sigmoid(on(w_r, x) + v_r * c + b_r)
    c = f * c + (1 - f) * on(w, x)
    return r * c + (1 - r) * x * alpha, (c,)


def qrnn_fo_pooling(p, x, c):
    """Bradbury et al. 2017."""
    z, f, o = x.chunk(3, 1)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(z)
    return sigmoid(o) * c, (c,)


def indrnn(p, x, h):
    """Li et al. 2018."""
    h = relu(on(p["weight_ih"], x) + p["weight_hh"] * h + p["bias"])
    return h, (h,)


def min_gru(p, x, h):
    """Feng et al. 2024, the sequential form."""
    (w_z, w_h), (b_z, b_h) = parts(p["weight_ih"], 2), parts(p["bias"], 2)
    z = sigmoid(on(w_z, x) + b_z)
    h = (1 - z) * h + z * (on(w_h, x) + b_h)
    return h, (h,)


def min_lstm(p, x, h):
    """Feng et al. 2024, the sequential form."""
    (w_f, w_i, w_h), (b_f, b_i, b_h) = parts(p["weight_ih"], 3), parts(p["bias"], 3)
    f, i = sigmoid(on(w_f, x) + b_f), sigmoid(on(w_i, x) + b_i)
    h = f / (f + i) * h + i / (f + i) * (on(w_h, x) + b_h)
    return h, (h,)


def highway(p, x):
    """Srivastava et al. 2015."""
    (w_h, w_t), (b_h, b_t) = parts(p["weight_ih"], 2), parts(p["bias"], 2)
    t = sigmoid(on(w_t, x) + b_t)
    return tanh(on(w_h, x) + b_h) * t + x * (1 - t), ()


def recurrent_highway(p, x, s):
    """Zilly et al. 2017, with the carry gate c = 1 - t."""
    w_h, w_t = parts(p["weight_ih"], 2)
    for depth in (1, 2, 3):
        (r_h, r_t), (b_h, b_t) = parts(p[f"weight_hh_{depth}"], 2), parts(p[f"bias_{depth}"], 2)
        first = 1 if depth == 1 else 0
        h = tanh(on(w_h, x) * first + on(r_h, s) + b_h)
        t = sigmoid(on(w_t, x) * first + on(r_t, s) + b_t)
        s = h * t + s * (1 - t)
    return s, (s,)


def lem(p, x, y, z, dt=0.5):
    """Rusch et al. 2022; its sigmoid-hat is 0.5 (1 + tanh(x / 2))."""
    v_1, v_2, v_z, v_y = parts(p["weight_ih"], 4)
    (w_1, w_2, w_z), w_y = parts(p["weight_hh"], 3), p["weight_zh"]
    b_1, b_2, b_z, b_y = parts(p["bias"], 4)
    dt_z = dt * 0.5 * (1 + tanh((on(w_1, y) + on(v_1, x) + b_1) / 2))
    dt_y = dt * 0.5 * (1 + tanh((on(w_2, y) + on(v_2, x) + b_2) / 2))
    z = (1 - dt_z) * z + dt_z * tanh(on(w_z, y) + on(v_z, x) + b_z)
    y = (1 - dt_y) * y + dt_y * tanh(on(w_y, z) + on(v_y, x) + b_y)
    return y, (y, z)


def slstm(p, x, h, c, n, m, forget="sigmoid"):
    """Beck et al. 2024. Where n is 0, nothing having been seen, m begins as log i, and f is at most 1.

    c and n are the paper's times exp(-m); so the paper's own, without a stabiliser, must give the same h.
    """
    all_parts = zip(*(parts(p[name], 4) for name in ("weight_ih", "weight_hh", "bias")))
    i, f, z, o = (on(w, x) + on(r, h) + b for w, r, b in all_parts)
    log_f = nn.functional.logsigmoid(f) if forget == "sigmoid" else f
    new_m = torch.where(n > 0, torch.maximum(log_f + m, i), i)
    scaled_i, scaled_f = exp(i - new_m), exp(torch.clamp(log_f + m - new_m, max=0))
    new_c = scaled_f * c + scaled_i * tanh(z)
    new_n = scaled_f * n + scaled_i
    h = sigmoid(o) * new_c / new_n
    bare_f = sigmoid(f) if forget == "sigmoid" else exp(f)
    bare_c, bare_n = bare_f * c * exp(m) + exp(i) * tanh(z), bare_f * n * exp(m) + exp(i)
    assert torch.allclose(h, sigmoid(o) * bare_c / bare_n, rtol=1e-12, atol=1e-12)
    return h, (h, new_c, new_n, new_m)


def slstm_exp_forget(p, x, h, c, n, m):
    return slstm(p, x, h, c, n, m, forget="exp")


def gated(gates, i=I, h=H, state=None, **more):
    """Shapes of a cell's usual parameters, and others."""
    return {"weight_ih": (gates * h, i), "weight_hh": (gates * h, state or h), "bias": (gates * h,)} | more


def gated_as_torch(gates, i=I, h=H, state=None, **more):
    matrices = {"weight_ih": (gates * h, i), "weight_hh": (gates * h, state or h)}
    return matrices | {"bias_ih": (gates * h,), "bias_hh": (gates * h,)} | more


WIDE = 11  # more units than a vector of float64 holds
CELLS = {
    # name: step, input size, parameters, states
    "lstm": (lstm, I, gated_as_torch(4), {"h": H, "c": H}),
    "lstmp": (lstmp, I, gated_as_torch(4, state=P, weight_hr=(P, H)), {"h": P, "c": H}),
    "peephole_lstm": (peephole_lstm, I, gated(4, peephole=(3 * H,)), {"h": H, "c": H}),
    "cifg": (cifg, I, gated(3, peephole=(2 * H,)), {"h": H, "c": H}),
    "layer_norm_lstm": (
        layer_norm_lstm, I, gated(4, gain_ih=(4 * H,), gain_hh=(4 * H,), gain_c=(H,), bias_c=(H,)), {"h": H, "c": H}),
    "gru": (gru, I, gated_as_torch(3), {"h": H}),
    "gru_reset_before": (gru_reset_before, I, gated_as_torch(3), {"h": H}),
    "mgu": (mgu, I, gated(2, h=WIDE), {"h": WIDE}),
    "li_gru": (li_gru, I, gated(2), {"h": H}),
    "sru": (sru, H, {"weight_ih": (3 * H, H), "weight_c": (2 * H,), "bias": (2 * H,)}, {"c": H}),
    "qrnn_fo_pooling": (qrnn_fo_pooling, 3 * H, {}, {"c": H}),
    "indrnn": (indrnn, I, {"weight_ih": (H, I), "weight_hh": (H,), "bias": (H,)}, {"h": H}),
    "min_gru": (min_gru, I, {"weight_ih": (2 * H, I), "bias": (2 * H,)}, {"h": H}),
    "min_lstm": (min_lstm, I, {"weight_ih": (3 * H, I), "bias": (3 * H,)}, {"h": H}),
    "highway": (highway, H, {"weight_ih": (2 * H, H), "bias": (2 * H,)}, {}),
    "recurrent_highway": (
        recurrent_highway, I,
        {"weight_ih": (2 * H, I)} | {f"weight_hh_{d}": (2 * H, H) for d in (1, 2, 3)}
        | {f"bias_{d}": (2 * H,) for d in (1, 2, 3)},
        {"s": H}),
    "lem": (
        lem, I, {"weight_ih": (4 * H, I), "weight_hh": (3 * H, H), "weight_zh": (H, H), "bias": (4 * H,)},
        {"y": H, "z": H}),
    "slstm": (slstm, I, gated(4), {"h": H, "c": H, "n": H, "m": H}),
    "slstm_exp_forget": (slstm_exp_forget, I, gated(4), {"h": H, "c": H, "n": H, "m": H}),
}


def as_torch(name, p, x, states):
    """torch.nn's output and final states."""
    options = {"proj_size": P} if name == "lstmp" else {}
    module = (nn.GRU if name == "gru" else nn.LSTM)(I, H, **options).double()
    module.load_state_dict({f"{key}_l0": value for key, value in p.items()})
    first = tuple(state[None] for state in states)
    output, final = module(x, first[0] if name == "gru" else first)
    return output, (final,) if name == "gru" else final


def main():
    tensors, metadata = {}, {}
    for name, (step, input_size, shapes, state_sizes) in CELLS.items():
        torch.manual_seed(sum(name.encode()))
        p = {key: uniform(*shape) for key, shape in shapes.items()}
        x = uniform(T, B, input_size)
        states = {key: uniform(B, size) for key, size in state_sizes.items()}
        if "n" in states:
            states["n"] = (states["n"].abs() + 0.5).float().double()
            for key in states:  # a row that begins as rows do that are given no states
                states[key][0] = 0
        named = p | {"x": x} | {f"init.{key}": value for key, value in states.items()}
        for value in named.values():
            value.requires_grad_()
        outputs, now = [], tuple(states.values())
        for t in range(T):
            output, now = step(p, x[t], *now)
            outputs.append(output)
        output = torch.stack(outputs)
        if name in ("lstm", "lstmp", "gru"):
            want, final = as_torch(name, p, x, states.values())
            assert torch.allclose(output, want, rtol=0, atol=1e-13)
            assert all(torch.allclose(a, b[0], rtol=0, atol=1e-13) for a, b in zip(now, final))
        grads = {"output": uniform(*output.shape)} | {key: uniform(*states[key].shape) for key in states}
        loss = (output * grads["output"]).sum() + sum((a * grads[key]).sum() for key, a in zip(states, now))
        of = torch.autograd.grad(loss, list(named.values()))
        results = {"output": output} | {f"final.{key}": value for key, value in zip(states, now)}
        given = named | {f"grad.{key}": value for key, value in grads.items()}
        results |= {f"of.{key}": value for key, value in zip(named, of)}
        assert all(torch.equal(value, value.float().double()) for value in given.values())
        tensors |= {f"{name}.{key}": value.detach().float().numpy() for key, value in given.items()}
        tensors |= {f"{name}.{key}": value.detach().numpy() for key, value in results.items()}
        hidden_size = list(state_sizes.values())[-1] if state_sizes else input_size
        sizes = f"input_size={input_size} hidden_size={hidden_size}"
        metadata[name] = f"{sizes} parameters={','.join(sorted(shapes))} states={','.join(sorted(states))}"
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    safetensors_file.save(folder / "custom_cells.safetensors", tensors, metadata)


main()
