#!/usr/bin/env bash
# Is the noise scale right? Two trainings of the study's Faster R-CNN at batch 32,
# SGD and AdamW at their best rates there, branched at three points: early, before
# the first drop of the rate and after it. To be stopped and started again at will:
#   bash docs/study/branches.sh
# JOBS=2 runs two branches at once. Results: work_dirs/branches/out.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=work_dirs/branches
data=data/study
weights=work_dirs/pretrained/faster-rcnn.pth
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
mkdir -p "$work"
if [ ! -d "$data" ]; then
    python tools/make_digits.py "$data" --images 1920 --val-images 128 \
        --test-images 256 --size 64 --seed 1
fi
if [ ! -f "$weights" ]; then
    python tools/pretrain_digits.py configs/study/faster-rcnn_r18_fpn_digits.py \
        "$weights" --data-root "$data"
fi
sgd="type='SGD', lr=0.08, momentum=0.9, weight_decay=1e-4"
adamw="type='AdamW', lr=0.004, betas=(0.9, 0.999), weight_decay=0.05"
branch() {  # name, epoch, more flags
    python tools/study.py branch "$work/$1.py" "$work/$1/epoch_$2.pth" \
        --batches 8 16 32 64 128 256 \
        --images "${IMAGES:-4096}" --loss-images "${LOSS_IMAGES:-512}" \
        --seeds "${SEEDS:-2}" --jobs "${JOBS:-1}" --out "$work/out" "${@:3}"
}
for name in sgd adamw; do
    cat > "$work/$name.py" <<CONFIG
_base_ = '$PWD/configs/study/faster-rcnn_r18_fpn_digits.py'
total_batch_size = 32
train_cfg = dict(max_epochs=12)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, ${!name}), clip_grad=dict(max_norm=5))
# Of 60 updates an epoch: warm-up of 1.5 epochs, as the study's.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=90),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
]
train_dataloader = dict(
    dataset=dict(
        data_root='$data/',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(type='Resize', scale=(64, 64), keep_ratio=True),
            dict(type='PackDetInputs'),
        ]))
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1))
CONFIG
    if [ ! -f "$work/$name/epoch_12.pth" ]; then
        python tools/train.py "$work/$name.py" --work-dir "$work/$name" --resume
    fi
    for epoch in 2 6 10; do
        branch "$name" "$epoch"
    done
    # Half way by another rule too: is it the batch that costs, or the rate?
    branch "$name" 6 --rule square-root
done
