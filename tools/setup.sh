#!/usr/bin/env bash
# Make .venv in this checkout: torch, the OpenMMLab stack and agvm_mm itself.
#
#   bash tools/setup.sh [--stack NAME] [--zoo]
#
# A second call does nothing.  --stack makes .venv-NAME instead, with the versions
# of tools/constraints-NAME.txt:
#   torch2.1  Python 3.10, torch 2.1, mmcv 2.1.0: what most users have
#   floor     Python 3.8, torch 2.0, mmcv 2.0.1: the oldest that may be
#   torch2.4  Python 3.12, torch 2.4, mmcv 2.2.0; mmdet and mmseg refuse this mmcv,
#             and their check is taken out of them in that environment
#   onedl     Python 3.11 or 3.12, the maintained forks of OpenMMLab
#   next      Python 3.13, torch 2.13, the same forks: the newest that mmcv builds with
# --zoo makes .venv-zoo or .venv-NAME-zoo, which has other hosts of MMEngine too, and
# what more of the hosts' configs need: tools/constraints[-NAME]-zoo.txt.
# Environment variables:
#   PYTHON      the interpreter to start from      (default: the stack's own version)
#   AGVM_CACHE  where mmcv's built wheel is kept   (default: ~/.cache/agvm_mm)
#   MAX_JOBS    compiler processes at a time       (default: all cores)
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
[[ -v HOME ]] || HOME=~
cache=${AGVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/agvm_mm}
# What would be installed elsewhere, or is found elsewhere, is not in .venv.
unset PYTHONPATH PYTHONHOME PIP_CONSTRAINT PIP_PREFIX PIP_REQUIRE_VIRTUALENV PIP_TARGET PIP_USER

say() { printf '[setup] %s\n' "$*"; }
die() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }
version_of() { sed -n "s/^$1==//p" <<<"$pins"; }

stack=default zoo=
while (($#)); do
    case "$1 ${2:-}" in
        '--stack default' | '--stack torch2.1' | '--stack floor' | '--stack torch2.4' | '--stack onedl' | '--stack next')
            stack=$2
            shift 2
            ;;
        --zoo\ *)
            zoo=-zoo
            shift
            ;;
        *) die "unknown arguments: $* (allowed: --stack default, torch2.1, floor, torch2.4, onedl or next; --zoo)" ;;
    esac
done
name=${stack/#default/}
venv=$root/.venv${name:+-$name}$zoo
file=$root/tools/constraints${name:+-$name}
mmcv=mmcv
case $stack in
    default) pythons='3.11 3.12' ;;
    torch2.1) pythons='3.10 3.11' ;;
    floor) pythons='3.8' ;;
    torch2.4) pythons='3.12' ;;
    onedl) pythons='3.11 3.12' mmcv=onedl-mmcv ;;
    next) pythons='3.13' mmcv=onedl-mmcv ;;
esac
pins=$(<"$file.txt")
if [[ $stack == onedl ]]; then
    pins=$(grep -vE '^(mmcv|mmdet|mmengine|mmsegmentation)==' "$root/tools/constraints.txt"
           echo "$pins")
fi
if [[ -n $zoo ]]; then
    [[ -f $file-zoo.txt ]] || die "there is no $file-zoo.txt: --zoo is for the stacks that have one ($(cd "$root/tools" && ls constraints*-zoo.txt))"
    pins+=$'\n'$(<"$file-zoo.txt")
fi
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
is_made() { [[ -f $venv/.stamp && $(<"$venv/.stamp") == "$stamp" ]]; }
is_made && exit 0

# The first that runs: pyenv's shims of versions that are not chosen do not.
find_python() {
    local version candidate
    for version in $pythons; do
        for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python3 python3; do
            if [[ $("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) == "$version" ]]; then
                command -v "$candidate"
                return
            fi
        done
    done
}
python=${PYTHON:-$(find_python)}
[[ -n $python ]] || die "no Python ${pythons// / or } found: install it (on Debian 12, 3.11: apt-get install python3 python3-dev python3-venv), or set PYTHON=/path/to/python${pythons%% *}"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    die "PYTHON=$python does not run: set PYTHON=/path/to/python${pythons%% *}"
[[ " $pythons " == *" $version "* ]] ||
    die "$python is Python $version, but the pinned packages of the stack '$stack' need ${pythons// / or }: set PYTHON=/path/to/python${pythons%% *}"
# Not that of .venv itself, which may be active and is made anew.
python=$("$python" -c 'import sys; print(sys._base_executable)')
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$python cannot make a virtual environment: on Debian, apt-get install python3-venv"
"$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
    die "$python has no header files, which mmcv needs: on Debian, apt-get install python3-dev"
command -v c++ >/dev/null || command -v g++ >/dev/null ||
    die 'no C++ compiler found, which mmcv needs: on Debian, apt-get install g++'

exec 9<>"$root/tools/setup.sh"  # the lock; NFS wants it open for writing
if ! flock -n 9; then
    say "waiting for another set-up of $root"
    flock 9
    is_made && exit 0
fi
say "making $venv; log: $log"
# A half-made environment cannot be trusted, so it is made anew.
rm -rf "$venv"
"$python" -m venv "$venv" || die "could not make $venv"
: >"$log"
printf '%s\n' "$pins" >"$constraints"
# -I: a folder of the caller's may hold an mmdet.
pip() { logged "$venv/bin/python" -I -m pip --disable-pip-version-check "$@"; }

say "1/4 installing torch $(version_of torch) (half a minute from a CPU wheel, some minutes with CUDA's packages)"
pip install -c "$constraints" torch setuptools wheel ninja

# mmcv's operators are bound to torch, Python and platform, and to CUDA or none.
key=$("$venv/bin/python" -I -W ignore - <<'PY'
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
    chmod "$(umask -S)" "$building"  # mktemp lets its maker in alone
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
if [[ $stack == torch2.4 ]]; then
    say '    taking the check for mmcv < 2.2 out of mmdet and mmseg, in this environment alone'
    sed -i -E "s/^((mmcv_maximum_version|MMCV_MAX) = )'2\.2\.0'/\\1'2.3.0'/" \
        "$venv"/lib/python*/site-packages/{mmdet,mmseg}/__init__.py
fi

say '4/4 installing agvm_mm from this checkout'
pip install --no-deps --no-build-isolation -e "$root"
logged "$venv/bin/python" -I -c 'import agvm_mm, mmcv.ops, mmdet, mmseg'

printf '%s' "$stamp" >"$venv/.stamp"
say "done: source $venv/bin/activate"
