# SPDX-License-Identifier: Apache-2.0
"""Runs sluice_bench for shapes by name, one process each, and fits lines to what comes out."""

import argparse
import json
import math
import os
import shlex
import subprocess
import sys

GATES = {"Lstm": 4, "Gru": 3, "Rnn": 1}


def parser(description):
    """The options that the scripts share."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures and the figures")
    options.add_argument("--cell", choices=sorted(GATES), default="Lstm")
    options.add_argument("--program", default=shlex.quote(os.path.join(root, "build", "bin", "sluice_bench")),
                         help="the command to run in place of build/bin/sluice_bench")
    options.add_argument("--min-time", default="0.1", metavar="S", help="seconds a shape, at least (0.1)")
    return options


def run(options, shape):
    """One shape: its counters and name, and the machine's caches."""
    command = shlex.split(options.program) + [
        "--shape", shape, "--benchmark_format=json", "--benchmark_min_time=" + options.min_time]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    report = json.loads(done.stdout)
    result = report["benchmarks"][0]
    print(f"  {shape}: {result['us/step']:.4g} us a step", file=sys.stderr)
    counters = {key: result[key] for key in ("us/step", "GFLOP/s", "of_peak", "of_read", "of_bound") if key in result}
    return {"shape": shape, **counters}, report["context"]


def fit(points):
    """The line through points on log axes: y = factor * x^slope, and the largest ratio of a point to it."""
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(y) for _, y in points]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = (sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs))
    factor = math.exp(mean_y - slope * mean_x)
    off = max(abs(y - math.log(factor) - slope * x) for x, y in zip(xs, ys))
    return {"from": points[0][0], "to": points[-1][0], "slope": slope, "factor": factor, "farthest": math.exp(off)}


def write(folder, name, content):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(content)
    print(path)
