"""Runs that draw random numbers, cut at any update."""
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import FlexibleRunner, Runner

import agvm_mm.cpu  # noqa: F401
from agvm_mm.compat.checkpoint import allow_mmengine_checkpoints
from agvm_mm.large_batch import resolve, warm_up_updates
from agvm_mm.large_batch.loops import VALIDATED
from agvm_mm.large_batch.plan import learning_rates, make_plan
from tests.commands import load
from tests.distributed import run_ranks
from tests.toy import ToyDetector

UPDATES = 9  # 21 images at batch 8: three an epoch
PARTS = 'state_dict', 'optimizer', 'param_schedulers'
RUNNERS = dict(plain=Runner, flexible=FlexibleRunner)


@DATASETS.register_module()
class NoisyData(torch.utils.data.Dataset):
    """Samples that are augmented at random, by all three generators."""

    def __init__(self, images=21):
        self.images = images
        self.loaded = []

    def __len__(self):
        return self.images

    def __getitem__(self, index):
        self.loaded.append(index)
        generator = torch.Generator().manual_seed(index)
        draw = torch.randn(16, generator=generator, dtype=torch.float64)
        noise = random.random() + np.random.rand() + float(torch.rand(()))
        return dict(
            index=index, inputs=draw[:6] * noise, data_samples=draw[6:])


@MODELS.register_module()
class NoisyDetector(ToyDetector):
    """As one with dropout, and with samplers that draw by NumPy."""

    def __init__(self):
        super().__init__()
        self.double()

    def forward(self, inputs, data_samples=None, mode='tensor', index=None):
        if mode == 'loss':
            inputs = torch.dropout(inputs, 0.2, True) * (1 + random.random())
            inputs = inputs * (1 + np.random.rand())
        out = super().forward(inputs, data_samples, mode)
        return [out] if mode == 'predict' else out


@METRICS.register_module()
class NoisyMetric(BaseMetric):
    """Draws too; a run that validates more often is to train the same."""

    def process(self, data_batch, data_samples):
        self.results.append(random.random() + float(torch.rand(())))

    def compute_metrics(self, results):
        return dict(noise=float(np.random.rand()))


class Recorder(Hook):
    """What each micro-batch was, and when the run validated."""

    def __init__(self):
        self.batches, self.validated, self.inner = {}, [], []

    def before_train_iter(self, runner, batch_idx, data_batch):
        self.inner.append(batch_idx)
        self.batches[runner.iter] = {
            int(i): x.tolist()
            for i, x in zip(data_batch['index'], data_batch['inputs'])
        }

    def before_val_epoch(self, runner):
        self.validated.append(runner.iter)


def config(work_dir, by_iteration, **more):
    loader = dict(
        batch_size=2,
        num_workers=0,
        dataset=dict(type='NoisyData'),
        collate_fn=dict(type='default_collate'),
        sampler=dict(
            type='InfiniteSampler' if by_iteration else 'DefaultSampler',
            shuffle=True))
    loops = dict(by_epoch=False, max_iters=UPDATES) if by_iteration else dict(
        by_epoch=True, max_epochs=3)
    cfg = Config(
        dict(
            total_batch_size=8,
            work_dir=str(work_dir),
            model=dict(type='NoisyDetector'),
            train_dataloader=loader,
            train_cfg=dict(**loops, val_interval=2),
            val_dataloader=dict(
                batch_size=1,
                dataset=dict(type='NoisyData', images=2),
                collate_fn=dict(type='default_collate'),
                sampler=dict(type='DefaultSampler', shuffle=False)),
            val_cfg=dict(),
            val_evaluator=dict(type='NoisyMetric'),
            optim_wrapper=dict(
                type='AGVMOptimWrapper',
                constructor='AGVMOptimWrapperConstructor',
                optimizer=dict(type='AdamW', lr=0.01),
                agvm=dict(begin=3, interval=2)),
            param_scheduler=[
                dict(
                    type='LinearLR',
                    start_factor=0.1,
                    by_epoch=False,
                    begin=0,
                    end=5)
            ],
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook', by_epoch=False, interval=1)),
            env_cfg=dict(),  # which the flexible runner asks for
            log_level='ERROR'))
    cfg.merge_from_dict(more)
    return cfg


