"""Trainings that are killed at random moments go on as if they were not.

A slow suite: bash tools/run_tests.sh --faults
"""
from __future__ import annotations

import random
import shutil
import time

import pytest
import torch

from agvm_mm.compat.checkpoint import check_checkpoint
from tests.commands import RETINANET, load, options

from .counting import count
from .training import CUTS, STARTED, Training

pytestmark = pytest.mark.faults

EPOCHS = 12  # of two updates
CUTS_PER_TRAINING = 4
OPTIMIZERS = dict(
    sgd='',
    adamw="""
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05))
""")


def train(work_dir,
          ranks,
          digits,
          *arguments,
          optimizer='sgd',
          estimator='replica',
          samples=4):
    """Start a training of eight samples an update."""
    work_dir.mkdir(parents=True, exist_ok=True)
    config = work_dir / 'config.py'
    config.write_text(f"_base_ = '{RETINANET}'\n{OPTIMIZERS[optimizer]}")
    settings = options(digits, f'optim_wrapper.agvm.estimator={estimator}',
                       f'train_cfg.max_epochs={EPOCHS}',
                       'train_cfg.val_interval=100', 'total_batch_size=8',
                       f'max_samples_per_gpu={samples}')
    settings.remove('train_dataloader.batch_size=2')
    return Training(config, work_dir, ranks, [*arguments, *settings])


def wait_for(condition, training):
    """Until it holds; a training that ends before fails the test."""
    while not condition():
        over = training.process.poll() is not None
        assert not over or condition(), training.output()
        time.sleep(0.02)


def finished(work_dir):
    return load(work_dir / f'epoch_{EPOCHS}.pth')


def assert_equal(one, other, where=''):
    """Everything in two checkpoints is the same, to the bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_equal(one[key], other[key], f'{where}.{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other)):
            assert_equal(*pair, f'{where}[{index}]')
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


@pytest.mark.parametrize('ranks', [1, 2])
@pytest.mark.parametrize('estimator', ['replica', 'half_batch'])
@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_killed_trainings_end_in_the_same_bits(digits, tmp_path, ranks,
                                               estimator, optimizer):
    # Two micro-batches on each process.
    settings = dict(
        optimizer=optimizer, estimator=estimator, samples=4 // ranks)
    whole = train(tmp_path / 'whole', ranks, digits, **settings)
    wait_for(lambda: STARTED in whole.output(), whole)
    start = time.time()
    assert whole.wait() == 0, whole.output()
    seconds = time.time() - start

    name = f'{optimizer}, {estimator}, {ranks} process(es)'
    rng = random.Random(name)
    work_dir = tmp_path / 'cut'
    cuts = 0
    while cuts < CUTS_PER_TRAINING:
        how = rng.choice(list(CUTS))
        training = train(work_dir, ranks, digits, '--resume', **settings)
        if training.cut(how, rng, seconds / (CUTS_PER_TRAINING + 1)):
            cuts += 1
            number = count(f'{how}, {ranks} process(es)')
            saved = sorted(path.name for path in work_dir.glob('*.pth'))
            print(f'\ncut {number}: {name}: {how}; there: {saved}')
        else:
            assert training.wait() == 0, training.output()
            shutil.rmtree(work_dir)  # Too late: once more.
    last = train(work_dir, ranks, digits, '--resume', **settings)
    assert last.wait() == 0, last.output()
    cut, expected = finished(work_dir), finished(tmp_path / 'whole')
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(cut[part], expected[part], part)


@pytest.mark.parametrize(('before', 'after'), [(2, 1), (1, 2)])
def test_another_number_of_processes_goes_on(digits, tmp_path, before, after):
    whole = train(tmp_path / 'whole', before, digits)
    assert whole.wait() == 0, whole.output()
    work_dir = tmp_path / 'cut'
    first = train(work_dir, before, digits)
    wait_for((work_dir / 'epoch_4.pth').exists, first)
    assert first.cut('kill all', random.Random(0), 0)
    count(f'kill all, {before} process(es), resumed on {after}')
    last = train(work_dir, after, digits, '--resume')
    assert last.wait() == 0, last.output()
    cut, expected = finished(work_dir), finished(tmp_path / 'whole')
    assert cut['meta']['updates'] == expected['meta']['updates'] == 2 * EPOCHS
    rates, wanted = ([g['lr'] for g in c['optimizer']['param_groups']]
                     for c in (cut, expected))
    assert rates == wanted
    # The same micro-batches: equal up to rounding.
    assert cut['optimizer']['agvm']['lr_scale'] == pytest.approx(
        expected['optimizer']['agvm']['lr_scale'], rel=1e-3)
    for name, tensor in expected['state_dict'].items():
        if 'running' not in name and 'num_batches' not in name:
            torch.testing.assert_close(
                cut['state_dict'][name], tensor, rtol=1e-2, atol=1e-4)


def test_a_truncated_checkpoint_is_passed_over(digits, tmp_path):
    training = train(tmp_path, 1, digits)
    wait_for((tmp_path / 'epoch_3.pth').exists, training)
    assert training.cut('kill all', random.Random(0), 0)
    latest, kept = tmp_path / 'latest.pth', tmp_path / 'epoch_2.pth'
    content = kept.read_bytes()
    latest.write_bytes(content[:10_000])
    (tmp_path / 'last_checkpoint').write_text(str(latest))
    resumed = train(tmp_path, 1, digits, '--resume')
    assert resumed.wait() == 0
    output = resumed.output()
    assert 'Resume passes over latest.pth (is cut short' in output
    assert 'Traceback' not in output
    check_checkpoint(tmp_path / f'epoch_{EPOCHS}.pth')
