# SPDX-License-Identifier: Apache-2.0
"""Compares `sluice run` with PyTorch in float64 on random models, and its output files with each other.

Not part of ctest: it needs PyTorch and NumPy (Debian: python3-torch, python3-numpy), and each run draws new
models. By hand, after a build:

    /usr/bin/python3 tests/parity/check_against_torch.py [--cases 150] [--seed N] [--sluice build/bin/sluice]

Every case makes a model (a bare layer or cell with random options, or a whole architecture), saves it as
safetensors and its inputs as .npy, and runs the program on them.
  - Results against PyTorch's in float64 on the same stored numbers, relative to the largest of the tensor:
    at most 3e-6 in float32 and 1e-12 in float64.
  - Equal files, byte for byte: one thread and two; --step and not; a row of the batch alone and in the batch.
Prints a table with the worst differences, PyTorch's own float32 beside them; exits with 1 if anything failed.
A failing case is kept, with the command that shows it. The seed is printed: it gives the same models again.
"""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch

import models

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLERANCE = {"float32": 3e-6, "float64": 1e-12}


def difference(got, want):
    """The largest difference, relative to the largest value wanted; infinity for another shape or NaN."""
    if got.shape != tuple(want.shape):
        return float("inf")
    want = want.detach().numpy().astype(np.float64)
    if want.size == 0:
        return 0.0
    largest = np.abs(want).max()
    worst = np.abs(got.astype(np.float64) - want).max() / (largest if largest > 0 else 1.0)
    return float(worst) if np.isfinite(worst) else float("inf")


class Runner:
    """Runs the program in a folder and collects what went wrong."""

    def __init__(self, program, folder):
        self.program, self.folder, self.failures = program, folder, []

    def run(self, tag, case, inputs, outputs, options):
        """Returns {output: path}, or None after a failure. inputs, outputs: option -> array or None."""
        command = [str(self.program), "run", str(self.folder / "model.safetensors"), *options]
        for name, array in inputs.items():
            path = self.folder / f"{tag}.{name}.in.npy"
            np.save(path, array)
            command += [f"--{name}", str(path)]
        paths = {name: self.folder / f"{tag}.{name}.npy" for name in outputs}
        for name, path in paths.items():
            command += [f"--{name}", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            shown = " ".join(command)
            self.failures.append(f"{case}: exit {done.returncode}: {done.stderr.strip()}: {shown}")
            return None
        return paths

    def expect_same_bytes(self, what, a, b):
        if a.read_bytes() != b.read_bytes():
            self.failures.append(f"{what}: {a} and {b} differ")


class Table:
    def __init__(self):
        self.rows = {}

    def add(self, kind, dtype, worst, own, checks):
        row = self.rows.setdefault((kind, dtype), {"cases": 0, "worst": 0.0, "own": 0.0, "checks": {}})
        row["cases"] += 1
        row["worst"], row["own"] = max(row["worst"], worst), max(row["own"], own)
        for name in checks:
            row["checks"][name] = row["checks"].get(name, 0) + 1

    def show(self):
        print(f"{'model':<14}{'dtype':<9}{'cases':>6}{'worst':>11}{'allowed':>10}{'torch f32':>11}"
              f"{'threads':>9}{'step':>6}{'row':>6}")
        for (kind, dtype), row in sorted(self.rows.items()):
            own = f"{row['own']:.2e}" if dtype == "float32" else "-"
            counts = [row["checks"].get(name, 0) for name in ("threads", "step", "row")]
            print(f"{kind:<14}{dtype:<9}{row['cases']:>6}{row['worst']:>11.2e}{TOLERANCE[dtype]:>10.0e}"
                  f"{own:>11}{counts[0]:>9}{counts[1]:>6}{counts[2]:>6}")


def check_case(model, dtype, runner, table):
    """All comparisons of one model in one element type."""
    label = f"{model.describe()} {dtype}"
    model.save(runner.folder / "model.safetensors")
    flags = model.flags() + ["--dtype", dtype]
    inputs, want = model.inputs(dtype), model.expected(torch.float64)
    before = len(runner.failures)
    two = runner.run("two", label, inputs, want.keys(), flags + ["--threads", "2"])
    if two is None:
        return
    worst = 0.0
    for name, path in two.items():
        found = difference(np.load(path), want[name])
        worst = max(worst, found)
        if not found <= TOLERANCE[dtype]:
            runner.failures.append(f"{label}: {name} is off by {found:.3g}")
    checks = []
    one = runner.run("one", label, inputs, want.keys(), flags + ["--threads", "1"])
    if one is not None:
        checks.append("threads")
        for name in want:
            runner.expect_same_bytes(f"{label}: threads", one[name], two[name])
    if model.can_step():
        step = runner.run("step", label, inputs, want.keys(), flags + ["--step"])
        if step is not None:
            checks.append("step")
            for name in want:
                runner.expect_same_bytes(f"{label}: step", step[name], two[name])
    if model.is_batched():
        row = model.random_row()
        row_inputs = model.row_inputs(inputs, row)
        alone = runner.run("row", label, row_inputs, want.keys(), flags + ["--threads", "2"])
        if alone is not None:
            checks.append("row")
            for name in want:
                part = np.take(np.load(two[name]), [row], axis=model.batch_axis(name))
                if np.load(alone[name]).tobytes() != np.ascontiguousarray(part).tobytes():
                    runner.failures.append(f"{label}: row {row} of {name} alone differs from it in the batch")
    own = max(difference(value.numpy(), want[name])
              for name, value in model.expected(torch.float32).items()) if dtype == "float32" else 0.0
    table.add(model.kind, dtype, worst, own, checks)
    if len(runner.failures) > before:
        kept = pathlib.Path(tempfile.mkdtemp(prefix="sluice_parity_"))
        shutil.copytree(runner.folder, kept, dirs_exist_ok=True)
        runner.failures.append(f"{label}: files kept in {kept}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=150)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sluice", type=pathlib.Path, default=ROOT / "build" / "bin" / "sluice")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, PyTorch {torch.__version__}")
    torch.set_grad_enabled(False)
    torch.manual_seed(arguments.seed)
    choose = random.Random(arguments.seed)
    table, failures = Table(), []
    for k in range(arguments.cases):
        model = models.random_model(choose, k)
        for dtype in TOLERANCE:
            with tempfile.TemporaryDirectory() as folder:
                runner = Runner(arguments.sluice, pathlib.Path(folder))
                check_case(model, dtype, runner, table)
                failures += runner.failures
    table.show()
    for failure in failures:
        print("FAILED:", failure)
    print(f"{len(failures)} failures" if failures else "all equal or within the bounds")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
