#!/usr/bin/env bash
# Set up, train a Faster R-CNN with AGVM over 2 processes on the Digits data
# set, and draw what AGVM did.  About 5 minutes on 2 cores, after set-up.
#
#   bash tools/demo.sh [arguments of train.py]
#
# Environment: WORK_DIR (work_dirs/demo), PORT (a free one).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/tools/setup.sh"
cd "$root"
export PATH=$root/.venv/bin:$PATH

config=configs/digits/faster-rcnn_r18_fpn_agvm_digits.py
work_dir=${WORK_DIR:-work_dirs/demo}
say() { printf '[demo] %s\n' "$*"; }

say 'making the Digits data set in data/digits (seconds)'
python tools/make_digits.py data/digits

say "training $config over 2 processes (about 4 minutes); log: $work_dir"
# Any free port: another training may hold the default one.
PORT=${PORT:-$(python -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])')}
export PORT
bash tools/dist_train.sh "$config" 2 --work-dir "$work_dir" "$@"

python tools/plot_variance.py "$work_dir"
log=$(ls -t "$work_dir"/*/*.log | head -n 1)
say "$(grep -o 'coco/bbox_mAP: [0-9.]*' "$log" | tail -n 1) on the validation digits"
say "what AGVM measured and did: $(realpath "$work_dir/agvm.png")"
