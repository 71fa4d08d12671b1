# SPDX-License-Identifier: Apache-2.0
"""The files of a case, and the comparison of what an engine makes of them. Seeds are fixed, so a case is the same
everywhere."""

import json
import shutil
import wave
import zlib

import numpy as np
from safetensors.numpy import save_file

import custom_cells
import onnx_models
import reference
from cases import CUSTOM_CELLS, SPEECH
from install import BUILD, Failure

# The largest difference from float64 that a right answer in float32 may have, for outputs in [-1, 1]. Sums of some
# 4000 products of float32 differ by about sqrt(4000) * 2^-24 = 4e-6, and approximations of sigmoid add some 1e-7
# a step; products rounded to bfloat16 or TF32, a wrong gate order or a lost bias differ by 1e-3 and more. Gradients larger
# than 1 are taken as shares of the largest. Parameters after three updates by Adam have moved by up to 3e-3 each.
TOLERANCE = 2e-5
SAMPLE = 1_000_000  # of elementwise results are looked at, the first ones
LARGE = 10 * SAMPLE  # from this size on these are uniform in [-20, 20], to tell the error there


def make_weights(case, random):
    """As torch.nn makes them: uniform in +-1/sqrt(H)."""
    bound = case["H"] ** -0.5
    rows = (4 if case["cell"] == "lstm" else 3) * case["H"]
    weights = {}
    for layer in range(case["layers"]):
        inputs = case["I"] if layer == 0 else case["directions"] * case["H"]
        for suffix in (f"_l{layer}", f"_l{layer}_reverse")[: case["directions"]]:
            shapes = {
                "weight_ih": (rows, inputs),
                "weight_hh": (rows, case["H"]),
                "bias_ih": (rows,),
                "bias_hh": (rows,),
            }
            for name, shape in shapes.items():
                weights[name + suffix] = random.uniform(-bound, bound, shape).astype(np.float32)
    return weights


def write_recurrent(folder, case, random):
    """Files of a case with LSTMs or GRUs; returns what they should give, in float64."""
    count = case.get("models", 1)
    x = random.standard_normal((count, case["T"], case["B"], case["I"])).astype(np.float32)
    wanted = []
    for m in range(count):
        weights = make_weights(case, random)
        save_file(weights, folder / f"model{m}.safetensors")
        onnx_models.recurrent(folder / f"model{m}.onnx", case, weights)
        wanted.append(
            reference.sequence(
                case["cell"], x[m], weights, case["layers"], case["directions"], case.get("lengths")
            )
        )
    is_one = case["kind"] != "models"
    np.save(folder / "x.npy", x[0] if is_one else x)
    return wanted[0] if is_one else np.stack(wanted)


