"""The README's lines, added to mmdet's and mmseg's own configs."""
import re

import pytest
from command_line.configs import load_config
from command_line.preflight import check_wrapper
from mmengine.config import Config

from agvm_mm.large_batch import resolve
from tests.commands import ROOT

README = (ROOT / 'README.md').read_text()
ANY, SGD, ADAMW = re.findall(r'```python\n(.*?)```', README, re.DOTALL)
OF_SGD = [
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py',
    'mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py',
]
OF_ADAMW = [
    'mmdet::detr/detr_r50_8xb2-150e_coco.py',
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    'mmseg::swin/swin-tiny-patch4-window7_upernet_1xb8-20k_levir-256x256.py',
]


def merged(name, lines):
    cfg = load_config(name)
    cfg.merge_from_dict(
        Config.fromstring(lines, '.py')._cfg_dict.to_dict())
    return cfg


def test_it_is_short():
    lines = README.splitlines()
    assert len(lines) < 150
    assert max(map(len, lines)) <= 120


CASES = [(name, ANY) for name in (*OF_SGD, *OF_ADAMW)]
CASES += [(name, SGD) for name in OF_SGD[::3]]
CASES += [(name, ADAMW) for name in OF_ADAMW[1::2]]


@pytest.mark.parametrize(('name', 'lines'), CASES)
def test_the_lines_fit(name, lines):
    before = load_config(name).optim_wrapper
    cfg = merged(name, lines)
    wrapper = cfg.optim_wrapper
    assert wrapper.optimizer.type == before.optimizer.type
    assert wrapper.get('paramwise_cfg') == before.get('paramwise_cfg')
    if lines == ANY:
        assert wrapper.optimizer == before.optimizer
        wrapper.setdefault('accumulative_counts', 2)  # one process here
    else:
        cfg = resolve(cfg, 8)
        samples = cfg.train_dataloader.batch_size * 8
        assert samples * cfg.optim_wrapper.accumulative_counts == 256
    check_wrapper(cfg, 'none')
