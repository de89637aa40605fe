# RetinaNet R18-FPN, AGVM + AdamW, batch 4096: 12 epochs, 348 updates.
_base_ = [
    '../_base_/pipelines/retinanet_r18_fpn_coco.py',
    '../_base_/schedules/coco_12e_bs4096.py',
    '../_base_/optimizers/agvm-adamw.py',
]
# lr: square-root rule from 1.35e-4 at 2528 (MLPerf, RetinaNet on OpenImages).
optim_wrapper = dict(
    optimizer=dict(lr=1.35e-4 * (4096 / 2528)**0.5),
    agvm=dict(begin=158, interval=5))
lr_source = dict(by='MLPerf, RetinaNet on OpenImages', lr=1.35e-4, batch=2528)
reported = dict(paper='28.7 box mAP; best rival 23.5 (PMD-LAMB)')
