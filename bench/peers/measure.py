# SPDX-License-Identifier: Apache-2.0
"""One case: every engine computes it, what they make of it is compared, then they are timed in turn."""

import statistics
import sys

import numpy as np

import cases
import inputs
import machine
from engines import FROM_PYTHON, Unsupported, Worker
from install import Failure


def prepare(workers, folder, what):
    """Lets every engine compute the case; returns {engine: record}, and the workers whose answer is right."""
    records, ready = {}, []
    for worker in workers:
        record = records[worker.name] = {}
        try:
            record["setting"] = worker.prepare(folder)
            record["version"] = worker.version
            if worker.name != "copy":
                record |= inputs.compare(folder, what, worker.name)
            ready.append(worker)
        except Unsupported as why:
            record["unsupported"] = str(why)
        except Failure as why:
            do_not_time(record, worker, why)
    return records, ready


def do_not_time(record, worker, why):
    record["not_timed"] = str(why)
    print(f"  {worker.name}: NOT TIMED: {why}", file=sys.stderr)


def time_in_turn(ready, records, threads, rounds, seconds):
    """Rounds in which every engine has one turn; each round another one begins. Returns the machine's peak, measured in
    each round, too."""
    peaks = []
    turns = {worker.name: [] for worker in ready}
    for r in range(rounds):
        peaks.append(machine.peak_gflops(threads))
        first = r % max(1, len(ready))
        for worker in ready[first:] + ready[:first]:
            if "not_timed" in records[worker.name]:
                continue
            try:
                ns = worker.time(seconds)
            except Failure as why:  # it died
                do_not_time(records[worker.name], worker, why)
                continue
            median, least = round(statistics.median(ns), 1), round(min(ns), 1)
            turns[worker.name].append({"median": median, "min": least, "samples": len(ns)})
    for name, its_turns in turns.items():
        if "not_timed" not in records[name]:
            records[name]["rounds_ns"] = its_turns
            records[name]["median_ns"] = statistics.median(turn["median"] for turn in its_turns)
            records[name]["min_ns"] = min(turn["min"] for turn in its_turns)
    return statistics.median(peaks)


def case(name, what, workers, rounds, seconds):
    """The record of a case for peers.json."""
    folder = inputs.write(name, what)
    records, ready = prepare(workers, folder, what)
    threads = workers[0].threads
    peak = time_in_turn(ready, records, threads, rounds, seconds)
    disturbed = peak < 0.8 * threads * machine.peak_gflops(1)
    if disturbed:
        print(f"  {name} on {threads}: other programs ran meanwhile; measure it again", file=sys.stderr)
    return {
        "case": name,
        "kind": what["kind"],
        "threads": threads,
        "description": cases.describe(what),
        "unit": what["unit"],
        "units": what["units"],
        "flops": cases.flops(what),
        "peak_gflops": peak,
        "disturbed": disturbed,
        "rounds": rounds,
        "seconds": seconds,
        "engines": records,
    }


def call_costs(pool, seconds):
    """Nanoseconds of a call that does nothing, for the engines that are called from Python: {engine: {threads: ns}}."""
    folder = inputs.write_empty()
    costs = {}
    for (engine, threads), worker in pool.items():
        if engine in FROM_PYTHON:
            worker.prepare(folder)
            turns = [statistics.median(worker.time(seconds)) for _ in range(3)]
            costs.setdefault(engine, {})[str(threads)] = round(statistics.median(turns), 1)
    return costs


def self_check():
    """Proves that a right result passes, and that one with a value off by three times what is allowed, with a NaN, or
    with its end missing does not."""
    for name in ("lstm-64-b1", "train-lstm-512-b32", "cell-train-layer-norm-lstm-256-b1"):
        check_finds_wrong(name, cases.all_cases()[name])


def check_finds_wrong(name, what):
    folder = inputs.write(name, what)
    worker = Worker("sluice", 1)
    try:
        worker.prepare(folder)
    finally:
        worker.close()
    inputs.compare(folder, what, "sluice")
    right = np.load(folder / "sluice.npy")
    off, nan = right.copy(), right.copy()
    off.flat[0] += 3 * inputs.TOLERANCE
    nan.flat[-1] = np.nan
    for change, wrong in {"one value off": off, "a NaN": nan, "its end missing": right[:-1]}.items():
        np.save(folder / "sluice.npy", wrong)
        try:
            inputs.compare(folder, what, "sluice")
        except Failure as why:
            print(f"{name}, {change}: found out ({why})")
        else:
            raise Failure(f"{name}, {change}: taken for right")
