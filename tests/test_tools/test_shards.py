"""The largest detector, made small.

A slow suite: bash tools/run_tests.sh --faults
"""
import pytest

from agvm_mm.compat.shards import load_whole
from tests.commands import ROOT, free_port, run, scalars
from tests.stack import fsdp

# The detector of 1e9 parameters, made small, on Digits. MMEngine ties mixed
# precision to a GPU, so here the wrapper without it stands in.
SMALL_1B = """
_base_ = '{root}/configs/cascade_mask_rcnn/{name}'
head = dict(fc_out_channels=32)
_base_.model.roi_head.bbox_head = [
    dict(h, **head) for h in _base_.model.roi_head.bbox_head]
model = dict(
    backbone=dict(
        embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8]),
    neck=dict(in_channels=[16, 32, 64, 128]),
    roi_head=dict(
        bbox_head=_base_.model.roi_head.bbox_head,
        mask_head=[dict(
            _base_.model.roi_head.mask_head,
            conv_out_channels=16)] * 3))
_base_.optim_wrapper.pop('dtype')
_base_.optim_wrapper.pop('use_fsdp')
optim_wrapper = dict(
    type='AGVMOptimWrapper', agvm=dict(begin=1, interval=1))
train_cfg = dict(max_iters=3)
total_batch_size = 8
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=3))
train_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root='{digits}', ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=[str(d) for d in range(10)]),
        filter_cfg=dict(min_size=1)))
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
"""


@fsdp
@pytest.mark.faults
def test_the_largest_detector_trains_in_shards(digits, tmp_path):
    """Over two processes, two micro-batches each; then over three."""
    config = tmp_path / 'small.py'
    config.write_text(
        SMALL_1B.format(
            root=ROOT,
            digits=digits,
            name='cascade-mask-rcnn_swin-1b_fpn_agvm-adamw_1349_bs960_coco.py')
    )
    for processes, updates, more in ((2, 3, []), (3, 4, ['--resume'])):
        run('bash',
            'tools/dist_train.sh',
            config,
            processes,
            '--work-dir',
            tmp_path / 'work',
            *more,
            '--cfg-options',
            f'train_cfg.max_iters={updates}',
            'train_dataloader.dataset.pipeline.2.scale=(64,64)',
            PORT=free_port())
    rows = scalars(tmp_path / 'work')
    assert [row['step'] for row in rows] == [2, 4, 6, 8]
    assert [row['agvm/num_replicas'] for row in rows[-2:]] == [4, 6]
    for module in ('backbone', 'neck', 'rpn_head', 'roi_head.bbox_head',
                   'roi_head.mask_head'):
        assert 0 < rows[-1][f'agvm/variance/{module}'] <= 2
    folder = tmp_path / 'work/iter_6.pth'
    assert (folder / '__1_0.distcp').is_file()
    saved = load_whole(folder)
    assert saved['optimizer']['agvm']['lr_scale']['neck'] != 1
