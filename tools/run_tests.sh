#!/usr/bin/env bash
# Set up, lint, then run the tests; further arguments go to pytest.
#
#   bash tools/run_tests.sh [--zoo | --faults | --soak] [pytest arguments]
#
# --zoo     instead: AGVM on every model config of mmdet and mmseg (10 minutes)
# --faults  instead: trainings that are killed, and resumed (a quarter of an hour)
# --soak    instead: half an hour of training whose memory is watched
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/tools/setup.sh"
cd "$root"
.venv/bin/ruff check .
case ${1:-} in
    --zoo | --faults | --soak)
        suite=${1#--}
        shift
        # Not captured: these show their progress and their counts.
        set -- -s -m "$suite" "$@"
        ;;
esac
.venv/bin/python -m pytest "$@"
