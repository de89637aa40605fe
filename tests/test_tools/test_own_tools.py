"""Training by mmdet's and mmseg's own tools, which build our runner."""
import sys
from pathlib import Path

import mmdet
import mmseg
import pytest

from tests.commands import (
    FASTER,
    RETINANET,
    SEMANTIC,
    free_port,
    options,
    run,
    scalars,
    without,
)


def own_train_tool(package):
    return Path(package.__file__).parent / '.mim/tools/train.py'


def rows(work_dir):
    """The log of a run, without its times."""
    times = ('time', 'data_time')
    return [{k: v
             for k, v in row.items() if k not in times}
            for row in scalars(work_dir)]


def test_mmdets_own_train_tool_keeps_the_total_batch(digits, tmp_path):
    """4 updates of 2 micro-batches on each of 2 processes, log for log."""
    settings = options(digits, 'total_batch_size=8', 'train_cfg.max_epochs=2',
                       'train_cfg.val_interval=10',
                       'randomness.deterministic=True')
    run(*(sys.executable, '-m', 'torch.distributed.run'),
        *('--nproc_per_node=2', f'--master_port={free_port()}'),
        *(own_train_tool(mmdet), FASTER, '--launcher', 'pytorch'),
        *('--work-dir', tmp_path / 'own', *settings))
    run('bash',
        'tools/dist_train.sh',
        *(FASTER, 2, '--work-dir', tmp_path / 'ours', *settings),
        PORT=free_port())
    own, ours = rows(tmp_path / 'own'), rows(tmp_path / 'ours')
    assert own == ours
    assert [row['step'] for row in own] == [2, 4, 6, 8]
    assert own[-1]['agvm/num_replicas'] == 4
    assert own[-1]['agvm/lr_scale/roi_head.bbox_head'] != 1
    # The learning rates are of the updates 1, 2, 3 and 4.
    first = 0.02 * 0.01
    assert [row['lr'] for row in own] == pytest.approx(
        [first + k * (0.02 - first) / 99 for k in range(4)], rel=1e-3)


def test_mmsegs_own_train_tool_keeps_the_total_batch(digits, tmp_path, train):
    """4 updates of 4 micro-batches on one process, log for log."""
    settings = without(
        'ann_file',
        options(digits, 'total_batch_size=8', 'train_cfg.max_iters=4',
                'train_cfg.val_interval=10'))
    run(sys.executable, own_train_tool(mmseg), SEMANTIC, '--work-dir',
        tmp_path / 'own', *settings)
    train(SEMANTIC, *settings, work_dir=tmp_path / 'ours')
    own, ours = rows(tmp_path / 'own'), rows(tmp_path / 'ours')
    assert own == ours
    assert [row['step'] for row in own] == [4, 8, 12, 16]
    assert own[-1]['agvm/num_replicas'] == 4
    assert own[-1]['agvm/lr_scale/decode_head'] != 1


def test_mmdets_own_train_tool_alone(digits, tmp_path):
    """One process accumulates what two would share."""
    output = run(
        sys.executable,
        own_train_tool(mmdet),
        FASTER,
        '--work-dir',
        tmp_path,
        *options(digits, 'train_cfg.max_epochs=1',
                 'train_cfg.val_interval=10'),
        cwd=tmp_path)
    logged = scalars(tmp_path)
    assert [row['step'] for row in logged] == [2, 4, 6, 8]
    assert logged[-1]['agvm/num_replicas'] == 2
    assert '  agvm/lr_scale/neck: ' in output
    assert '  agvm/variance/neck: ' not in output
    assert 'The config states' not in output
    assert 'total_batch_size=4: 1 process x 2 samples x 2 micro-batches' in (
        output)


def test_torchrun_without_a_launcher(digits, tmp_path):
    output = run(
        sys.executable,
        '-m',
        'torch.distributed.run',
        '--nproc_per_node=2',
        f'--master_port={free_port()}',
        own_train_tool(mmdet),
        RETINANET,
        '--work-dir',
        tmp_path,
        *options(digits),
        status=1)
    assert "ValueError: launcher='none', but torchrun started 2 " in output
    assert not scalars(tmp_path)
