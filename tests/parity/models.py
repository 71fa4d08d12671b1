# SPDX-License-Identifier: Apache-2.0
"""Random models for check_against_torch.py: bare recurrent layers, cells, and whole architectures."""

import json
import pathlib
import sys

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
import safetensors_file  # noqa: E402

STORAGE = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def random_size(choose, largest):
    """Small and large sizes alike: evenly over the logarithm."""
    return int(round(largest ** choose.random()))


def in_double(module, scale=1.0):
    """The module in float64, with PyTorch's initial weights times `scale` and all bits of a double in use.

    Input weights of a recurrent layer with more inputs than units are drawn smaller, so that the sums are of
    the order of 1, as in a trained network. With PyTorch's own weights the terms of a sum over 256 inputs for 1
    unit add up to 10 and more before they cancel, and float32 is not within 3e-6 where tanh is steep: PyTorch's
    float32 is off by up to 7.5e-6 then.
    """
    module = module.double()
    for name, parameter in module.named_parameters():
        parameter.mul_(scale * (1 + 1e-7 * torch.rand_like(parameter)))
        if name.startswith("weight_ih"):
            inputs = parameter.shape[1]
            parameter.mul_((module.hidden_size / max(module.hidden_size, inputs)) ** 0.5)
    return module


def save_weights(path, state, storage, metadata):
    arrays, types = {}, {}
    for name, value in state.items():
        stored = value.to(STORAGE[storage]).contiguous()
        arrays[name] = (stored.view(torch.int16) if storage == "BF16" else stored).numpy()
        types[name] = storage
    safetensors_file.save(path, arrays, metadata, types)


def round_to_storage(module, storage):
    """The module's weights become what the file will hold, so that PyTorch computes with the same numbers."""
    for parameter in module.parameters():
        parameter.copy_(parameter.to(STORAGE[storage]).to(torch.float64))
    return module


def run_recurrent(module, x, state, lengths):
    """A recurrent module, time first, with lengths in any order, 0 included -> y, h_n, c_n.

    PyTorch packs no empty rows; those give zeros and keep their state.
    """
    lstm = isinstance(module, nn.LSTM)
    if lengths is None:
        y, out = module(x, state)
        return (y, *out) if lstm else (y, out, None)
    rows = torch.nonzero(lengths > 0).flatten()
    size = module.hidden_size if not lstm or module.proj_size == 0 else module.proj_size
    directions = 2 if module.bidirectional else 1
    y = torch.zeros(*x.shape[:2], size * directions, dtype=x.dtype)
    h_n = torch.zeros(module.num_layers * directions, x.shape[1], size, dtype=x.dtype)
    c_n = torch.zeros(module.num_layers * directions, x.shape[1], module.hidden_size, dtype=x.dtype)
    if state is not None:
        h_n.copy_(state[0] if lstm else state)
        if lstm:
            c_n.copy_(state[1])
    if len(rows) > 0:
        packed = nn.utils.rnn.pack_padded_sequence(x[:, rows], lengths[rows], enforce_sorted=False)
        given = (h_n[:, rows], c_n[:, rows]) if lstm else h_n[:, rows]
        out, last = module(packed, given)
        y[:, rows] = nn.utils.rnn.pad_packed_sequence(out, total_length=x.shape[0])[0]
        h_n[:, rows] = last[0] if lstm else last
        if lstm:
            c_n[:, rows] = last[1]
    return y, h_n, c_n if lstm else None


