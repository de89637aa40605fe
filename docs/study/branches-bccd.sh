#!/usr/bin/env bash
# Is the noise scale right on photographs? Two trainings of the study's RetinaNet
# at batch 32, SGD and AdamW, branched at a quarter, half and three quarters of a
# cosine. To be stopped and started again at will:
#   bash docs/study/branches-bccd.sh
# The weights are those that 'study.py run docs/study/bccd.yaml --weights' makes.
# DATA names the folder of the photographs, JOBS=2 runs two branches at once.
# Results: work_dirs/branches-bccd/out.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=work_dirs/branches-bccd
data=${DATA:-data/bccd}
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
mkdir -p "$work"
sgd="type='SGD', lr=0.08, momentum=0.9, weight_decay=1e-4"
adamw="type='AdamW', lr=0.002, betas=(0.9, 0.999), weight_decay=0.05"
branch() {  # name, iteration, more flags
    python tools/study.py branch "$work/$1.py" "$work/$1/iter_$2.pth" \
        --batches 8 16 32 64 128 256 \
        --images "${IMAGES:-2048}" --loss-images "${LOSS_IMAGES:-205}" \
        --seeds "${SEEDS:-2}" --jobs "${JOBS:-1}" --out "$work/out" "${@:3}"
}
for name in sgd adamw; do
    cat > "$work/$name.py" <<CONFIG
_base_ = '$PWD/configs/study/retinanet_effnet-lite0_fpn_bccd.py'
total_batch_size = 32
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=384)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, ${!name}), clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=38),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=38, end=384),
]
train_dataloader = dict(dataset=dict(data_root='$data/'))
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
log_processor = dict(by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=96, max_keep_ckpts=-1))
CONFIG
    # Files are named by iterations: four of 8 images an update.
    if [ ! -f "$work/$name/iter_1536.pth" ]; then
        python tools/train.py "$work/$name.py" --work-dir "$work/$name" --resume
    fi
    for iteration in 384 768 1152; do
        branch "$name" "$iteration"
    done
    # Half way by another rule too: is it the batch that costs, or the rate?
    branch "$name" 768 --rule square-root
done
