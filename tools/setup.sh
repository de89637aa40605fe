#!/usr/bin/env bash
# Make .venv in this checkout: torch, the OpenMMLab stack and agvm_mm itself.
#
#   bash tools/setup.sh [--stack onedl]
#
# --stack onedl makes .venv-onedl instead, with the maintained forks of OpenMMLab.
# A second call does nothing.  Environment variables:
#   PYTHON      the interpreter to start from      (default: python3.11, python3)
#   AGVM_CACHE  where mmcv's built wheel is kept   (default: ~/.cache/agvm_mm)
#   MAX_JOBS    compiler processes at a time       (default: all cores)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${AGVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/agvm_mm}

say() { printf '[setup] %s\n' "$*"; }
die() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }
version_of() { sed -n "s/^$1==//p" <<<"$pins"; }

pins=$(<"$root/tools/constraints.txt")
case "$*" in
    '')
        venv=$root/.venv
        mmcv=mmcv
        ;;
    '--stack onedl')
        venv=$root/.venv-onedl
        mmcv=onedl-mmcv
        pins=$(grep -vE '^(mmcv|mmdet|mmengine|mmsegmentation)==' <<<"$pins"
               cat "$root/tools/constraints-onedl.txt")
        ;;
    *) die "unknown arguments: $* (allowed: --stack onedl)" ;;
esac
log=$venv/setup.log
constraints=$venv/constraints.txt

# Run a command with its output in the log; on failure show the log's end.
logged() {
    if ! "$@" >>"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "this command failed: $*
[setup]        the whole log is in $log"
    fi
}

# .venv is as these files made it, at this place: the stamp holds their hash.
stamp=$({ cat "$root/tools/setup.sh" "$root/pyproject.toml"
          printf '%s' "$pins" "$root"; } | sha256sum | cut -d' ' -f1)
if [[ -f $venv/.stamp && $(<"$venv/.stamp") == "$stamp" ]]; then
    exit 0
fi

python=${PYTHON:-$(command -v python3.11 || command -v python3 || true)}
[[ -n $python ]] || die 'no python3 found: install Python 3.11 (on Debian: apt-get install python3 python3-dev python3-venv)'
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "$python is $("$python" -V), but the pinned packages need Python 3.11 or newer: set PYTHON=/path/to/python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$python cannot make a virtual environment: on Debian, apt-get install python3-venv"
"$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
    die "$python has no header files, which mmcv needs: on Debian, apt-get install python3-dev"
command -v c++ >/dev/null || command -v g++ >/dev/null ||
    die 'no C++ compiler found, which mmcv needs: on Debian, apt-get install g++'

say "making $venv; log: $log"
# A half-made environment cannot be trusted, so it is made anew.
rm -rf "$venv"
"$python" -m venv "$venv" || die "could not make $venv"
: >"$log"
printf '%s\n' "$pins" >"$constraints"
pip() { logged "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

say "1/4 installing torch $(version_of torch) (half a minute from a CPU wheel)"
pip install -c "$constraints" torch setuptools wheel ninja

# mmcv's operators are bound to torch, Python and platform, and to CUDA or none.
key=$("$venv/bin/python" -W ignore - <<'PY'
import platform
import sys

import torch

device = 'cuda' if torch.cuda.is_available() else 'cpu'
print(f'torch{torch.__version__}-{device}-cp{sys.version_info.major}'
      f'{sys.version_info.minor}-{platform.system()}-{platform.machine()}'
      .lower())
PY
)
wheels=$cache/$mmcv$(version_of $mmcv)-$key
if ! compgen -G "$wheels/*.whl" >/dev/null; then
    say "2/4 building $mmcv $(version_of $mmcv) with its operators: once, about 10 minutes on 2 cores"
    if [[ $key == *-cuda-* ]]; then
        "$venv/bin/python" -W ignore -c 'import sys
from torch.utils import cpp_extension
sys.exit(not cpp_extension.CUDA_HOME)' ||
            die "a GPU is here, but no nvcc, which mmcv's CUDA operators need: install the CUDA toolkit of torch $(version_of torch) and set CUDA_HOME, or hide the GPU: CUDA_VISIBLE_DEVICES="
        # mmcv includes a header that newer torch has by another name alone;
        # where torch has it, its own is found first.
        mkdir -p "$venv/include/THC"
        echo '#include <ATen/cuda/Atomic.cuh>' >"$venv/include/THC/THCAtomics.cuh"
        export CPLUS_INCLUDE_PATH=$venv/include${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}
    fi
    mkdir -p "$cache"
    building=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf "$building"' EXIT
    # Without --no-build-isolation mmcv would be built where torch is not, and
    # would silently leave its operators out.  --no-cache-dir, because pip's own
    # cache is not keyed by torch's version.
    export MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)}
    pip wheel --no-build-isolation --no-deps --no-cache-dir \
        -w "$building" "$mmcv==$(version_of $mmcv)"
    # Renamed when it is whole: a build that was cut off leaves no wheel.
    mv -T "$building" "$wheels" 2>/dev/null || compgen -G "$wheels/*.whl" >/dev/null ||
        die "could not keep mmcv's wheel in $wheels"
else
    say "2/4 taking mmcv's wheel from $wheels"
fi
pip install --no-deps "$wheels"/*.whl

say '3/4 installing the OpenMMLab stack and the test tools (about a minute)'
# --no-deps: the file is the whole closure, and panopticapi-lite and mmengine
# declare needs (numpy<2, opencv with libGL) that they do not have.
pip install --no-deps -r "$constraints"

say '4/4 installing agvm_mm from this checkout'
pip install --no-deps --no-build-isolation -e "$root"
logged "$venv/bin/python" -c 'import agvm_mm, mmcv.ops, mmdet, mmseg'

printf '%s' "$stamp" >"$venv/.stamp"
say "done: source $venv/bin/activate"