def train(work_dir,
          by_iteration=False,
          resume=None,
          rank=0,
          world_size=1,
          kind='plain',
          **more):
    """Train in this process; return the runner and its recorder."""
    cfg = config(work_dir, by_iteration, **more)
    if world_size > 1:
        os.environ['LOCAL_RANK'] = str(rank)
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg = dict(type='CPUDistributedDataParallel')
    cfg = resolve(cfg, world_size)
    if resume is not None:
        cfg.load_from, cfg.resume = str(resume), True
    cfg.experiment_name = f'{Path(work_dir).parent.name}{Path(work_dir).name}'
    allow_mmengine_checkpoints()
    runner = RUNNERS[kind].from_cfg(cfg)
    recorder = Recorder()
    runner.register_hook(recorder, 'LOWEST')
    runner.train()
    return runner, recorder


def of_update(work_dir, update, micro_batches=4):
    return Path(work_dir) / f'iter_{update * micro_batches}.pth'


def assert_same(one, other, where=''):
    """Two parts of checkpoints are the same, to the bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f'{where}.{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other)):
            assert_same(*pair, f'{where}[{index}]')
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


@pytest.mark.parametrize('kind', RUNNERS)
@pytest.mark.parametrize(
    'by_iteration', [False, True], ids=['epochs', 'iters'])
def test_a_run_that_was_cut_at_any_update_ends_in_the_same_bits(
        by_iteration, kind, tmp_path):
    # Without a seed: each run draws one, and the checkpoint's counts.
    options = dict(by_iteration=by_iteration, kind=kind)
    _, whole = train(tmp_path / 'whole', **options)
    expected = load(of_update(tmp_path / 'whole', UPDATES))
    validations = [2, 4, 6, 8, 9] if by_iteration else [6, 9]
    assert whole.validated == [4 * update for update in validations]
    # An epoch's end, where it validates too, and the run's, among others.
    for cut in (2, 3, 6, 7, 9) if kind == 'plain' else (4, ):
        work_dir = tmp_path / f'cut_{cut}'
        runner, recorder = train(
            work_dir, resume=of_update(tmp_path / 'whole', cut), **options)
        assert recorder.batches == {
            i: batch
            for i, batch in whole.batches.items() if i >= 4 * cut
        }
        assert recorder.inner == whole.inner[4 * cut:]
        # What was due upon the checkpoint was not done when it was written.
        assert recorder.validated == [
            4 * update for update in validations if update >= cut
        ]
        trained = runner.train_dataloader.dataset.loaded
        assert len(trained) == 8 * (UPDATES - cut)
        if cut < UPDATES:
            cut_run = load(of_update(work_dir, UPDATES))
            for part in PARTS:
                assert_same(cut_run[part], expected[part], part)


@pytest.mark.parametrize('kind', RUNNERS)
def test_epochs_that_are_converted_count_updates(kind, tmp_path):
    """As in MMEngine without accumulation, after a resume too."""
    converted = dict(by_epoch=True, convert_to_iter_based=True)
    schedule = dict(param_scheduler=[  # as YOLOX's; of two there is no end
        dict(type='LinearLR', start_factor=0.1, end=1, **converted),
        dict(type='CosineAnnealingLR', begin=1, T_max=1, end=2, **converted),
        dict(type='ConstantLR', begin=2, factor=1, **converted),
        dict(type='CosineAnnealingMomentum', eta_min=0.5, **converted)
    ])

    def told(work_dir, micro_batches, first=1):
        """Of each update, the schedulers and the rate of the next one."""
        found = []
        for update in range(first, UPDATES + 1):
            saved = load(of_update(work_dir, update, micro_batches))
            states = [
                {k: v[0] if isinstance(v, list) else v  # one for each group
                 for k, v in state.items()}
                for state in saved['param_schedulers']
            ]  # yapf: disable
            found.append((states, saved['optimizer']['param_groups'][0]['lr']))
        return found

    cfg = config(tmp_path / 'plain', False, **schedule)
    cfg.train_dataloader.batch_size = 8
    cfg.optim_wrapper = dict(optimizer=cfg.optim_wrapper.optimizer)
    cfg.experiment_name = f'{tmp_path.name}plain'
    RUNNERS[kind].from_cfg(cfg).train()
    plain = told(tmp_path / 'plain', 1)
    rates = [0.001, *(rate for _, rate in plain)]
    assert len(set(rates)) == 5  # the warm-up, the cosine, the last
    train(tmp_path / 'whole', kind=kind, **schedule)
    assert told(tmp_path / 'whole', 4) == plain
    train(
        tmp_path / 'other',
        resume=of_update(tmp_path / 'whole', 4),
        kind=kind,
        max_samples_per_gpu=1,
        **schedule)
    assert told(tmp_path / 'other', 8, 5) == plain[4:]
    cfg = config(tmp_path / 'plan', False, num_train_images=21, **schedule)
    assert learning_rates(cfg, make_plan(cfg, 2)) == rates[:-1]
    assert warm_up_updates(resolve(cfg, 2), 6, 2) == 3


def test_an_epochs_checkpoint_is_validated_after_a_resume(tmp_path):
    by_epoch = {
        'default_hooks.checkpoint.by_epoch': True,
        'train_cfg.val_interval': 1
    }
    _, whole = train(tmp_path / 'whole', **by_epoch)
    assert whole.validated == [12, 24, 36]
    # MMEngine prints what begins so in the line of a validation.
    assert not VALIDATED.startswith(('train', 'val', 'test'))
    for epoch, validated in ((1, [12, 24, 36]), (2, [24, 36]), (3, [36])):
        path = tmp_path / 'whole' / f'epoch_{epoch}.pth'
        _, recorder = train(tmp_path / f'{epoch}', resume=path, **by_epoch)
        assert recorder.validated == validated
        assert sorted(recorder.batches) == list(range(12 * epoch, 36))


@pytest.mark.parametrize(
    'by_iteration', [False, True], ids=['epochs', 'iters'])
def test_a_best_is_validated_once(by_iteration, tmp_path):
    """Its validation is in the checkpoint, as is what it told schedules."""
    best = {
        'default_hooks.checkpoint.by_epoch': not by_iteration,
        'default_hooks.checkpoint.save_best': 'noise',
        'default_hooks.checkpoint.rule': 'less'
    }
    _, whole = train(tmp_path / 'whole', by_iteration, **best)
    first = of_update(tmp_path / 'whole',
                      2) if by_iteration else tmp_path / 'whole/epoch_2.pth'
    _, recorder = train(tmp_path / 'cut', by_iteration, first, **best)
    assert recorder.validated == whole.validated[1:] != []


@pytest.mark.parametrize('kind', RUNNERS)
def test_a_test_builds_no_training_data(kind, tmp_path):
    train(tmp_path / 'run', **{'train_cfg.max_epochs': 1})
    cfg = resolve(config(tmp_path / 'test', False), 1)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_cfg, cfg.test_evaluator = {}, cfg.val_evaluator
    cfg.load_from = str(of_update(tmp_path / 'run', 3))
    cfg.experiment_name = tmp_path.name
    runner = RUNNERS[kind].from_cfg(cfg)
    runner.test()
    assert isinstance(runner._train_loop, dict)


def end_workers(loop):
    """Or torch waits for each 5 seconds, once it is garbage of a cycle."""
    endless = getattr(loop, 'dataloader_iterator', None)
    for workers in (loop.dataloader._iterator,
                    getattr(endless, '_iterator', None)):
        if workers is not None:
            workers._shutdown_workers()


@pytest.mark.parametrize(
    'by_iteration', [False, True], ids=['epochs', 'iters'])
def test_workers_draw_the_same(by_iteration, tmp_path):
    seed = {'randomness': dict(seed=5)}
    _, whole = train(tmp_path / 'whole', by_iteration, **seed)
    expected = load(of_update(tmp_path / 'whole', UPDATES))
    for persistent in (False, True):
        work_dir = tmp_path / f'{persistent}'
        workers = {
            'train_dataloader.num_workers': 2,
            'train_dataloader.persistent_workers': persistent
        }
        runner, recorder = train(
            work_dir,
            by_iteration,
            of_update(tmp_path / 'whole', 4),
            **workers)
        end_workers(runner.train_loop)
        assert recorder.batches == {
            i: batch
            for i, batch in whole.batches.items() if i >= 16
        }
        assert_same(
            load(of_update(work_dir, UPDATES))['state_dict'],
            expected['state_dict'])


def on_a_rank(rank, work_dir, by_iteration, resume):
    runner, recorder = train(work_dir, by_iteration, resume, rank, 2)
    return recorder.batches, [p.detach() for p in runner.model.parameters()]


@pytest.mark.parametrize(
    'by_iteration', [False, True], ids=['epochs', 'iters'])
def test_another_number_of_ranks_goes_on_with_the_same_updates(
        by_iteration, tmp_path):
    runner, whole = train(tmp_path / 'whole', by_iteration)
    ranks = run_ranks(on_a_rank, 2, tmp_path / 'cut', by_iteration,
                      of_update(tmp_path / 'whole', 5))
    for update in range(5, UPDATES):
        # Micro-batch i of an update is rank i % 2's.
        dealt = [
            ranks[i % 2][0][2 * update + i // 2] for i in range(4)
        ]
        assert dealt == [whole.batches[4 * update + i] for i in range(4)]
    for batches, weights in ranks:
        assert sorted(batches) == list(range(10, 18))
        for ours, other in zip(runner.model.parameters(), weights):
            torch.testing.assert_close(ours, other, rtol=1e-7, atol=1e-9)


def test_without_the_switch_nothing_is_seeded(tmp_path):
    off = {'recovery': dict(randomness=False), 'randomness': dict(seed=5)}
    runner, whole = train(tmp_path / 'whole', **off)
    assert not hasattr(runner.train_dataloader.dataset, '__getitems__')
    _, recorder = train(
        tmp_path / 'cut', resume=of_update(tmp_path / 'whole', 4), **off)
    # The same images, drawn anew.
    assert [list(b) for b in recorder.batches.values()
            ] == [list(whole.batches[i]) for i in range(16, 36)]
    assert recorder.batches[16] != whole.batches[16]


def test_another_total_batch_begins_the_epoch_anew(tmp_path):
    train(tmp_path / 'whole')
    _, recorder = train(
        tmp_path / 'cut',
        resume=of_update(tmp_path / 'whole', 8),
        total_batch_size=4)
    assert recorder.inner[:2] == [0, 1]


def loop_of(train_cfg, sampler='DefaultSampler'):
    cfg = config('', 'max_iters' in train_cfg)
    cfg.train_cfg = train_cfg
    cfg.train_dataloader.sampler.type = sampler
    return resolve(resolve(cfg, 1), 2).train_cfg


def test_our_loops_take_the_place_of_mmengines():
    epochs, iters = dict(max_epochs=3), dict(max_iters=9)
    for stated in ({'by_epoch': True}, {'type': 'EpochBasedTrainLoop'}):
        assert loop_of({**stated, **epochs}) == dict(
            type='TotalBatchEpochLoop', **epochs)
    for stated in ({'by_epoch': False}, {'type': 'IterBasedTrainLoop'}):
        assert loop_of({
            **stated,
            **iters
        }) == dict(
            type='TotalBatchIterLoop', max_iters=18, val_interval=2000)
    assert loop_of(dict(type='MyLoop', **epochs))['type'] == 'MyLoop'
    assert loop_of(
        dict(by_epoch=False, max_iters=9),
        sampler='MultiSourceSampler')['by_epoch'] is False


def test_our_loops_refuse_another_sampler(tmp_path):
    cfg = config(tmp_path, False)
    cfg.train_cfg = dict(type='TotalBatchEpochLoop', max_epochs=1)
    with pytest.raises(ValueError, match='sampler is DefaultSampler'):
        Runner.from_cfg(cfg).train()
