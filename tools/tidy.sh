#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy over the sources, with the checks of .clang-tidy. The kernels are left out: each is compiled once for every
# instruction set, which is slow and says everything four times.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash tools/install_packages.sh clang
[[ -f build-clang/compile_commands.json ]] || cmake --preset clang >/dev/null
git ls-files 'src/*.cc' ':!src/kernels' |
  xargs -P "$(nproc)" -n 2 clang-tidy -p build-clang --quiet --warnings-as-errors='*' 2> >(grep -v 'warnings generated' >&2)
