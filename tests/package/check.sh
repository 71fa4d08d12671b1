#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the consumer project against sluice as its users would, and runs it. Called by ctest.
#
#   check.sh installed    SOURCE BUILD WORK CXX   installs the build tree BUILD; find_package and pkg-config find it there
#   check.sh subdirectory SOURCE BUILD WORK CXX   add_subdirectory, as a shared library; that build is then installed and found
#
# Every program is built without and with -march=native, and all must print the same bits.
set -euo pipefail
mode=$1 source=$2 build=$3 work=$4 cxx=$5

consumer=$source/tests/package
rm -rf "$work"
mkdir -p "$work"
outputs=()

run() { # name program
  echo "-- $1: running"
  "$2" "$work/model.safetensors" | tee "$work/$1.out"
  outputs+=("$work/$1.out")
}

build_consumer() { # name flags cmake-arguments...
  local name=$1 flags=$2
  shift 2
  echo "-- $name: building"
  cmake -G Ninja -S "$consumer" -B "$work/$name" -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_CXX_FLAGS="$flags" "$@" >"$work/$name.log" 2>&1 &&
    cmake --build "$work/$name" >>"$work/$name.log" 2>&1 || { cat "$work/$name.log"; exit 1; }
}

compile_by_pkg_config() { # program flags source
  # shellcheck disable=SC2046,SC2086  # lists of flags
  "$cxx" -std=c++20 -O2 $2 "$3" $(pkg-config --cflags --libs sluice eigen3) \
    -Wl,-rpath,"$(pkg-config --variable=libdir sluice)" -o "$1"
}

check_installed() { # prefix
  local prefix=$1 flags
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name sluice.pc)")
  export PKG_CONFIG_PATH
  for flags in "" "-march=native"; do
    build_consumer "find_package$flags" "$flags" -DCMAKE_PREFIX_PATH="$prefix"
    run "find_package$flags" "$work/find_package$flags/consumer"

    echo "-- pkg_config$flags: building"
    compile_by_pkg_config "$work/pkg_config$flags" "$flags" "$consumer/consumer.cc"
    run "pkg_config$flags" "$work/pkg_config$flags"
  done

  echo "-- the installed program: running"
  "$prefix/bin/sluice" inspect "$work/model.safetensors"

  echo "-- the README's program: building and running"
  sed -n '/^```cpp$/,/^```$/{/^```/!p;/^```$/q}' "$source/README.md" >"$work/readme.cc"
  compile_by_pkg_config "$work/readme" "" "$work/readme.cc"
  (cd "$work" && "$work/readme")
}

case $mode in
  installed)
    cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
    check_installed "$work/prefix"
    ;;
  subdirectory)
    build_consumer subdirectory "" -DSLUICE_SUBDIRECTORY="$source" -DBUILD_SHARED_LIBS=ON \
      -DSLUICE_INSTALL=ON -DSLUICE_BUILD_CLI=ON
    run subdirectory "$work/subdirectory/consumer"
    cmake --install "$work/subdirectory" --prefix "$work/prefix" >"$work/install.log"
    check_installed "$work/prefix"
    ;;
  *)
    echo "check.sh: unknown mode: $mode" >&2
    exit 2
    ;;
esac

for output in "${outputs[@]}"; do
  cmp "${outputs[0]}" "$output"
done
