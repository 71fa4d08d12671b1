# SPDX-License-Identifier: Apache-2.0
"""What the figures were measured on."""

import os
import pathlib
import platform
import subprocess

from engines import cpus_for
from install import BIN, ROOT


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    except FileNotFoundError:
        return ""


def read(path):
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return ""


def caches():
    """Those of the first processor: "L1d 48K" ..."""
    found = []
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(read(index / "type"), "")
        found.append(f"L{read(index / 'level')}{kind} {read(index / 'size')}")
    return found


def commit():
    """The last that changed what sluice is built from; a "+" where the files differ from it."""
    built_from = ("src", "include", "cmake", "CMakeLists.txt")
    changed = output("git", "status", "--porcelain", "--", *built_from)
    return output("git", "log", "-1", "--format=%h", "--", *built_from) + ("+" if changed else "")


def describe():
    model = next(
        (
            line.split(":")[1].strip()
            for line in read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        "",
    )
    flags = next(
        (
            line.split(":")[1].split()
            for line in read("/proc/cpuinfo").splitlines()
            if line.startswith("flags")
        ),
        [],
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "caches": caches(),
        "vector_instructions": [
            f for f in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile") if f in flags
        ],
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        or "not shown by this machine",
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": read("/etc/os-release").split("PRETTY_NAME=")[-1].split("\n")[0].strip('"'),
        "kernel": platform.release(),
        "compiler": output("c++", "--version").splitlines()[0],
        "python": platform.python_version(),
        "sluice_commit": commit(),
    }


def peak_gflops(threads):
    """float32 fused multiply-adds in registers, GFLOP/s, at this moment: the clock is not always the same."""
    return float(
        output(
            "taskset",
            "--cpu-list",
            ",".join(map(str, cpus_for(threads))),
            str(BIN / "machine-peak"),
            str(threads),
        )
    )
