_base_ = [
    'mmseg::_base_/models/upernet_r50.py',
    'mmseg::_base_/datasets/ade20k.py',
    '../runtimes/mmseg.py',
]
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150))
num_train_images = 20210
train_dataloader = dict(
    batch_size=16,  # the most of a GPU at once: ours; it was not run on a GPU
    num_workers=8)
