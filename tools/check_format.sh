#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The habits that a tool can check. Prints what breaks them; exits 1 if anything does.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
bash tools/install_packages.sh clang || exit 1

failures=0
report() { # what lines
  [[ -z $2 ]] && return
  echo "check_format: $1:"
  sed 's/^/  /' <<<"$2"
  failures=$((failures + 1))
}

mapfile -t sources < <(git ls-files '*.cc' '*.h')
report "not as clang-format would have it" "$(clang-format --dry-run -Werror "${sources[@]}" 2>&1 | grep -E 'error:')"
report "not ASCII" "$(git grep -InP '[^\x00-\x7F]' -- ':!LICENSE' ':!tests/fuzz/corpus' | cut -c1-120)"
report "space at the end of a line" "$(git grep -InE '[[:space:]]+$' -- ':!LICENSE' ':!tests/fuzz/corpus' ':!*.svg' | cut -c1-120)"

mapfile -t licensed < <(git ls-files '*.cc' '*.h' '*.py' '*.sh' '*/run')
report "no SPDX line among the first three" "$(
  for file in "${licensed[@]}"; do
    head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
  done
)"

mapfile -t scripts < <(git ls-files '*.py'; git grep -lI '^#!/usr/bin/env python3' -- bench ':!*.py')
report "not Python that this python3 reads" "$(
  for script in "${scripts[@]}"; do
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$script" 2>&1 | grep -E 'File|Error'
  done
)"

# clang compiles the body of such a loop without the instruction set of its function.
report "an OpenMP pragma among the kernels" "$(git grep -nE '^[[:space:]]*#[[:space:]]*pragma[[:space:]]+omp' -- src/kernels)"
# Highway chooses instruction sets a function; flags for a whole file leak into inline functions of others. (Rivals in
# bench/ may need them.)
report "a flag that names a machine or gives up IEEE arithmetic" \
  "$(git grep -nE -e '-m(arch|tune|cpu|avx|sse|fma)|-O?fast' -- '*CMakeLists.txt' 'cmake/*.cmake' CMakePresets.json ':!bench')"
report "Highway outside the kernels" "$(git grep -nE '#include [<"]hwy/' -- include src ':!src/kernels')"

[[ $failures -eq 0 ]] && echo "check_format: all as it should be"
exit $((failures > 0))
