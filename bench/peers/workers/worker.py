# SPDX-License-Identifier: Apache-2.0
"""What workers in Python share: the protocol of worker.h."""

import json
import math
import os
import sys
import time

import numpy as np


class Unsupported(Exception):
    """Raised for a case that an engine has nothing for."""


def fastest_ns(call):
    best, begin = math.inf, time.perf_counter_ns()
    for _ in range(20):
        start = time.perf_counter_ns()
        call()
        best = min(best, time.perf_counter_ns() - start)
        if time.perf_counter_ns() - begin > 50e6:
            break
    return best


def time_calls(run, seconds):
    """Nanoseconds of a call, many times; as time_calls of worker.cc."""
    calls = range(max(1, math.ceil(max(20e3, seconds * 1e9 / 2000) / fastest_ns(run))))
    samples, begin = [], time.perf_counter_ns()
    while True:
        start = time.perf_counter_ns()
        for _ in calls:
            run()
        end = time.perf_counter_ns()
        samples.append((end - start) / len(calls))
        if end - begin >= seconds * 1e9:
            return samples


def serve(engine, version, make):
    """Answers the driver until stdin ends; make(case, folder, threads) is a job with run(), result() and setting."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    answer(engine=engine, version=version)
    job = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "prepare":
                job = None
                with open(f"{command['folder']}/case.json") as file:
                    case = json.load(file)
                job = make(case, command["folder"], command["threads"])
                job.run()
                np.save(f"{command['folder']}/{engine}.npy", job.result())
                answer(setting=job.setting)
            else:
                answer(ns=time_calls(job.run, command["seconds"]))
        except Unsupported as why:
            answer(unsupported=str(why))
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")
