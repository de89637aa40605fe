# Written by tools/python_configs.py from
# mmseg::_base_/default_runtime.py; do not edit.
from mmengine.visualization import LocalVisBackend
from mmseg.models import SegTTAModel
from mmseg.visualization import SegLocalVisualizer

default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
vis_backends = [dict(type=LocalVisBackend)]
visualizer = dict(
    type=SegLocalVisualizer,
    vis_backends=[dict(type=LocalVisBackend)],
    name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
tta_model = dict(type=SegTTAModel)
