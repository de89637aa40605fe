#!/usr/bin/env bash
# Set up, lint, then run the tests; further arguments go to pytest.
#
#   bash tools/run_tests.sh [pytest arguments]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/tools/setup.sh"
cd "$root"
.venv/bin/ruff check .
.venv/bin/python -m pytest "$@"