class BareModel:
    """One recurrent layer or cell, as its state_dict() has it, with all its options."""

    def __init__(self, choose, kind):
        self.kind, self.choose = kind, choose
        self.is_cell = kind.endswith("Cell")
        self.is_lstm = kind.startswith("LSTM")
        self.input_size, self.hidden_size = random_size(choose, 256), random_size(choose, 256)
        self.bias = choose.random() < 0.7
        self.layers = 1 if self.is_cell else choose.choice((1, 1, 2, 3))
        self.bidirectional = not self.is_cell and choose.random() < 0.4
        wants_proj = kind == "LSTM" and self.hidden_size > 1 and choose.random() < 0.4
        self.proj = choose.randint(1, self.hidden_size - 1) if wants_proj else 0
        self.nonlinearity = choose.choice(("tanh", "relu")) if kind.startswith("RNN") else None
        self.layout = choose.choice(("time", "time", "batch", "unbatched"))
        self.steps = choose.choice((1, 2, random_size(choose, 100), 100))
        self.rows = 1 if self.layout == "unbatched" else choose.choice((1, 2, 3, 6, 7, 16, 33, 33))
        self.prefix = choose.choice(("", "", "rnn.", "net.0."))
        self.storage = choose.choice(("F32", "F32", "F64", "F16", "BF16"))
        self.module = round_to_storage(in_double(self._make(), choose.choice((1.0, 1.0, 1.5))), self.storage)
        directions = 2 if self.bidirectional else 1
        size = self.proj or self.hidden_size
        # Inputs are float32 numbers: then both element types are given the same ones.
        self.x = torch.randn(self.steps, self.rows, self.input_size).double()
        self.h0 = self.c0 = self.lengths = None
        if choose.random() < 0.5:
            self.h0 = torch.randn(self.layers * directions, self.rows, size).double() * 0.5
            self.h0 = self.h0.float().double()
            self.c0 = torch.randn(self.layers * directions, self.rows, self.hidden_size).double()
        if self.layout != "unbatched" and choose.random() < 0.5:
            self.lengths = torch.tensor([choose.randint(0, self.steps) for _ in range(self.rows)])

    def _make(self):
        if self.is_cell:
            more = {"nonlinearity": self.nonlinearity} if self.nonlinearity else {}
            return getattr(nn, self.kind)(self.input_size, self.hidden_size, bias=self.bias, **more)
        more = {"nonlinearity": self.nonlinearity} if self.nonlinearity else {}
        if self.proj:
            more["proj_size"] = self.proj
        return getattr(nn, self.kind)(self.input_size, self.hidden_size, num_layers=self.layers,
                                      bias=self.bias, bidirectional=self.bidirectional, **more)

    def describe(self):
        nonlinearity = self.nonlinearity or ""
        return (f"{self.kind} I={self.input_size} H={self.hidden_size} P={self.proj} L={self.layers} "
                f"bidirectional={self.bidirectional} bias={self.bias} {nonlinearity} {self.layout} "
                f"T={self.steps} B={self.rows} state={self.h0 is not None} "
                f"lengths={self.lengths is not None} {self.storage}")

    def save(self, path):
        state = {self.prefix + name: value for name, value in self.module.state_dict().items()}
        save_weights(path, state, self.storage, {})

    def flags(self):
        flags = ["--prefix", self.prefix] if self.prefix else []
        flags += ["--batch-first"] if self.layout == "batch" else []
        return flags + (["--nonlinearity", self.nonlinearity] if self.nonlinearity else [])

    def _layout(self, sequence):
        if self.layout == "batch":
            return sequence.transpose(0, 1)
        return sequence[:, 0] if self.layout == "unbatched" else sequence

    def _state_layout(self, state):
        return state[:, 0] if self.layout == "unbatched" else state

    def inputs(self, dtype):
        arrays = {"input": self._layout(self.x)}
        if self.h0 is not None:
            arrays["h0"] = self._state_layout(self.h0)
            if self.is_lstm:
                arrays["c0"] = self._state_layout(self.c0)
        arrays = {name: np.ascontiguousarray(value.numpy().astype(dtype)) for name, value in arrays.items()}
        if self.lengths is not None:
            arrays["lengths"] = self.lengths.numpy()
        return arrays

    def expected(self, dtype):
        stored = {name: value.clone() for name, value in self.module.state_dict().items()}
        module = self.module.to(dtype)
        state = None
        if self.h0 is not None:
            state = (self.h0.to(dtype), self.c0.to(dtype)) if self.is_lstm else self.h0.to(dtype)
        run = self._run_cell if self.is_cell else run_recurrent
        y, h_n, c_n = run(module, self.x.to(dtype), state, self.lengths)
        self.module.to(torch.float64).load_state_dict(stored)  # float32 has rounded what the file holds
        results = {"output": self._layout(y), "hn": self._state_layout(h_n)}
        if self.is_lstm:
            results["cn"] = self._state_layout(c_n)
        return results

    def _run_cell(self, cell, x, state, lengths):
        h = c = torch.zeros(self.rows, self.hidden_size, dtype=x.dtype)
        if state is not None:
            h, c = (state[0][0], state[1][0]) if self.is_lstm else (state[0], c)
        outputs = []
        for t in range(self.steps):
            new = cell(x[t], (h, c) if self.is_lstm else h)
            new_h, new_c = new if self.is_lstm else (new, c)
            if lengths is not None:
                alive = (t < lengths)[:, None]
                outputs.append(torch.where(alive, new_h, torch.zeros_like(new_h)))
                new_h, new_c = torch.where(alive, new_h, h), torch.where(alive, new_c, c)
            else:
                outputs.append(new_h)
            h, c = new_h, new_c
        return torch.stack(outputs), h[None], c[None]

    def can_step(self):
        return not self.bidirectional

    def is_batched(self):
        return self.layout != "unbatched"

    def random_row(self):
        return self.choose.randrange(self.rows)

    def batch_axis(self, name):
        if name == "lengths" or (name in ("input", "output") and self.layout == "batch"):
            return 0
        return 1

    def row_inputs(self, inputs, row):
        return {name: np.ascontiguousarray(np.take(array, [row], axis=self.batch_axis(name)))
                for name, array in inputs.items()}


