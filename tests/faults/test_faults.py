"""Trainings that are killed at random moments go on as if they were not.

A slow suite: bash tools/run_tests.sh --faults
"""
from __future__ import annotations

import random
import shutil
import time

import pytest
import torch

from agvm_mm.checkpoint import check_checkpoint
from tests.test_tools import RETINANET, options

from .training import CUTS, Training

pytestmark = pytest.mark.faults

EPOCHS = 12
CUTS_PER_TRAINING = 3
OPTIMIZERS = dict(
    sgd=[],
    adamw=[
        "optim_wrapper.optimizer={'_delete_':True,'type':'AdamW','lr':1e-3}"
    ])
done = []  # every cut: how, and the epochs that its checkpoint held


def train(work_dir, ranks, settings, *arguments):
    # Eight samples an update, however many ranks there are.
    return Training(RETINANET, work_dir, ranks, [
        *arguments, *settings, f'train_cfg.max_epochs={EPOCHS}',
        'train_cfg.val_interval=100', 'total_batch_size=8'
    ])  # yapf: disable


def settings_of(digits, ranks, estimator, optimizer):
    settings = options(digits, f'optim_wrapper.agvm.estimator={estimator}',
                       *OPTIMIZERS[optimizer])
    settings.remove('train_dataloader.batch_size=2')
    return [*settings, f'max_samples_per_gpu={4 // ranks}']


def finished(work_dir):
    return torch.load(work_dir / f'epoch_{EPOCHS}.pth', weights_only=True)


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
    settings = settings_of(digits, ranks, estimator, optimizer)
    # RetinaNet draws no random numbers, and MMEngine saves no generator.
    whole = train(tmp_path / 'whole', ranks, settings)
    while 'Epoch(train)' not in whole.log.read_text():
        assert whole.process.poll() is None, whole.log.read_text()[-3000:]
        time.sleep(0.02)
    start = time.time()
    assert whole.wait() == 0, whole.log.read_text()[-3000:]
    seconds = time.time() - start

    seed = f'{ranks}{estimator}{optimizer}'
    rng = random.Random(seed)
    work_dir = tmp_path / 'cut'
    cuts = 0
    while cuts < CUTS_PER_TRAINING:
        how = rng.choice(list(CUTS))
        training = train(work_dir, ranks, settings, '--resume')
        if training.cut(how, rng, seconds / (CUTS_PER_TRAINING + 1)):
            saved = [path.name for path in work_dir.glob('epoch_*.pth')]
            done.append((seed, how, sorted(saved)))
            print(f'cut {len(done)}: {seed}: {how}; checkpoints: {saved}')
            cuts += 1
        else:
            assert training.wait() == 0, training.log.read_text()[-3000:]
            shutil.rmtree(work_dir)  # Too late: once more.
    last = train(work_dir, ranks, settings, '--resume')
    assert last.wait() == 0, last.log.read_text()[-3000:]
    cut, expected = finished(work_dir), finished(tmp_path / 'whole')
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(cut[part], expected[part], part)


def test_there_were_at_least_twenty_cuts():
    assert len(done) >= 20


@pytest.mark.parametrize(('before', 'after'), [(2, 1), (1, 2)])
def test_another_number_of_processes_goes_on(digits, tmp_path, before, after):
    whole = train(tmp_path / 'whole', before,
                  settings_of(digits, before, 'replica', 'sgd'))
    assert whole.wait() == 0, whole.log.read_text()[-3000:]
    work_dir = tmp_path / 'cut'
    first = train(work_dir, before,
                  settings_of(digits, before, 'replica', 'sgd'))
    while not (work_dir / 'epoch_4.pth').exists():
        time.sleep(0.02)
    assert first.cut('kill all', random.Random(0), 0)
    last = train(work_dir, after, settings_of(digits, after, 'replica', 'sgd'),
                 '--resume')
    assert last.wait() == 0, last.log.read_text()[-3000:]
    cut, expected = finished(work_dir), finished(tmp_path / 'whole')
    assert cut['meta']['updates'] == expected['meta']['updates'] == 2 * EPOCHS
    rates, wanted = ([g['lr'] for g in c['optimizer']['param_groups']]
                     for c in (cut, expected))
    assert rates == wanted
    assert cut['optimizer']['agvm']['lr_scale'] == pytest.approx(
        expected['optimizer']['agvm']['lr_scale'], rel=1e-3)
    for name, tensor in expected['state_dict'].items():
        if tensor.is_floating_point() and 'running' not in name:
            torch.testing.assert_close(
                cut['state_dict'][name], tensor, rtol=1e-2, atol=1e-4)


def test_a_truncated_checkpoint_is_one_error(digits, tmp_path):
    settings = settings_of(digits, 1, 'replica', 'sgd')
    training = train(tmp_path, 1, settings)
    while not (tmp_path / 'epoch_3.pth').exists():
        time.sleep(0.02)
    assert training.cut('kill all', random.Random(0), 0)
    latest = tmp_path / 'latest.pth'
    latest.write_bytes((tmp_path / 'epoch_2.pth').read_bytes()[:10_000])
    (tmp_path / 'last_checkpoint').write_text(str(latest))
    kept = (tmp_path / 'epoch_2.pth').read_bytes()
    resumed = train(tmp_path, 1, settings, '--resume')
    assert resumed.wait() != 0
    output = resumed.log.read_text()
    assert 'latest.pth is cut short' in output
    assert 'epoch_2.pth' in output
    assert 'Traceback' not in output
    assert (tmp_path / 'epoch_2.pth').read_bytes() == kept
    check_checkpoint(tmp_path / 'epoch_2.pth')
