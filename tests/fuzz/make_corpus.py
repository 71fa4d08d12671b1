# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzzers' corpus into tests/fuzz/corpus/<format>/: python3 tests/fuzz/make_corpus.py

What a fuzzer found lies beside them under the name that says what it was; this script does not touch it.
"""

import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def write(folder, name, data):
    (CORPUS / folder).mkdir(parents=True, exist_ok=True)
    (CORPUS / folder / name).write_bytes(data)


def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def state_dict(tensors, metadata=None):
    """tensors: name -> shape, all float32 and small."""
    header, end = ({"__metadata__": metadata} if metadata else {}), 0
    for name, shape in tensors.items():
        size = 4
        for dim in shape:
            size *= dim
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return safetensors(header, bytes(end))


def tensor(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def make_safetensors():
    def seed(name, data):
        write("safetensors", name, data)
    lstm = {"weight_ih_l0": [8, 1], "weight_hh_l0": [8, 2], "bias_ih_l0": [8], "bias_hh_l0": [8]}
    seed("lstm", state_dict(lstm))
    seed("gru_reverse", state_dict({n + s: d for s in ("", "_reverse") for n, d in
                                    {"weight_ih_l0": [3, 1], "weight_hh_l0": [3, 1]}.items()}))
    seed("projection", state_dict({"weight_ih_l0": [8, 1], "weight_hh_l0": [8, 1], "weight_hr_l0": [1, 2]}))
    seed("rnn_cell", state_dict({"weight_ih": [1, 1], "weight_hh": [1, 1]}))
    seed("architecture", state_dict({"w.weight": [1, 2], "w.bias": [1]}, {"sluice.architecture": json.dumps(
        [{"type": "Linear", "prefix": "w", "in_features": 2, "out_features": 1}, {"type": "Sigmoid"}])}))
    seed("all_types", safetensors({"a": tensor([1], 0, 2, "F16"), "b": tensor([1], 2, 4, "BF16"),
                                   "c": tensor([], 4, 12, "F64"), "d": tensor([0, 3], 12, 12)}, bytes(12)))
    seed("misaligned", safetensors(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  ', bytes(4)))
    seed("empty", b"")
    seed("no_tensors", safetensors(b"{}"))
    seed("header_zero", struct.pack("<Q", 0))
    seed("header_past_end", safetensors(b"{}", length=3))
    seed("header_huge", safetensors(b"{}", length=2**63))
    seed("nul", safetensors(b"{}\0\0"))
    seed("byte_order_mark", safetensors(b"\xef\xbb\xbf{}"))
    seed("not_utf8", safetensors(b'{"\xff":1}'))
    seed("duplicate", safetensors(b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
                                  b'"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'))
    seed("deep", safetensors(b'{"a":' + b"[" * 1000))
    seed("overlap", safetensors({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)))
    seed("gap", safetensors({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12)))
    seed("reversed", safetensors({"a": tensor([1], 4, 0)}, bytes(4)))
    seed("trailing", safetensors({"a": tensor([1], 0, 4)}, bytes(5)))
    seed("shape_wraps", safetensors({"a": tensor([2**62 + 1], 0, 4)}, bytes(4)))
    seed("shape_zero_huge", safetensors({"a": tensor([0, 2**63], 0, 0)}))
    seed("metadata_number", safetensors({"__metadata__": {"k": 1}}))
    seed("metadata_list", safetensors({"__metadata__": []}))


def make_npy():
    def seed(name, text, data=b"", major=1, length=None):
        size = len(text) if length is None else length
        head = struct.pack("<H", size) if major == 1 else struct.pack("<I", size)
        write("npy", name, b"\x93NUMPY" + bytes([major, 0]) + head + text.encode() + data)

    def dictionary(descr, shape, order="False"):
        return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n"
    seed("float32", dictionary("<f4", "(2, 3)"), bytes(24))
    seed("float64", dictionary("<f8", "(1,)"), bytes(8), major=2)
    seed("int64", dictionary("=i8", "(1,)"), bytes(8), major=3)
    seed("rank_zero", dictionary("|f4", "()"), bytes(4))
    seed("no_elements", dictionary("<f4", "(0, 4)"))
    seed("long_integers", '{"shape":(2L,),"fortran_order":True,"descr":"<f4"}', bytes(8))
    seed("header_past_end", dictionary("<f4", "(1,)"), length=60000)
    seed("shape_wraps", dictionary("<f4", "(4611686018427387905,)"), bytes(4))
    seed("shape_too_large", dictionary("<f4", "(99999999999999999999999,)"), bytes(4))
    seed("shape_zero_huge", dictionary("<f4", "(0, 9223372036854775808)"))
    seed("big_endian", dictionary(">f4", "(1,)"), bytes(4))
    seed("object", dictionary("|O", "(1,)"), bytes(4))
    seed("code", "{'descr': __import__('os').system('id')}")
    seed("unfinished", "{'descr': '<f4")
    write("npy", "empty", b"")


def make_architecture():
    def seed(name, value):
        write("architecture", name, value if isinstance(value, bytes) else json.dumps(value).encode())
    lstm = {"type": "LSTM", "prefix": "rnn", "input_size": 2, "hidden_size": 3, "num_layers": 1, "bias": True,
            "batch_first": True, "dropout": 0.5, "bidirectional": False, "proj_size": 0}
    emb = {"type": "Embedding", "prefix": "emb", "num_embeddings": 5, "embedding_dim": 2, "padding_idx": None}
    head = {"type": "Linear", "prefix": "head", "in_features": 3, "out_features": 1}
    seed("tagger", [emb, lstm, {"type": "Dropout", "p": 0.1}, head, {"type": "Sigmoid"}])
    seed("last_step", [emb, lstm, {"type": "LastStep"}, head, {"type": "Softmax", "dim": -1}])
    seed("nested", [emb, lstm, {"type": "Sequential", "prefix": "", "modules": [dict(head, prefix="head")]}])
    seed("conv1d", [{"type": "Conv1d", "prefix": "c", "in_channels": 2, "out_channels": 2, "kernel_size": [3],
                     "stride": 1, "padding": 0, "dilation": 1, "groups": 2, "padding_mode": "zeros"}])
    seed("others", [{"type": "GRU", "input_size": 2, "hidden_size": 3, "reset": "before"},
                    {"type": "RNN", "input_size": 2, "hidden_size": 3, "nonlinearity": "relu"},
                    {"type": "LayerNorm", "normalized_shape": [3], "eps": 1e-5}, {"type": "MeanOverTime"}])
    seed("cells", [{"type": "LSTMCell", "input_size": 2, "hidden_size": 3}])
    seed("custom", [emb, {"type": "Recurrent", "prefix": "rnn", "num_layers": 1, "batch_first": True, "cell": {
        "name": "C", "input_size": 2, "states": [{"name": "h", "size": 12}],
        "values": [{"name": "wx", "op": "matrix", "parameter": "weight_ih", "rows": 12, "args": ["x"]},
                   {"name": "y", "op": "add", "args": ["wx", "bias_ih"]},
                   {"op": "vector", "parameter": "bias_ih", "size": 12}], "next": {"h": "y"}, "output": "h"}}])
    seed("many_layers", [emb, dict(lstm, num_layers=2**31 - 1)])
    seed("huge", [emb, dict(lstm, hidden_size=2**64 - 1)])
    seed("text_for_number", [emb, dict(lstm, hidden_size="64")])
    seed("unknown_option", [emb, dict(lstm, hidden=3)])
    seed("duplicate", b'[{"type": "Sigmoid", "type": "Tanh"}]')
    seed("deep", b"[" * 1000)
    seed("empty", b"")


def make_cell():
    def seed(name, value):
        write("cell", name, value if isinstance(value, bytes) else json.dumps(value).encode())

    def apply(name, op, *args, **more):
        return {"name": name, "op": op, "args": list(args), **more}

    def cell(values, output="y", **more):
        return {"name": "C", "input_size": 2, "states": [{"name": "h", "size": 3}], "values": values,
                "next": {"h": "y"}, "output": output, **more}
    bias = {"op": "vector", "parameter": "b", "size": 3}
    product = apply("wx", "matrix", "x", parameter="w", rows=3)
    seed("rnn", cell([apply("y", "tanh", "pre"), apply("pre", "add", "sum", "b"), bias, product,
                      apply("sum", "add", "wx", "uh"), apply("uh", "matrix", "h", parameter="u", rows=3)]))
    seed("gates", {"name": "G", "input_size": 2, "states": [{"name": "h", "size": 2}, {"name": "c", "size": 2}],
                   "values": [apply("pre", "matrix", "x", parameter="w", rows=4),
                              apply("a", "slice", "pre", first=0, size=2), apply("g", "slice", "pre", first=2, size=2),
                              apply("f", "sigmoid", "a"), apply("old", "mul", "f", "c"), apply("k", "sub", 1, "f"),
                              apply("in", "mul", "k", "g"), apply("c_new", "add", "old", "in"),
                              apply("h_new", "relu", "c_new")],
                   "next": {"h": "h_new", "c": "c_new"}, "output": "h"})
    seed("norm", cell([product, bias, {"op": "scalar", "parameter": "s"},
                       apply("y", "layer_norm", "wx", "s", "b", eps=0.1)], input="x"))
    seed("elementwise", cell([
        product, apply("a", "abs", "wx"), apply("b", "add", "a", 1), apply("l", "log", "b"), apply("r", "sqrt", "b"),
        apply("e", "exp", "wx"), apply("d", "div", "l", "r"), apply("n", "neg", "d"), apply("m", "max", "n", "e"),
        apply("i", "min", "m", "h"), apply("s", "less", "i", 0.5), apply("t", "less_equal", "h", "m"),
        apply("y", "select", "s", "t", "i")], output=0))
    seed("no_states", {"name": "N", "input_size": 1, "states": [], "values": [], "next": {}, "output": "x"})
    seed("cycle", cell([apply("y", "tanh", "z"), apply("z", "tanh", "y")]))
    seed("unknown_operation", cell([apply("y", "softmax", "x")]))
    seed("unknown_name", cell([apply("y", "add", "h", "g")]))
    seed("twice", cell([apply("y", "tanh", "h"), apply("y", "relu", "h")]))
    seed("wrong_shape", cell([apply("y", "add", "h", "x")]))
    seed("huge", cell([apply("y", "matrix", "h", parameter="w", rows=2**63)]))
    seed("slice_wraps", cell([apply("y", "slice", "h", first=2**31 - 1, size=2**20)]))
    seed("not_needed", cell([apply("y", "tanh", "h"), apply("z", "tanh", "h")]))
    seed("deep", b"[" * 1000)


def make_profile():
    def seed(name, value, **changes):
        value = dict(value, **changes) if changes else value
        write("profile", name, value if isinstance(value, bytes) else json.dumps(value).encode())
    bound = {"bound_seconds": 1e-5, "bound_by": "L2", "share_of_bound": 0.5, "flops": 1e5, "bytes": 1e4}
    part = dict(bound, name="rnn", type="LSTM", seconds_per_run={"min": 2e-5, "median": 3e-5},
                phases=dict.fromkeys(["input", "recurrent", "gates", "waiting", "other"], 1e-6),
                gates_per_second=1e9, ns_per_gate=1, elements_per_cycle=0.5, threads=1, parts=[])
    gate = {"module": "rnn", "layer": 0, "direction": 1, "gate": "forget", "is_tanh": False, "activations": 8, "shut": 1,
            "open": 2, "mean": 0.5, "mean_derivative": 0.1, "memory_steps": 2, "memory_low": 1,
            "memory_median": 2, "memory_high": 4, "kept_shut": 0, "kept_open": 1, "histogram": [4, 4],
            "unit_mean": [0.5, None], "unit_deviation": [0.1, 0], "unit_shut": [0, 1], "unit_open": [1, 0],
            "dead_units": [1], "stuck_units": [], "heat": [[0, 0.5], [1, None]]}
    report = dict(bound, schema=1, model="m", dtype="float32", steps=4, batch=1, input_size=2, longest=4, valid_share=1,
                  threads=1, repeat=3, load_seconds=0.1, seconds_per_run={"min": 2e-5, "median": 3e-5},
                  machine={"target": "avx2", "threads": 1, "flops_per_second": 1e11, "sigmoid_per_second": 1e9,
                           "tanh_per_second": 1e9, "levels": [{"name": "L1", "bytes": 32768, "bytes_per_second": 1e11}]},
                  hardware={"is_there": False, "why_not": "no", "cycles": 0, "instructions": 0, "cache_misses": 0},
                  modules=[part, dict(part, parts=[part, part])], is_random_data=False, gates=[gate],
                  gradient_norms=[1e-3, None, 1], trace=[{"name": "rnn l0 gates", "thread": 0, "begin": 0, "seconds": 1e-6,
                                                         "step": 0}],
                  advice=[{"where": "rnn", "what": "w", "figure": "f", "is_measured": True}])
    seed("report", report)
    seed("huge_numbers", report, flops=1e308, bytes=5e-324, load_seconds=1e308, gradient_norms=[1e308, 5e-324],
         modules=[dict(part, flops=1e308, bytes=5e-324)])
    seed("huge_counts", report, steps=2**64 - 1, threads=2**31 - 1, trace=[{"name": "", "thread": 2**64 - 1, "begin": 1e308,
                                                                            "seconds": 1e308, "step": 2**64 - 1}])
    seed("huge_heat", report, gates=[dict(gate, heat=[[3e38, -3e38]], histogram=[2**64 - 1, 1])])
    seed("ragged_heat", report, gates=[dict(gate, heat=[[1], [1, 2]])])
    seed("empty_heat", report, gates=[dict(gate, heat=[[], []], histogram=[])])
    seed("control_characters", report, model="\x1b[2J</script>")
    seed("other_schema", report, schema=2)
    seed("negative", report, steps=-1)
    seed("deep", b"[" * 1000)
    seed("empty", b"")


if __name__ == "__main__":
    make_safetensors()
    make_npy()
    make_architecture()
    make_cell()
    make_profile()
