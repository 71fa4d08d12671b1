#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The data of the training examples, from Debian packages, into build/data. The packages are fetched by name and not
# installed. Does nothing, and needs no network, where the data is there.
#
#   bash tools/get_data.sh [breast_cancer|digits|sunspots|words]      without a name: all four
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  echo "get_data.sh: $*" >&2
  exit 1
}

has_right_hash() { echo "$1  $2" | sha256sum --check --status 2>/dev/null; }

download() { # package folder
  (cd "$2" && apt-get -qq -o APT::Sandbox::User=root download "$1" 2>/dev/null)
}

get() { # file package path sha256
  local file=build/data/$1 package=$2 path=$3 sha256=$4 folder=build/data/download
  has_right_hash "$sha256" "$file" && return
  rm -rf "$folder"
  mkdir -p "$folder"
  echo "Fetching $file from the package $package"
  # A fresh machine has no list of packages yet.
  download "$package" "$folder" || { apt-get -qq update 2>/dev/null && download "$package" "$folder"; } ||
    fail "apt-get could not fetch the package $package (is this Debian, and is there a network?).
  With a copy of its $path (unpacked, if it ends in .gz) at $file, this runs without one."
  dpkg-deb --fsys-tarfile "$folder"/*.deb | tar -xO ".$path" >"$folder/${path##*/}"
  [[ $path != *.gz ]] || gunzip "$folder/${path##*/}"
  path=$folder/$(basename "$path" .gz)
  # The figures that the examples state are those of Debian 12's data.
  has_right_hash "$sha256" "$path" || fail "$package: $3 has another SHA-256 than $sha256"
  mv "$path" "$file"
  rm -rf "$folder"
}

python=/usr/lib/python3/dist-packages
wanted=${1:-all}
found=no
for name in breast_cancer digits sunspots words; do
  [[ $wanted == all || $wanted == "$name" ]] || continue
  found=yes
  case $name in
    breast_cancer) get breast_cancer.csv python3-sklearn $python/sklearn/datasets/data/breast_cancer.csv \
      fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed ;;
    digits) get digits.csv python3-sklearn $python/sklearn/datasets/data/digits.csv.gz \
      6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8 ;;
    sunspots) get sunspots.csv python3-statsmodels $python/statsmodels/datasets/sunspots/sunspots.csv \
      f67889b1d9002cd5227f0e0ef54e35b419cdd85a31279adef6f73fb41e5c0a9b ;;
    words) get words.txt wamerican /usr/share/dict/american-english \
      9f513f1ceadb6a01c5485b7dbdfd5118dc66cd70b59cae2851292112d4066a32 ;;
  esac
done
[[ $found == yes ]] || fail "no such data: $wanted; there are breast_cancer, digits, sunspots and words"
