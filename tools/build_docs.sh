#!/usr/bin/env bash
# Make a site of docs/ with Sphinx, strictly: a broken link, a page that is not
# in docs/index.md, and a name in a docstring that does not exist are errors.
#
#   bash tools/build_docs.sh [FOLDER]
#
# FOLDER is build/docs if it is not given; open its index.html.  It needs no
# network, nor does who reads it.
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
out=$(realpath -m "${1:-$root/build/docs}")
bash "$root/tools/setup.sh"
cd "$root"
# --fresh-env: what a page of the last build knew is not asked.
.venv/bin/python -m sphinx --conf-dir docs --fail-on-warning --fresh-env \
    --quiet . "$out"
printf '[docs] %s\n' "$out/index.html"
