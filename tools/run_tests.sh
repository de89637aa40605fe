#!/usr/bin/env bash
# Set up, lint, then run the tests; further arguments go to pytest.
#
#   bash tools/run_tests.sh [--stack NAME] [--fast | --gpu | --zoo | --faults | --soak] [pytest arguments]
#
# --stack   with other versions, in an environment of their own: torch2.1, floor,
#           torch2.4, onedl or next (tools/setup.sh says what they are)
# --fast    without the tests that train models of mmdet or mmseg (3 minutes)
# --gpu     instead: what can run on a GPU, there; on two, also over NCCL
# --zoo     instead: AGVM on every model config of mmdet and mmseg (10 minutes), and
#           on the stack torch2.1 of mmpretrain, mmpose, mmdet3d and mmaction2 too (20)
# --faults  instead: trainings that are killed, and resumed (most of an hour)
# --soak    instead: half an hour of training whose memory is watched
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"
suite= stack=
while (($#)); do
    case $1 in
        --stack)
            stack=${2:-}
            # An empty or unknown name is setup.sh's to refuse.
            [[ -n $stack ]] || exec bash tools/setup.sh --stack
            shift 2
            ;;
        --fast | --gpu | --zoo | --faults | --soak)
            suite=${1#--}
            shift
            ;;
        *) break ;;
    esac
done
stack=${stack/#default/}
setup=(${stack:+--stack "$stack"})
bin=.venv${stack:+-$stack}
if [[ $suite == zoo && -f tools/constraints${stack:+-$stack}-zoo.txt ]]; then
    setup+=(--zoo)
    bin+=-zoo
fi
bash tools/setup.sh "${setup[@]}"
bin+=/bin
if [[ $suite == gpu ]]; then
    "$bin/python" -m tests.gpu.check
else
    export CUDA_VISIBLE_DEVICES=  # the others are the same everywhere
fi
"$bin/ruff" check .
case $suite in
    # Two processes, each with whole files: what a file's tests share is made once.
    '') set -- -n 2 --dist loadfile "$@" ;;
    fast) set -- -n 2 --dist loadfile -m 'not slow and not zoo and not faults and not soak' "$@" ;;
    # One after another: they watch the GPU's memory.
    gpu) set -- -m gpu "$@" ;;
    # Not captured: these show their progress and their counts.
    *) set -- -s -m "$suite" "$@" ;;
esac
"$bin/python" -m pytest "$@"
