#!/usr/bin/env bash
# Set up, train a Faster R-CNN at a large batch over 2 processes, without AGVM and
# with it, and draw both.  About 5 minutes on 2 cores, after set-up.
#
#   bash tools/demo.sh [arguments of train.py]
#
# Environment: WORK_DIR (work_dirs/demo), PORT (a free one).
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/tools/setup.sh"
cd "$root"
export PATH=$root/.venv/bin:$PATH

work_dir=${WORK_DIR:-work_dirs/demo}
say() { printf '[demo] %s\n' "$*"; }

say 'making the data in data/digits-64 (seconds)'
python tools/make_digits.py data/digits-64 --size 64 --images 1920

# Any free port: another training may hold the default one.
PORT=${PORT:-$(python -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])')}
export PORT

# Train configs/demo/faster-rcnn_$1_large-batch_digits.py into $work_dir/$2.
train() {
    local config=configs/demo/faster-rcnn_$1_large-batch_digits.py name=$2
    shift 2
    say "training $name: $config over 2 processes (about 2 minutes)"
    bash tools/dist_train.sh "$config" 2 --work-dir "$work_dir/$name" "$@"
}
train measured without-agvm "$@"
train agvm with-agvm "$@"

for name in without-agvm with-agvm; do
    log=$(ls -t "$work_dir/$name"/*/*.log | head -n 1)
    say "$name: $(grep -o 'coco/bbox_mAP: [0-9.]*' "$log" | tail -n 1) on digits that it has not seen"
done
python tools/plot_variance.py "$work_dir/without-agvm" "$work_dir/with-agvm" --out "$work_dir/agvm.png"
say "what AGVM measured and did: $(realpath "$work_dir/agvm.png")"
python tools/report.py "$work_dir/without-agvm" "$work_dir/with-agvm" --out "$work_dir/report.html"
say "the same as a page, for a browser: $(realpath "$work_dir/report.html")"
