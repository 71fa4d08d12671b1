#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Opens a page of `sluice profile --html` in headless Chromium as wide screens and phones show it, light and dark.
#
#   bash tests/browser/check_page.sh report.html [FOLDER for screenshots]
#
# Fails on any message on the console. A copy of the page has a script that reports there what does not fit: a page
# wider than the window, text beyond its picture, texts that lie on each other. Exit status 77: there is no Chromium.
set -uo pipefail
page=$(realpath "$1")
shots=${2:-}

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
  echo "check_page: no chromium here: the page is not looked at (apt-get install chromium)"
  exit 77
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
  cat "$page"
  cat <<'SCRIPT'
<script>
addEventListener("load", () => {
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) console.error(`the page is ${root.scrollWidth} wide in a window of ${innerWidth}`);
  let seen = 0;
  for (const svg of document.querySelectorAll("svg")) {
    const page = svg.getBoundingClientRect();
    if (page.width === 0) continue;  // the picture of the other width
    ++seen;
    const texts = [...svg.querySelectorAll("text:not([transform])")].map(t => [t.textContent, t.getBoundingClientRect()]);
    texts.forEach(([text, a], i) => {
      if (a.left < page.left - 1 || a.right > page.right + 1 || a.top < page.top - 1 || a.bottom > page.bottom + 1) {
        console.error(`"${text}" is cut: ${svg.querySelector("title").textContent}`);
      }
      for (const [other, b] of texts.slice(i + 1)) {
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3) {
          console.error(`"${text}" lies on "${other}": ${svg.querySelector("title").textContent}`);
        }
      }
    });
  }
  console.log(`${matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"}: looked at ${seen} pictures at ${innerWidth}`);
});
</script>
SCRIPT
} >"$work/page.html"

failures=0
look() { # width height scheme: 0 is dark
  local scheme=light
  [[ $3 == 1 ]] || scheme=dark
  local name=$1-$scheme
  # A window is at least 500 wide; a frame in it may be as narrow as a phone.
  echo "<!DOCTYPE html><meta name=\"color-scheme\" content=\"light dark\"><body style=\"margin: 0\">" \
    "<iframe src=\"page.html\" style=\"border: 0; width: $1px; height: $2px\"></iframe>" >"$work/$name.html"
  timeout 120 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/$name" \
    --enable-logging=stderr --blink-settings=preferredColorScheme="$3" --window-size=1300,1000 \
    --dump-dom "file://$work/$name.html" 2>&1 | grep -F CONSOLE >"$work/$name.log"
  local messages
  messages=$(grep -vE "\"$scheme: looked at [1-9][0-9]* pictures at $1\"" "$work/$name.log")
  if [[ -n $messages || ! -s $work/$name.log ]]; then
    echo "check_page: $name: ${messages:-the page did not load}"
    failures=$((failures + 1))
  else
    echo "check_page: $name: $(grep -o 'looked at [0-9]* pictures' "$work/$name.log")"
  fi
  [[ -z $shots ]] || timeout 120 "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars \
    --user-data-dir="$work/$name" --blink-settings=preferredColorScheme="$3" --window-size="$1,$2" \
    --screenshot="$shots/profile-$name.png" "file://$page" >/dev/null 2>&1
}

for scheme in 1 0; do
  look 1280 1000 "$scheme"
  look 390 844 "$scheme"
done
echo "check_page: $failures failures"
[[ $failures -eq 0 ]]
