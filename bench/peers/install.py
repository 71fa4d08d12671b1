# SPDX-License-Identifier: Apache-2.0
"""Installs the rivals under build/peers and builds the C++ workers. Does nothing where all is there."""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "peers"
VENV = BUILD / "venv"
PYTHON = VENV / "bin" / "python"
BIN = BUILD / "workers" / "bin"


class Failure(Exception):
    """What the user is told, in one line."""


def command(what, *words, **options):
    """Runs a command whose output is shown only if it fails."""
    done = subprocess.run(
        [str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        raise Failure(f"{what} failed (exit {done.returncode}; its output is above)")
    return done.stdout


def is_debian_package_there(name):
    found = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name], capture_output=True, text=True
    )
    return found.stdout == "installed"


def debian_packages():
    """What sluice is built with, and Debian's oneDNN."""
    command("tools/install_packages.sh", "bash", ROOT / "tools" / "install_packages.sh")
    if shutil.which("apt-get") is None or is_debian_package_there("libdnnl-dev"):
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    command("apt-get update", *root, "apt-get", "update", "-qq", stdin=subprocess.DEVNULL)
    command(
        "apt-get install libdnnl-dev",
        *root,
        "apt-get",
        "install",
        "-qq",
        "-y",
        "libdnnl-dev",
        stdin=subprocess.DEVNULL,
    )


def python_packages(folder, requirements, pip_python):
    """A virtual environment with the packages that a file lists, made anew when the list changes."""
    stamp = folder / "installed.txt"
    wanted = requirements.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"Installing {requirements.name} in {folder.relative_to(ROOT)}", file=sys.stderr)
    if folder.exists():
        shutil.rmtree(folder)
    with_pip = [] if pip_python is None else ["--without-pip"]
    command("python3 -m venv", sys.executable, "-m", "venv", *with_pip, folder)
    target = folder / "bin" / "python"
    pip = [target] if pip_python is None else [pip_python]
    where = [] if pip_python is None else ["--python", target]
    command(
        "pip install",
        *pip,
        "-m",
        "pip",
        *where,
        "install",
        "--quiet",
        "--no-deps",
        "--requirement",
        requirements,
    )
    stamp.write_text(wanted)


def site_packages():
    return next((VENV / "lib").glob("python3*/site-packages"))


def cuda_stand_ins():
    """PyTorch's module for Python is linked with all of CUDA, 3 GB that nothing calls here. In the place of those that
    are not there, empty libraries; of one the module wants an address when it is loaded."""
    folder = BUILD / "no_cuda"
    needed = command("ldd", "ldd", site_packages() / "torch" / "lib" / "libtorch_python.so")
    for name in sorted({line.split()[0] for line in needed.splitlines() if line.endswith("not found")}):
        if (folder / name).exists():
            continue
        folder.mkdir(exist_ok=True)
        source, versions = "", ""
        if name.startswith("libnvshmem_host"):
            source, versions = "int nvshmem_selected_device_transport;", "NVSHMEM { *; };"
        (folder.parent / "no_cuda.c").write_text(source)
        (folder.parent / "no_cuda.map").write_text(versions)
        version_script = [f"-Wl,--version-script,{folder.parent / 'no_cuda.map'}"] if versions else []
        command(f"the build of an empty {name}", "cc", "-shared", f"-Wl,-soname,{name}", *version_script,
                folder.parent / "no_cuda.c", "-o", folder / name)  # fmt: skip


def workers():
    site = site_packages()
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    command(
        "cmake", "cmake", "-S", HERE / "workers", "-B", BUILD / "workers", "-G", "Ninja", *launcher,
        f"-DONEDNN_OPENMP={VENV}", f"-DONEDNN_SYCL={BUILD / 'onednn-sycl'}", f"-DOPENVINO={site / 'openvino'}",
        f"-DTORCH={site / 'torch'}", f"-DTORCH_NEEDS={site / 'nvidia' / 'cu13' / 'lib'}",
    )  # fmt: skip
    command("the build of the workers", "cmake", "--build", BUILD / "workers")


def everything():
    BUILD.mkdir(parents=True, exist_ok=True)
    debian_packages()
    python_packages(VENV, HERE / "requirements.txt", None)
    python_packages(BUILD / "onednn-sycl", HERE / "onednn_sycl.txt", PYTHON)
    cuda_stand_ins()
    workers()
