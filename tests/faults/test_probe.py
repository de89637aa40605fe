"""max_samples_per_gpu='auto' of a detector, in 2 GiB of address space."""
import re

import pytest
from mmengine.config import Config

from tests.commands import RETINANET, free_port, options, run, scalars

pytestmark = pytest.mark.faults

KIB = 2 * 2**20


def train(digits, work_dir, side, *command, **kwargs):
    """Train 16 images of a size, all in one update."""
    settings = options(
        digits, 'total_batch_size=16', 'train_cfg.max_epochs=1',
        'train_cfg.val_interval=10', 'optim_wrapper.agvm.begin=0',
        f'train_dataloader.dataset.pipeline.2.scale=({side},{side})')
    return run('bash', '-c', f'ulimit -v {KIB}; exec "$@"', 'bash', *command,
               '--samples-per-gpu', 'auto', '--work-dir', work_dir, *settings,
               **kwargs)


def test_it_finds_what_fits_and_trains_at_it(digits, tmp_path):
    output = train(digits, tmp_path, 320, 'python', 'tools/train.py',
                   RETINANET)
    line, = re.findall("max_samples_per_gpu='auto': .*", output)
    found, beyond = map(int, re.search(
        r"'auto': samples_per_gpu=(\d+) of up to 320 x 320 fits on every "
        r'process, with 256 MiB of memory to spare, (\d+) does not;',
        line).groups())
    assert beyond == 2 * found
    cfg = Config.fromfile(tmp_path / RETINANET.name)
    assert cfg.max_samples_per_gpu == found
    assert cfg.train_dataloader.batch_size == found
    assert scalars(tmp_path)[-1]['step'] == 16 // found
    assert scalars(tmp_path)[-1]['agvm/num_replicas'] == 16 // found


@pytest.mark.parametrize('processes', [1, 2])
def test_nothing_fits(processes, digits, tmp_path):
    output = train(
        digits,
        tmp_path,
        2048,
        'bash',
        'tools/dist_train.sh',
        RETINANET,
        processes,
        PORT=free_port(),
        status=1)
    line, = (line for line in output.splitlines() if 'train.py: ' in line)
    assert "train.py: max_samples_per_gpu='auto': a process " in line
    if processes == 1:  # Two have connections, which take what is left.
        assert re.search(
            'has no memory for samples_per_gpu=1 of up to 2048 x 2048 '
            r'\(.*allocate.*\): make the ', line)
    assert 'Traceback' not in output
    assert not list(tmp_path.rglob('*.log'))
