#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The page that `sluice profile` makes of a model, in headless Chromium: PROGRAM MODEL INPUT
set -uo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" profile "$2" --input "$3" --repeat 3 --html "$work/report.html" || exit 1
bash "$(dirname "${BASH_SOURCE[0]}")/check_page.sh" "$work/report.html"
