# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on a case's ONNX model, with the protocol of worker.h. Its package has no C++ headers, so it is called
from Python: inputs and outputs are bound once, and the cost of a call is measured on an empty model ("empty").
"""

import threading

import numpy as np
import onnxruntime as ort

from worker import Unsupported, serve


def session(path, threads):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Array:
    """NumPy memory that a session reads or writes in place."""

    def __init__(self, array):
        self.array = np.ascontiguousarray(array)

    def place(self):
        return ("cpu", 0, self.array.dtype, list(self.array.shape), self.array.ctypes.data)


def bind(model, inputs, outputs):
    binding = model.io_binding()
    for name, array in inputs.items():
        binding.bind_input(name, *array.place())
    for name, array in outputs.items():
        binding.bind_output(name, *array.place())
    return binding


def output_array(model, name="y"):
    shape = next(o.shape for o in model.get_outputs() if o.name == name)
    return Array(np.zeros(shape, np.float32))


class Whole:
    def __init__(self, case, folder, threads):
        self.case, self.model = case, session(f"{folder}/model0.onnx", threads)
        self.inputs = {"x": Array(np.load(f"{folder}/x.npy"))}
        if case.get("lengths"):
            self.inputs["lengths"] = Array(np.array(case["lengths"], np.int32))
        self.y = output_array(self.model)
        self.binding = bind(self.model, self.inputs, {"y": self.y})

    def run(self):
        self.model.run_with_iobinding(self.binding)

    def result(self):
        return directions_last(self.y.array) if self.case["kind"] == "sequence" else self.y.array


def directions_last(y):
    """[T, D, B, H] -> [T, B, D * H]"""
    steps, directions, batch, hidden = y.shape
    return np.ascontiguousarray(y.transpose(0, 2, 1, 3)).reshape(steps, batch, directions * hidden)


class Stepped:
    """Bindings for all steps are made beforehand; two sets of states take turns."""

    def __init__(self, case, folder, threads):
        self.model = session(f"{folder}/model0.onnx", threads)
        x = np.load(f"{folder}/x.npy")
        steps, batch, hidden = case["T"], case["B"], case["H"]
        assert steps % 2 == 0  # so that a call leaves the states where the next takes them
        names = ["h", "c"][: 2 if case["cell"] == "lstm" else 1]
        self.x, self.y = Array(x), Array(np.zeros((steps, batch, hidden), np.float32))
        self.states = [{s: Array(np.zeros((1, batch, hidden), np.float32)) for s in names} for _ in range(2)]
        self.parts, self.bindings = [], []
        for t in range(steps):
            into = {"x": Array(self.x.array[t : t + 1])} | {s + "0": a for s, a in self.states[t % 2].items()}
            out = {"y": Array(self.y.array[t].reshape(1, 1, batch, hidden))}
            out |= {s + "n": a for s, a in self.states[1 - t % 2].items()}
            self.parts.append((into, out))
            self.bindings.append(bind(self.model, into, out))

    def run(self):
        run = self.model.run_with_iobinding
        for binding in self.bindings:
            run(binding)

    def result(self):
        return self.y.array


class Models:
    """Each host thread runs its share of the models; ONNX Runtime lets go of Python's lock while it runs."""

    def __init__(self, case, folder, threads):
        x = np.load(f"{folder}/x.npy")
        self.models = [session(f"{folder}/model{m}.onnx", 1) for m in range(case["models"])]
        self.x = [Array(part) for part in x]
        self.y = [output_array(model) for model in self.models]
        calls = [
            (m.run_with_iobinding, bind(m, {"x": x}, {"y": y}))
            for m, x, y in zip(self.models, self.x, self.y)
        ]
        self.own, *others = [calls[t::threads] for t in range(threads)]
        self.starts, self.ends = threading.Barrier(threads), threading.Barrier(threads)
        for share in others:
            threading.Thread(target=self.help, args=(share,), daemon=True).start()

    def help(self, share):
        while True:
            self.starts.wait()
            for run, binding in share:
                run(binding)
            self.ends.wait()

    def run(self):
        self.starts.wait()
        for run, binding in self.own:
            run(binding)
        self.ends.wait()

    def result(self):
        return np.stack([directions_last(y.array) for y in self.y])


class Speech:
    """A call is one window; the bindings of all windows are made beforehand."""

    def __init__(self, case, folder, threads):
        self.model = session(f"{folder}/model0.onnx", threads)
        windows = np.load(f"{folder}/x.npy")
        before = np.zeros((len(windows), 64), np.float32)
        before[1:] = windows[:-1, -64:]
        self.x = np.concatenate([before, windows], axis=1)
        self.y = np.zeros((len(windows), 1, 1), np.float32)
        self.states = [Array(np.zeros((2, 1, 128), np.float32)) for _ in range(2)]
        rate = Array(np.array(16000))
        self.bindings = []
        for t in range(len(windows)):
            into = {"input": Array(self.x[t : t + 1]), "state": self.states[t % 2]}
            if any(i.name == "sr" for i in self.model.get_inputs()):
                into["sr"] = rate
            self.bindings.append(
                bind(self.model, into, {"output": Array(self.y[t]), "stateN": self.states[1 - t % 2]})
            )
        self.rate, self.next = rate, 0

    def run(self):
        self.model.run_with_iobinding(self.bindings[self.next])
        self.next += 1
        if self.next == len(self.bindings):
            self.next = 0
            self.states[0].array[:] = 0

    def result(self):
        while self.next != 0:
            self.run()
        return self.y.reshape(-1)


KINDS = {
    "sequence": Whole,
    "elementwise": Whole,
    "empty": Whole,
    "stream": Stepped,
    "models": Models,
    "vad": Speech,
}


def make(case, folder, threads):
    if case["kind"].startswith("train"):
        raise Unsupported("it does not train")
    job = KINDS[case["kind"]](case, folder, threads)
    job.setting = "called from Python, inputs and outputs bound"
    return job


if __name__ == "__main__":
    serve("onnxruntime", ort.__version__, make)
