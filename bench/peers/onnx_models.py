# SPDX-License-Identifier: Apache-2.0
"""The cases as ONNX models, for the engines that read them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from install import Failure

FLOAT = TensorProto.FLOAT


def save(path, nodes, inputs, outputs, constants):
    graph = helper.make_graph(
        nodes, "case",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def gates(cell, array):
    """PyTorch's order of gates to ONNX's: LSTM i f g o to i o f c; GRU r z n to z r h."""
    parts = np.split(array, 4 if cell == "lstm" else 3)
    return np.concatenate([parts[k] for k in ([0, 3, 1, 2] if cell == "lstm" else [1, 0, 2])])


def layer_constants(cell, weights, layer, directions):
    w, r, b = [], [], []
    for suffix in (f"_l{layer}", f"_l{layer}_reverse")[:directions]:
        w.append(gates(cell, weights["weight_ih" + suffix]))
        r.append(gates(cell, weights["weight_hh" + suffix]))
        b.append(np.concatenate([gates(cell, weights[name + suffix]) for name in ("bias_ih", "bias_hh")]))
    return {f"W{layer}": np.stack(w), f"R{layer}": np.stack(r), f"B{layer}": np.stack(b)}


def recurrent(path, case, weights):
    """x [T, B, I] -> y [T, D, B, H]. A case of streams has T = 1 and takes and gives its states, and one with lengths
    takes those."""
    cell, batch, hidden, directions = case["cell"], case["B"], case["H"], case["directions"]
    is_stream = case["kind"] == "stream"
    steps = 1 if is_stream else case["T"]
    states = ["h", "c"][: 2 if cell == "lstm" else 1] if is_stream else []
    inputs = [("x", FLOAT, [steps, batch, case["I"]])] + [
        (s + "0", FLOAT, [directions, batch, hidden]) for s in states
    ]
    outputs = [("y", [steps, directions, batch, hidden])] + [
        (s + "n", [directions, batch, hidden]) for s in states
    ]
    lengths = ""
    if case.get("lengths"):
        lengths = "lengths"
        inputs.append((lengths, TensorProto.INT32, [batch]))
    nodes, constants, name = [], {}, "x"
    for layer in range(case["layers"]):
        is_last = layer + 1 == case["layers"]
        constants |= layer_constants(cell, weights, layer, directions)
        options = {"hidden_size": hidden, "direction": "bidirectional" if directions == 2 else "forward"}
        if cell == "gru":
            options["linear_before_reset"] = 1
        into = [name, f"W{layer}", f"R{layer}", f"B{layer}", lengths] + [s + "0" for s in states]
        out = "y" if is_last else f"y{layer}"
        nodes.append(helper.make_node(cell.upper(), into, [out] + [s + "n" for s in states], **options))
        if not is_last:  # [T, D, B, H] -> [T, B, D * H]
            constants["joined"] = np.array([steps, batch, directions * hidden])
            nodes.append(helper.make_node("Transpose", [out], [out + "t"], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [out + "t", "joined"], [out + "r"]))
            name = out + "r"
    save(path, nodes, inputs, outputs, constants)


def elementwise(path, function, n):
    save(path, [helper.make_node(function, ["x"], ["y"])], [("x", FLOAT, [n])], [("y", [n])], {})


def empty(path):
    """A model that does nothing: what is left of a call is its cost."""
    shape = [1, 1, 1]
    save(path, [helper.make_node("Identity", ["x"], ["y"])], [("x", FLOAT, shape)], [("y", shape)], {})


SPEECH_NAMES = (
    ["stft_conv.weight"]
    + [f"conv{i}.{kind}" for i in (1, 2, 3, 4) for kind in ("weight", "bias")]
    + ["lstm_cell." + name for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    + ["final_conv.weight", "final_conv.bias"]
)


def speech_weights(path):
    """The weights of the voice-activity model, by the names of its safetensors file. The file in ONNX is another
    training of the network, and all engines are to have the same."""
    arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer]
    if len(arrays) != len(SPEECH_NAMES):
        raise Failure(f"{path}: {len(arrays)} weights, expected {len(SPEECH_NAMES)}")
    return dict(zip(SPEECH_NAMES, arrays))
