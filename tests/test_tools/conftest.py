import pytest
import torch
from studies.efficientnet_lite import EfficientNetLite0
from train import main

from tests.commands import RETINANET, train_two_processes


@pytest.fixture(scope='session', name='trained')
def _trained(digits, tmp_path_factory):
    """Work dir of a RetinaNet, two epochs over two processes, and its log."""
    work_dir = tmp_path_factory.mktemp('work_dirs') / 'whole'
    return work_dir, train_two_processes(RETINANET, work_dir, 2, digits)


@pytest.fixture(name='train')
def _train(tmp_path, monkeypatch):
    """Runs train.py in this process; its last arguments are settings."""
    for name in ('LOCAL_RANK', 'TORCH_FORCE_WEIGHTS_ONLY_LOAD',
                 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        monkeypatch.setenv(name, '0')

    def train(config, *arguments, work_dir=tmp_path):
        main([
            str(config), '--work-dir',
            str(work_dir), *map(str, arguments),
            f'visualizer.name={tmp_path.name}'
        ])

    return train


@pytest.fixture(name='published')
def _published():
    """Weights as the package names them, and by timm's names."""
    torch.manual_seed(0)
    weights = EfficientNetLite0().state_dict()
    inside = ['_expand_conv', '_bn0', '_depthwise_conv', '_bn1']
    modules = ['_conv_stem', '_bn0']
    for block in range(16):
        modules += [
            f'_blocks.{block}.{name}'
            for name in (inside if block else inside[2:]) +
            ['_project_conv', '_bn2']
        ]
    names = [
        f'{module}.{tensor}' for module in modules
        for tensor in (('weight', ) if 'conv' in module else
                       ('weight', 'bias', 'running_mean', 'running_var',
                        'num_batches_tracked'))
    ]
    return dict(zip(names, weights.values())), weights
