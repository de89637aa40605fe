# 16 epochs on COCO.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=16, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
drops = dict(type='MultiStepLR', by_epoch=True, milestones=[12, 14], gamma=0.1)
