# 14 epochs on COCO.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=14, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
drops = dict(type='MultiStepLR', by_epoch=True, milestones=[10, 12], gamma=0.1)