def write_training(folder, case, random):
    """Files of a case of training; returns the parts of what it should give, in float64, one after the other."""
    x = random.standard_normal((case["T"], case["B"], case["I"])).astype(np.float32)
    given = random.standard_normal((case["T"], case["B"], case["H"])).astype(np.float32)
    weights = make_weights(case, random)
    save_file(weights, folder / "model0.safetensors")
    np.save(folder / "x.npy", x)
    np.save(folder / "given.npy", given)  # the gradient of y, or what y should be
    x, given = x.astype(np.float64), given.astype(np.float64)
    values = [weights[name + "_l0"].astype(np.float64) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    if case["kind"] == "train":
        parts = reference.gradients(case["cell"], x, *values, lambda _: given)
    else:

        def of_loss(values):  # the mean of (y - given)^2
            return reference.gradients(case["cell"], x, *values, lambda y: 2 * (y - given) / y.size)[2:]

        parts = reference.adam(values, of_loss, case["updates"])
    np.save(folder / "ends.npy", np.cumsum([part.size for part in parts]))
    return np.concatenate([part.ravel() for part in parts])


def write_cell(folder, case, random):
    """Files of a case with a custom cell; returns y, or the parts of what training gives, one after the other."""
    size, (gates, others) = case["H"], CUSTOM_CELLS[case["cell"]]
    shapes = {"weight_ih": (gates * size, case["I"]), "weight_hh": (gates * size, size)}
    shapes |= {name: (count * size,) for name, count in others.items()}
    bound = size**-0.5
    weights = {name: random.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in weights:
        if name.startswith("gain"):
            # 0.1 as Cooijmans et al. (2017) for what is fed back: from 1 a step may enlarge differences, and rounding
            # alone comes to 1e-2 after 100 of them.
            weights[name] += 0.1 if name == "gain_hh" else 1
    x = random.standard_normal((case["T"], case["B"], case["I"])).astype(np.float32)
    given = random.standard_normal((case["T"], case["B"], size)).astype(np.float32)
    save_file({name + "_l0": array for name, array in weights.items()}, folder / "model0.safetensors")
    np.save(folder / "x.npy", x)
    wanted = {name: array.astype(np.float64) for name, array in weights.items()}
    y, back = custom_cells.sequence(case["cell"], x.astype(np.float64), wanted)
    if case["kind"] == "cell":
        return y
    np.save(folder / "given.npy", given)  # the gradient of y
    parts = [y, *back(given.astype(np.float64))]
    np.save(folder / "ends.npy", np.cumsum([part.size for part in parts]))
    return np.concatenate([part.ravel() for part in parts])


def write_elementwise(folder, case, random):
    x = (3 * random.standard_normal(case["n"])).astype(np.float32)  # as gates see them
    if case["n"] >= LARGE:
        x[:SAMPLE] = random.uniform(-20, 20, SAMPLE)
    np.save(folder / "x.npy", x)
    onnx_models.elementwise(folder / "model0.onnx", case["function"].capitalize(), case["n"])
    sample = x[:SAMPLE].astype(np.float64)
    return reference.sigmoid(sample) if case["function"] == "sigmoid" else np.tanh(sample)


def write_speech(folder):
    shutil.copy(SPEECH / "silero_vad_16k_op15.onnx", folder / "model0.onnx")
    weights = onnx_models.speech_weights(folder / "model0.onnx")
    save_file(weights, folder / "model0.safetensors")
    with wave.open(str(SPEECH / "test.wav")) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
    windows = -(-len(samples) // 512)
    x = np.zeros(windows * 512, np.float32)
    x[: len(samples)] = samples / np.float32(32768)
    x = x.reshape(windows, 512)
    np.save(folder / "x.npy", x)
    return reference.speech(x, weights)


def write(name, case):
    """The folder of a case, made where it is not there yet."""
    folder = BUILD / "cases" / name
    done = folder / "case.json"
    text = json.dumps(case)
    if done.exists() and done.read_text() == text:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if case["kind"] == "elementwise":
        wanted = write_elementwise(folder, case, random)
    elif case["kind"] == "vad":
        wanted = write_speech(folder)
    elif case["kind"].startswith("cell"):
        wanted = write_cell(folder, case, random)
    elif case["kind"].startswith("train"):
        wanted = write_training(folder, case, random)
    else:
        wanted = write_recurrent(folder, case, random)
    np.save(folder / "wanted.npy", wanted)
    done.write_text(text)
    return folder


def write_empty():
    """A case in which an engine has nothing to do."""
    folder = BUILD / "cases" / "empty"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.json").write_text(json.dumps({"kind": "empty"}))
    np.save(folder / "x.npy", np.zeros((1, 1, 1), np.float32))
    onnx_models.empty(folder / "model0.onnx")
    return folder


def compare(folder, case, engine):
    """{"error": largest difference from float64, "ulp": the same in units in the last place (elementwise)}. Raises
    Failure where the answer is wrong."""
    wanted = np.load(folder / "wanted.npy")
    got = np.load(folder / f"{engine}.npy")
    if case["kind"] == "elementwise":
        got = got[:SAMPLE]
    if got.shape != wanted.shape:
        raise Failure(f"the result is {list(got.shape)}, expected {list(wanted.shape)}")
    difference = np.abs(got - wanted)
    if "lengths" in case:  # past a row's length nothing is promised
        difference = difference[np.arange(case["T"])[:, None] < np.array(case["lengths"])]
    if (folder / "ends.npy").exists():  # gradients may be large: in each part as a share of its largest element
        ends = np.load(folder / "ends.npy")[:-1]
        difference = np.concatenate(
            [d / max(1, np.abs(w).max()) for d, w in zip(np.split(difference, ends), np.split(wanted, ends))]
        )
    worst = float(difference.max())
    if not worst <= TOLERANCE:  # also for NaN
        raise Failure(f"differs from float64 by {worst:.2g}, allowed {TOLERANCE:.0e}")
    result = {"error": worst}
    if case["kind"] == "elementwise":  # spacing() is that of float32's subnormals, too
        result["ulp"] = float((difference / np.spacing(np.abs(wanted).astype(np.float32))).max())
    return result
