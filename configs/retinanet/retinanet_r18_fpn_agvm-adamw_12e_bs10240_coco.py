# RetinaNet R18-FPN, AGVM + AdamW, batch 10240: 12 epochs, 144 updates.
_base_ = [
    '../_base_/pipelines/retinanet_r18_fpn_coco.py',
    '../_base_/schedules/coco_12e_bs10240.py',
    '../_base_/optimizers/agvm-adamw.py',
]
# lr: square-root rule from 1.35e-4 at 2528 (MLPerf, RetinaNet on OpenImages).
optim_wrapper = dict(
    optimizer=dict(lr=1.35e-4 * (10240 / 2528)**0.5),
    agvm=dict(begin=36, interval=5))
lr_source = dict(by='MLPerf, RetinaNet on OpenImages', lr=1.35e-4, batch=2528)
agvm_source = dict(
    begin=
    'ours: an epoch after the warm-up; 100 updates after it, 20 would be left')
reported = dict(paper='26.7 box mAP; rivals NaN')
