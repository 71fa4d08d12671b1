#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian packages that sluice is built, tested and run with. Installs those that are missing; does nothing, and
# needs no network, where all are there.
#
#   bash tools/install_packages.sh          for the library, its tests, benchmarks and examples
#   bash tools/install_packages.sh clang    also clang, its sanitizers, fuzzer and formatter
#   bash tools/install_packages.sh neon     also what compiles for 64-bit Arm, and qemu that runs it
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config ca-certificates
  libhwy-dev nlohmann-json3-dev                   # the library
  libcli11-dev                                    # the program
  libeigen3-dev libgtest-dev libbenchmark-dev     # tests and benchmarks
  libsndfile1-dev libsamplerate0-dev alsa-utils   # the speech example, and recorded speech
  python3-pip                                     # fetches its model
)
clang_packages=(clang libomp-dev llvm clang-format clang-tidy)
neon_packages=(g++-aarch64-linux-gnu qemu-user libhwy-dev:arm64 libgtest-dev:arm64 libgomp1:arm64)

for set in "$@"; do
  case $set in
    clang) packages+=("${clang_packages[@]}") ;;
    neon) packages+=("${neon_packages[@]}") ;;
    *)
      echo "install_packages.sh: unknown set of packages: $set" >&2
      exit 2
      ;;
  esac
done

if ! command -v apt-get >/dev/null; then
  echo "Not a Debian system: these packages, by whatever names they have here, must be installed: ${packages[*]}"
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -x installed >/dev/null ||
    missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

echo "Installing: ${missing[*]}"
as_root=()
if [[ $(id -u) -ne 0 ]]; then
  command -v sudo >/dev/null || {
    echo "install_packages.sh: run as root, or install sudo, or install by hand: ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
if [[ ${missing[*]} == *:arm64* && $(dpkg --print-architecture) != arm64 ]]; then
  "${as_root[@]}" dpkg --add-architecture arm64
fi
"${as_root[@]}" apt-get update -qq </dev/null
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