class Architecture:
    """A whole model in one file, with the metadata key sluice.architecture."""

    kind = "architecture"
    ACTIVATIONS = {"Sigmoid": nn.Sigmoid, "Tanh": nn.Tanh, "ReLU": nn.ReLU, "SiLU": nn.SiLU,
                   "LogSigmoid": nn.LogSigmoid, "Hardsigmoid": nn.Hardsigmoid}

    def __init__(self, choose):
        self.choose = choose
        self.batch_first = choose.random() < 0.5
        self.unbatched = choose.random() < 0.2
        self.steps = choose.choice((13, 40, 100))
        self.rows = 1 if self.unbatched else choose.choice((1, 2, 7, 33))
        self.storage = choose.choice(("F32", "F64"))
        self.entries, self.modules = [], nn.ModuleDict()
        self.chain = []  # functions of (sequence [T, B, F], lengths)
        self.ends_sequence = self.has_convolution = self.is_bidirectional = False
        self.has_padding = False
        self.embedding_rows = 0
        self._begin()
        self._recurrent()
        self._end()
        self.module = round_to_storage(self.modules, self.storage)
        if self.embedding_rows:
            self.x = torch.tensor([[[choose.randrange(self.embedding_rows)] for _ in range(self.rows)]
                                   for _ in range(self.steps)]).double()
        else:
            self.x = torch.randn(self.steps, self.rows, self.input_size).double()
        # Rows end early only where the end of the model says what happens then.
        takes_lengths = self.ends_sequence and not self.has_convolution and not self.unbatched
        self.lengths = None
        if takes_lengths and choose.random() < 0.6:
            self.lengths = torch.tensor([choose.randint(0, self.steps) for _ in range(self.rows)])

    def _add(self, type_name, module, apply, **options):
        entry = {"type": type_name, **options}
        if module is not None and list(module.parameters()):
            name = f"m{len(self.entries)}"
            self.modules[name] = in_double(module)
            entry["prefix"] = name
        self.entries.append(entry)
        self.chain.append(apply)

    def _begin(self):
        self.size = random_size(self.choose, 128)
        start = self.choose.choice(("embedding", "conv1d", "linear", "none"))
        self.input_size = self.size
        if start == "embedding":
            self.embedding_rows = self.choose.randint(2, 100)
            self._add("Embedding", nn.Embedding(self.embedding_rows, self.size),
                      lambda m, x: m(x[..., 0].long()),
                      num_embeddings=self.embedding_rows, embedding_dim=self.size)
        elif start == "conv1d":
            self._convolution()
        elif start == "linear":
            self._linear()
            self._activation()

    def _convolution(self):
        self.has_convolution = True
        groups = self.choose.choice((1, 1, 2))
        self.input_size = self.size = self.size * groups
        outputs = groups * random_size(self.choose, 64)
        kernel, stride = self.choose.randint(1, 4), self.choose.randint(1, 3)
        padding, dilation = self.choose.choice((0, 0, 2)), self.choose.randint(1, 3)
        bias = self.choose.random() < 0.7
        self.has_padding = padding > 0
        self._add("Conv1d", nn.Conv1d(self.size, outputs, kernel, stride, padding, dilation, groups, bias),
                  lambda m, x: m(x.permute(1, 2, 0)).permute(2, 0, 1),
                  in_channels=self.size, out_channels=outputs, kernel_size=kernel, stride=stride,
                  padding=padding, dilation=dilation, groups=groups, bias=bias)
        self.size = outputs

    def _linear(self):
        outputs, bias = random_size(self.choose, 128), self.choose.random() < 0.7
        self._add("Linear", nn.Linear(self.size, outputs, bias=bias), lambda m, x: m(x),
                  in_features=self.size, out_features=outputs, bias=bias)
        self.size = outputs

    def _activation(self):
        name = self.choose.choice((*self.ACTIVATIONS, "Softmax", "HardSigmoidONNX"))
        if name == "Softmax":
            apply = lambda m, x: torch.softmax(x, dim=-1)  # noqa: E731
        elif name == "HardSigmoidONNX":
            apply = lambda m, x: torch.clamp(0.2 * x + 0.5, 0, 1)  # noqa: E731
        else:
            function = self.ACTIVATIONS[name]()
            apply = lambda m, x: function(x)  # noqa: E731
        self._add(name, None, apply)

    def _layer_norm(self):
        affine, eps = self.choose.random() < 0.7, self.choose.choice((1e-5, 1e-3))
        if self.size >= 8:  # of few features that are nearly equal it would only show their rounding errors
            norm = nn.LayerNorm(self.size, eps=eps, elementwise_affine=affine)
            self._add("LayerNorm", norm,
                      (lambda m, x: m(x)) if affine
                      else (lambda m, x: nn.functional.layer_norm(x, x.shape[-1:], eps=eps)),
                      normalized_shape=self.size, eps=eps, elementwise_affine=affine)

    def _recurrent(self):
        for _ in range(self.choose.choice((1, 1, 2))):
            kind = self.choose.choice(("LSTM", "GRU", "RNN"))
            hidden, layers = random_size(self.choose, 128), self.choose.choice((1, 2))
            options = dict(input_size=self.size, hidden_size=hidden, num_layers=layers,
                           bidirectional=self.choose.random() < 0.3, bias=self.choose.random() < 0.8)
            if kind == "RNN":
                options["nonlinearity"] = self.choose.choice(("tanh", "relu"))
            if kind == "LSTM" and hidden > 1 and self.choose.random() < 0.3:
                options["proj_size"] = self.choose.randint(1, hidden - 1)
            module = getattr(nn, kind)(**options)
            self.is_bidirectional |= options["bidirectional"]
            self._add(kind, module, lambda m, x: run_recurrent(m, x, None, self.current_lengths)[0],
                      **options, batch_first=self.batch_first)
            self.size = (options.get("proj_size") or hidden) * (2 if options["bidirectional"] else 1)
            if self.choose.random() < 0.3:
                self._layer_norm()

    def _end(self):
        end = self.choose.choice(("LastStep", "MeanOverTime", "all"))
        if end == "LastStep":
            self._add(end, None, lambda m, x: self._valid(x, lambda row: row[-1:]))
        elif end == "MeanOverTime":
            self._add(end, None, lambda m, x: self._valid(x, lambda row: row.mean(dim=0, keepdim=True)))
        self.ends_sequence = end != "all"
        self._linear()
        if self.choose.random() < 0.6:
            self._activation()

    def _valid(self, x, reduce):
        """reduce() over each row's valid steps; zeros where there are none."""
        ends = [x.shape[0]] * x.shape[1] if self.current_lengths is None else self.current_lengths.tolist()
        rows = [reduce(x[:end, row]) if end > 0 else torch.zeros(1, x.shape[2], dtype=x.dtype)
                for row, end in enumerate(ends)]
        return torch.stack(rows, dim=1)

    def describe(self):
        types = "+".join(entry["type"] for entry in self.entries)
        return (f"architecture {types} T={self.steps} B={self.rows} batch_first={self.batch_first} "
                f"unbatched={self.unbatched} lengths={self.lengths is not None} {self.storage}")

    def save(self, path):
        metadata = {"sluice.architecture": json.dumps(self.entries)}
        save_weights(path, self.module.state_dict(), self.storage, metadata)

    def flags(self):
        return []

    def inputs(self, dtype):
        x = self.x[..., 0] if self.embedding_rows else self.x
        x = x[:, 0] if self.unbatched else x.transpose(0, 1) if self.batch_first else x
        arrays = {"input": x.numpy().astype(np.int64 if self.embedding_rows else dtype)}
        if self.lengths is not None:
            arrays["lengths"] = self.lengths.numpy()
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def expected(self, dtype):
        self.current_lengths = self.lengths
        stored = {name: value.clone() for name, value in self.module.state_dict().items()}
        modules = self.module.to(dtype)
        x = self.x.to(dtype)
        for entry, apply in zip(self.entries, self.chain):
            x = apply(modules[entry["prefix"]] if "prefix" in entry else None, x)
        self.module.to(torch.float64).load_state_dict(stored)  # float32 has rounded what the file holds
        if self.ends_sequence:
            x = x[0]
            return {"output": x[0] if self.unbatched else x}
        return {"output": x[:, 0] if self.unbatched else x.transpose(0, 1) if self.batch_first else x}

    def can_step(self):
        return not self.is_bidirectional and not self.has_padding

    def is_batched(self):
        return not self.unbatched

    def random_row(self):
        return self.choose.randrange(self.rows)

    def batch_axis(self, name):
        if name == "lengths" or (name == "output" and self.ends_sequence):
            return 0
        return 0 if self.batch_first else 1

    def row_inputs(self, inputs, row):
        return {name: np.ascontiguousarray(np.take(array, [row], axis=self.batch_axis(name)))
                for name, array in inputs.items()}


def random_model(choose, number):
    kinds = ("LSTM", "GRU", "RNN", "architecture", "LSTM", "GRU", "LSTMCell", "architecture", "GRUCell",
             "RNNCell")
    kind = kinds[number % len(kinds)]
    return Architecture(choose) if kind == "architecture" else BareModel(choose, kind)
