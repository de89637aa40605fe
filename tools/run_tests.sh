#!/usr/bin/env bash
# Set up, lint, then run the tests; further arguments go to pytest.
#
#   bash tools/run_tests.sh [--stack onedl] [--fast | --zoo | --faults | --soak] [pytest arguments]
#
# --stack onedl  with the maintained forks of OpenMMLab, in .venv-onedl
# --fast         without the tests that train models of mmdet or mmseg (3 minutes)
# --zoo          instead: AGVM on every model config of mmdet, mmseg and, where installed,
#                mmpretrain, mmpose, mmdet3d and mmaction2 (20 minutes with all of them)
# --faults       instead: trainings that are killed, and resumed (a quarter of an hour)
# --soak         instead: half an hour of training whose memory is watched
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
if [[ ${1:-} == --stack ]]; then
    bash tools/setup.sh --stack "${2:-}"
    bin=.venv-$2/bin
    shift 2
else
    bash tools/setup.sh
    bin=.venv/bin
fi
"$bin/ruff" check .
# Two processes, each with whole files: what a file's tests share is made once.
workers=(-n 2 --dist loadfile)
case ${1:-} in
    --fast)
        shift
        set -- -m 'not slow and not zoo and not faults and not soak' "$@"
        ;;
    --zoo | --faults | --soak)
        suite=${1#--}
        shift
        # Not captured: these show their progress and their counts.
        workers=()
        set -- -s -m "$suite" "$@"
        ;;
esac
"$bin/python" -m pytest "${workers[@]}" "$@"
