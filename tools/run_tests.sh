#!/usr/bin/env bash
# Set up, lint, then run the tests; further arguments go to pytest.
#
#   bash tools/run_tests.sh [--stack onedl] [--fast | --gpu | --zoo | --faults | --soak] [pytest arguments]
#
# --stack onedl  with the maintained forks of OpenMMLab, in .venv-onedl
# --fast         without the tests that train models of mmdet or mmseg (3 minutes)
# --gpu          instead: what can run on a GPU, there; on two, also over NCCL
# --zoo          instead: AGVM on every model config of mmdet and mmseg (10 minutes)
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
if [[ ${1:-} == --gpu ]]; then
    "$bin/python" -m tests.gpu.check
else
    export CUDA_VISIBLE_DEVICES=  # the others are the same everywhere
fi
"$bin/ruff" check .
# Two processes, each with whole files: what a file's tests share is made once.
workers=(-n 2 --dist loadfile)
case ${1:-} in
    --fast)
        shift
        set -- -m 'not slow and not zoo and not faults and not soak' "$@"
        ;;
    --gpu)
        shift
        # One after another: they watch the GPU's memory.
        workers=()
        set -- -m gpu "$@"
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
