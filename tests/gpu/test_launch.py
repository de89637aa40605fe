"""Two GPUs, by the command lines that users call."""
import pytest
import torch

from tests.commands import RETINANET, free_port, options, run
from tests.test_tools.test_train import assert_every_module_is_logged

# A loss scale at which nothing overflows: each measurement is logged.
PRECISIONS = dict(
    float32=[],
    float16=[
        'optim_wrapper.type=AGVMAmpOptimWrapper',
        'optim_wrapper.loss_scale=256.0'
    ])


@pytest.mark.parametrize('precision', list(PRECISIONS))
def test_two_gpus(precision, digits, tmp_path, device):
    if device == 'cpu':
        pytest.skip('two CPUs are in test_train.py: '
                    'test_training_logs_every_module')
    if torch.cuda.device_count() < 2:
        pytest.skip('two ranks over NCCL need 2 GPUs')
    output = run(
        'bash',
        'tools/dist_train.sh',
        RETINANET,
        2,
        '--work-dir',
        tmp_path,
        *options(digits, 'train_cfg.max_epochs=2',
                 'train_cfg.val_interval=10', *PRECISIONS[precision]),
        PORT=free_port())
    assert_every_module_is_logged(tmp_path, output)
