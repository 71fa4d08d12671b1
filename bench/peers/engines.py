# SPDX-License-Identifier: Apache-2.0
"""The engines, each in a process of its own that is stopped while another one is timed."""

import json
import os
import select
import signal
import subprocess
import time

from install import BIN, BUILD, HERE, PYTHON, Failure

TORCH_CELLS = [PYTHON, HERE / "workers" / "torch_cells_worker.py"]
# name -> (what it is, command). The first is ours; NOT_RIVALS are bounds.
ENGINES = {
    "sluice": ("sluice, C++", [BIN / "sluice-worker"]),
    "onednn-sycl": ("oneDNN, C++, the package for SYCL and TBB", [BIN / "onednn-sycl"]),
    "onednn-openmp": ("oneDNN, C++, the package for OpenMP", [BIN / "onednn-openmp"]),
    "onednn-debian": ("oneDNN, C++, Debian's package (OpenMP)", [BIN / "onednn-debian"]),
    "onnxruntime": ("ONNX Runtime, called from Python", [PYTHON, HERE / "workers" / "ort_worker.py"]),
    "openvino": ("OpenVINO, C++", [BIN / "openvino"]),
    "torch": ("PyTorch, its C++ library", [BIN / "torch"]),
    "sluice-builtin": ("sluice's LSTM, which is no custom cell", [BIN / "sluice-worker", "builtin"]),
    "torch-eager": ("PyTorch, called from Python, a cell in Python", TORCH_CELLS + ["eager"]),
    "torch-script": ("the same by torch.jit.script", TORCH_CELLS + ["script"]),
    "torch-compile": ("the same by torch.compile", TORCH_CELLS + ["compile"]),
    "eigen": ("Eigen, C++, compiled for this machine", [BIN / "eigen"]),
    "copy": ("memcpy, the bound of elementwise work", [BIN / "copy"]),
}
NOT_RIVALS = ("sluice", "sluice-builtin", "copy")
OF_CELLS = ("sluice-builtin", "torch-eager", "torch-script", "torch-compile")
# Where OpenCL, through which SYCL reaches a CPU, finds it.
# Its threads are TBB's; those of OpenMP, on which Adam runs there, must not spin beside them.
ENVIRONMENT = {
    "onednn-sycl": {
        "OCL_ICD_FILENAMES": str(BUILD / "onednn-sycl" / "lib" / "libintelocl.so"),
        "OMP_WAIT_POLICY": "passive",
    },
    "torch-compile": {"TORCHINDUCTOR_CACHE_DIR": str(BUILD / "inductor")},
}
FROM_PYTHON = ("onnxruntime",)
TIMEOUT = 300  # seconds for one answer


def takes(engine, case):
    """Whether an engine is one for this kind of case: cells of one's own have engines of their own."""
    return engine == "sluice" or (engine in OF_CELLS) == case["kind"].startswith("cell")


class Unsupported(Exception):
    """The engine has nothing for this case."""


def cpus_for(threads):
    """The processors that every engine gets: as many as threads, the last ones, since the first serves interrupts."""
    available = sorted(os.sched_getaffinity(0))
    return available[-threads:]


class Worker:
    """One engine at one number of threads."""

    def __init__(self, name, threads):
        self.name, self.threads, self.version, self.process = name, threads, "", None
        self.log_path = BUILD / "logs" / f"{name}-{threads}.log"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)

    def start(self):
        program = ENGINES[self.name][1]
        if not program[0].exists():
            raise Unsupported("it was not built")
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)} | ENVIRONMENT.get(self.name, {})
        self.process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.log_path, "w"), env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, cpus_for(self.threads)),
        )  # fmt: skip
        self.version = self.answer()["version"]

    def answer(self):
        """The next line of the worker, as a dictionary."""
        line, end = b"", time.monotonic() + TIMEOUT
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            part = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            if not part:
                why = f"gave no answer in {TIMEOUT} s" if not ready else "died"
                self.close()
                raise Failure(f"{self.name} {why}; see {self.log_path}")
            line += part
        return json.loads(line)

    def ask(self, **command):
        """Lets the worker run for one command."""
        if self.process is None:
            self.start()
        else:
            self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.answer()
        except BrokenPipeError:
            self.close()
            raise Failure(f"{self.name} died; see {self.log_path}") from None
        self.process.send_signal(signal.SIGSTOP)
        if "unsupported" in answer:
            raise Unsupported(answer["unsupported"])
        if "error" in answer:
            raise Failure(f"{self.name}: {answer['error']}")
        return answer

    def prepare(self, folder):
        return self.ask(do="prepare", folder=str(folder), threads=self.threads)["setting"]

    def time(self, seconds):
        return self.ask(do="time", seconds=seconds)["ns"]

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
