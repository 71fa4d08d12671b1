# SPDX-License-Identifier: Apache-2.0
"""What is measured: the list of cases."""

from install import ROOT

SPEECH = ROOT.parent / "shared" / "data" / "silero"


def recurrent(cell, hidden, steps, batch, **more):
    return {"kind": "sequence", "cell": cell, "H": hidden, "I": hidden, "T": steps, "B": batch, "layers": 1,
            "directions": 1, "unit": "step", "units": steps} | more  # fmt: skip


# name -> (gates, parameters beside weight_ih [gates * H, I] and weight_hh [gates * H, H], in multiples of H).
CUSTOM_CELLS = {
    "lstm": (4, {"bias_ih": 4, "bias_hh": 4}),
    "peephole-lstm": (4, {"bias": 4, "peephole": 3}),
    "layer-norm-lstm": (4, {"gain_ih": 4, "gain_hh": 4, "bias": 4, "gain_c": 1, "bias_c": 1}),
    "li-gru": (2, {"bias": 2}),
}


def all_cases():
    """name -> case. `units` is how many units (steps, models, windows) one call does."""
    cases = {}
    for cell in ("lstm", "gru"):
        shapes = [(64, 100, 1), (128, 100, 1), (256, 100, 1), (1792, 50, 1), (256, 100, 2), (256, 100, 3), (256, 100, 5),
                  (256, 150, 64), (512, 25, 16), (512, 25, 32), (1024, 25, 16), (1024, 25, 64), (2048, 25, 64)]  # fmt: skip
        for hidden, steps, batch in shapes:
            cases[f"{cell}-{hidden}-b{batch}"] = recurrent(cell, hidden, steps, batch)
        cases[f"{cell}-bi2-256-b16"] = recurrent(cell, 256, 100, 16, layers=2, directions=2)
        for steps, inputs in ((63, 24), (31, 48), (15, 96)):  # oneDNN's issue 837
            cases[f"{cell}-bi-32-t{steps}"] = recurrent(cell, 32, steps, 1, I=inputs, directions=2)
        cases[f"{cell}-streams-128-b64"] = recurrent(cell, 128, 100, 64, kind="stream")
        cases[f"{cell}-models-64"] = recurrent(
            cell, 64, 100, 1, kind="models", models=100, unit="model", units=100
        )
        lengths = [10 + 490 * (7 * row % 32) // 31 for row in range(32)]  # evenly spread, in no order
        cases[f"{cell}-ragged-256-b32"] = recurrent(cell, 256, 500, 32, lengths=lengths)
    for function in ("sigmoid", "tanh"):
        for size in ("1e3", "1e5", "3e7"):
            n = int(float(size))
            cases[f"{function}-{size}"] = {
                "kind": "elementwise",
                "function": function,
                "n": n,
                "unit": "call",
                "units": 1,
            }
    for kind in ("train", "train-step"):
        for cell in ("lstm", "gru"):
            for hidden, steps, batch in ((256, 150, 64), (512, 25, 32), (1024, 25, 64)):
                updates = {"updates": 3} if kind == "train-step" else {}
                cases[f"{kind}-{cell}-{hidden}-b{batch}"] = recurrent(
                    cell, hidden, steps, batch, kind=kind, unit="batch", units=1, **updates
                )
    for kind in ("cell", "cell-train"):
        for cell in CUSTOM_CELLS:
            for hidden, steps, batch in ((512, 25, 32), (256, 150, 64), (256, 100, 1)):
                units = {"unit": "batch", "units": 1} if kind == "cell-train" else {}
                names = ["weight_ih", "weight_hh", *CUSTOM_CELLS[cell][1]]
                cases[f"{kind}-{cell}-{hidden}-b{batch}"] = recurrent(
                    cell, hidden, steps, batch, kind=kind, names=names, **units
                )
    cases["vad"] = {"kind": "vad", "unit": "window", "units": 1, "threads": [1]}
    return cases


def describe(case):
    if case["kind"] == "elementwise":
        return f"{case['n']} elements"
    if case["kind"] == "vad":
        return "a voice-activity network, window by window"
    text = (
        f"H={case['H']}"
        + ("" if case["I"] == case["H"] else f" I={case['I']}")
        + f" T={case['T']} B={case['B']}"
    )
    if case["layers"] > 1:
        text += f", {case['layers']} layers"
    if case["directions"] == 2:
        text += ", both directions"
    if case["kind"] == "stream":
        text += ", step by step"
    if case["kind"] in ("train", "cell-train"):
        text += ", forward and backward"
    if case["kind"] == "train-step":
        text += ", a step with Adam"
    if case["kind"] == "models":
        text += f", {case['models']} models"
    if "lengths" in case:
        text += f", {min(case['lengths'])} to {max(case['lengths'])} steps a row"
    return text


def why_not_here(case):
    """Why this case cannot be run on this machine, or None."""
    if case["kind"] == "vad" and not SPEECH.is_dir():
        return f"no voice-activity model: {SPEECH} is not there"
    return None


def flops(case):
    """Multiplications and additions of the products of one call; 0 where that is no measure."""
    if "H" not in case:
        return 0
    gates = 3 if case["cell"] == "gru" else CUSTOM_CELLS[case["cell"]][0]
    rows = sum(case["lengths"]) if "lengths" in case else case["T"] * case["B"]
    columns = sum(
        (case["I"] if layer == 0 else case["directions"] * case["H"]) + case["H"]
        for layer in range(case["layers"])
    )
    if case["kind"] in ("train", "cell-train"):  # as many for the weights' gradients, and as many for those of x and h
        columns *= 3
    if case["kind"] == "train-step":  # nobody wants that of x
        columns = 3 * columns - case["I"]
    return 2 * rows * case["directions"] * gates * case["H"] * columns * case.get("models", 1)
