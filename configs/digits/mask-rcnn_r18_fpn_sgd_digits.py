_base_ = [
    '../_base_/digits/mask-rcnn_r18_fpn.py',
    '../_base_/digits/detection.py',
    '../_base_/digits/schedule_epochs.py',
    '../_base_/digits/runtime_epochs.py',
]
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
