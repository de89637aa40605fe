import itertools
import math
import os
import platform
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

import agvm_mm.cpu  # noqa: F401
from agvm_mm import TotalBatchSampler
from agvm_mm.large_batch import resolve
from agvm_mm.large_batch.micro_batches import micro_batch_sizes
from agvm_mm.large_batch.plan import learning_rates, make_plan
from tests.distributed import run_ranks
from tests.toy import ToyDetector, before_each_step

IMAGES = 21  # no multiple of anything below


def micro_batches(world_size, samples, updates, **options):
    """For each update, the micro-batches of all ranks, in any order."""
    dealt = []
    for rank in range(world_size):
        sampler = TotalBatchSampler(
            range(IMAGES), 8, samples, seed=3, **options)
        # What get_dist_info would say in a process of such a group.
        sampler.rank, sampler.world_size = rank, world_size
        indices = iter(sampler)
        counts = 8 // world_size // samples
        dealt.append([[
            tuple(next(indices) for _ in range(samples)) for _ in range(counts)
        ] for _ in range(updates)])
        if not sampler.endless:
            assert next(indices, None) is None
            assert len(sampler) == updates * counts * samples
    return [
        sorted(itertools.chain.from_iterable(update)) for update in zip(*dealt)
    ]


@pytest.mark.parametrize('endless', [False, True])
@pytest.mark.parametrize('samples', [1, 2, 4])
def test_an_update_is_the_same_on_any_number_of_processes(samples, endless):
    updates = 7 if endless else math.ceil(IMAGES / 8)
    alone = micro_batches(1, samples, updates, endless=endless)
    for world_size in (2, 8 // samples):
        assert micro_batches(
            world_size, samples, updates, endless=endless) == alone


def test_an_epoch_is_every_image_once_and_fills_up_its_last_update():
    sampler = TotalBatchSampler(range(IMAGES), 8, 4, seed=3)
    epochs = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        order = list(sampler)
        assert len(order) == len(sampler) == 24
        assert sorted(order[:IMAGES]) == list(range(IMAGES))
        assert order[IMAGES:] == order[:24 - IMAGES]
        epochs.append(order)
    assert epochs[0] != epochs[1]
    # In the order of MMEngine's own sampler.
    theirs = DefaultSampler(range(IMAGES), seed=3)
    assert epochs[0][:IMAGES] == list(theirs)
    plain = TotalBatchSampler(range(5), 16, 4, shuffle=False)
    assert list(plain) == list(range(5)) * 3 + [0]


def updates_of(sampler, world_size, number):
    """For each update, what each rank has of it, by micro-batches."""
    ranks = []
    for rank in range(world_size):
        sampler.rank, sampler.world_size = rank, world_size
        counts = len(
            micro_batch_sizes(sampler.total_batch_size, world_size,
                              sampler.samples_per_gpu)) // world_size
        batches = sampler.micro_batches()
        ranks.append([
            list(itertools.islice(batches, counts)) for _ in range(number)
        ])
    return [list(update) for update in zip(*ranks)]


def images_of(updates):
    return [
        sorted(i for rank in update for batch in rank for i in batch)
        for update in updates
    ]


@pytest.mark.parametrize('endless', [False, True])
@pytest.mark.parametrize('total', [8, 50])  # 50: an update of several epochs
def test_it_starts_at_any_update(endless, total):
    number = 7 if endless else math.ceil(IMAGES / total)
    sampler = TotalBatchSampler(range(IMAGES), total, 2, endless, seed=3)
    whole = updates_of(sampler, 2, number)
    for start in range(number + (not endless)):
        sampler.start = start
        assert updates_of(sampler, 2, number - start) == whole[start:]
    if not endless:
        assert list(sampler) == []


@pytest.mark.parametrize('world_size', [1, 2, 3, 5, 7])
@pytest.mark.parametrize('by_shape', [False, True])
def test_ranks_that_do_not_divide_the_total_share_the_same_updates(
        world_size, by_shape):
    data = Shapes()
    sampler = TotalBatchSampler(data, 16, 3, seed=3, by_shape=by_shape)
    updates = updates_of(sampler, world_size, sampler.updates)
    plain = TotalBatchSampler(data, 16, 16, seed=3)
    assert images_of(updates) == images_of(updates_of(plain, 1, plain.updates))
    for update in updates:
        sizes = [len(batch) for rank in update for batch in rank]
        assert max(sizes) <= 3
        assert max(sizes) - min(sizes) <= 1
        assert len({len(rank) for rank in update}) == 1
        assert len({sum(map(len, rank)) for rank in update}) <= 2
    for rank in range(world_size):
        sampler.rank = rank
        assert len(sampler) == len(list(sampler))


class Shapes:
    """41 images, of which every third is wide."""

    def __len__(self):
        return 41

    def get_data_info(self, index):
        return dict(width=4, height=6 - index % 3)  # 6, 5, 4


def test_micro_batches_are_of_one_shape_but_for_one_in_an_update():
    data = Shapes()
    sampler = TotalBatchSampler(data, 16, 2, seed=3, by_shape=True)
    for update in updates_of(sampler, 4, sampler.updates):
        kinds = [{i % 3 == 2
                  for i in batch} for rank in update for batch in rank]
        assert sum(len(kind) == 2 for kind in kinds) <= 1
        assert {True} in kinds
        assert {False} in kinds


class MostlyTall(Shapes):
    """400 images, of which every fourth is wide."""

    def __len__(self):
        return 400

    def get_data_info(self, index):
        return dict(width=4, height=5 if index % 4 else 3)


def test_no_rank_has_the_images_of_one_shape():
    """Nor has one half of the replicas more of them than the other."""
    sampler = TotalBatchSampler(
        MostlyTall(), 16, 2, seed=3, by_shape=True, endless=True)
    for updates in zip(*updates_of(sampler, 8, 200)):  # Of one rank, each.
        images = [
            image for update in updates for batch in update for image in batch
        ]
        share = sum(image % 4 > 0 for image in images) / len(images)
        assert 0.65 < share < 0.85


@DATASETS.register_module()
class ToyData(torch.utils.data.Dataset):
    """As many samples as images; sample i is drawn from the seed i."""

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        draw = torch.randn(16, generator=generator, dtype=torch.float64)
        return dict(inputs=draw[:6], data_samples=draw[6:])


@MODELS.register_module()
class DoubleToyDetector(ToyDetector):

    def __init__(self):
        super().__init__()
        self.double()


class Recorder(Hook):
    """The learning rate of each update, and the loss of each iteration."""

    def before_train(self, runner):
        self.lrs, self.losses = [], []
        optimizer = runner.optim_wrapper.optimizer
        before_each_step(
            optimizer,
            lambda _: self.lrs.append(optimizer.param_groups[0]['lr']))

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.losses.append(outputs['loss'].item())


def toy_config(work_dir, by_iteration):
    """21 images at batch 8: 9 updates, of 3 epochs or by iteration."""
    cfg = dict(
        total_batch_size=8,
        work_dir=str(work_dir),
        model=dict(type='DoubleToyDetector'),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=dict(type='ToyData'),
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=True)),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(
            type='AGVMOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=0.01, momentum=0.9),
            agvm=dict(begin=3, interval=2)),
        param_scheduler=[
            dict(
                type='LinearLR',
                start_factor=0.1,
                by_epoch=False,
                begin=0,
                end=5),
            dict(type='MultiStepLR', by_epoch=True, milestones=[2]),
        ],
        default_hooks=dict(checkpoint=None),
        custom_hooks=[dict(type='TotalBatchSizeHook')],
        randomness=dict(seed=0))
    if by_iteration:
        cfg['train_dataloader']['sampler']['type'] = 'InfiniteSampler'
        cfg['train_cfg'] = dict(by_epoch=False, max_iters=9)
        # Its end is left to MMEngine, which would take it from max_iters.
        cfg['param_scheduler'][1] = dict(
            type='PolyLR', by_epoch=False, begin=5)
    # yapf would take a tenth of the time of these tests.
    return Config(cfg, format_python_code=False)


def train_toy(rank, work_dir, by_iteration, world_size, samples=2):
    """Train; return the recorder's lists, and the weights."""
    cfg = toy_config(work_dir, by_iteration)
    cfg.max_samples_per_gpu = samples
    if world_size > 1:
        os.environ['LOCAL_RANK'] = str(rank)
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg = dict(type='CPUDistributedDataParallel')
    cfg = resolve(cfg, world_size)
    cfg.experiment_name = f'{Path(work_dir).name}_{world_size}_{samples}'
    runner = Runner.from_cfg(cfg)
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    weights = [p.detach() for p in runner.model.parameters()]
    return recorder.lrs, recorder.losses, weights


@pytest.mark.parametrize(
    'by_iteration', [False, True], ids=['epochs', 'iters'])
def test_any_split_is_the_same_run(by_iteration, tmp_path):
    lrs, losses, weights = train_toy(0, tmp_path, by_iteration, 1)
    # 9 updates of four micro-batches; three an epoch, the third filled up.
    assert (len(lrs), len(losses)) == (9, 36)
    ranks = run_ranks(train_toy, 2, tmp_path, by_iteration, 2)
    theirs = [sum(pair) / 2 for pair in zip(*(rank[1] for rank in ranks))]

    def by_update(losses):
        count = len(losses) // 9
        return torch.tensor(losses).reshape(9, count).mean(1)

    assert len(theirs) == 18
    torch.testing.assert_close(
        by_update(losses), by_update(theirs), rtol=1e-6, atol=0)
    for rank in ranks:
        assert rank[0] == lrs
        for ours, other in zip(weights, rank[2]):
            torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-12)
    # And without accumulation, the learning rates of MMEngine itself.
    cfg = toy_config(tmp_path, by_iteration)
    cfg.optim_wrapper = dict(optimizer=cfg.optim_wrapper.optimizer)
    cfg.train_dataloader.batch_size = 8
    cfg.experiment_name = f'{tmp_path.name}_plain'
    runner = Runner.from_cfg(cfg)
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    assert recorder.lrs == lrs
    assert lrs == learning_rates(cfg, make_plan(cfg, 1))


def test_micro_batches_of_another_size_keep_the_updates(tmp_path):
    lrs, losses, _ = train_toy(0, tmp_path, False, 1, samples=4)
    assert (len(lrs), len(losses)) == (9, 18)
    assert lrs == train_toy(0, tmp_path, False, 1, samples=1)[0]


def samples_of_an_epoch(rank, work_dir):
    cfg = toy_config(work_dir, False)
    cfg.randomness = dict(seed=0, diff_rank_seed=True)
    os.environ['LOCAL_RANK'] = str(rank)
    cfg.launcher = 'pytorch'
    cfg.model_wrapper_cfg = dict(type='CPUDistributedDataParallel')
    runner = Runner.from_cfg(resolve(cfg, 2))
    return [int(i) for i in runner.train_loop.dataloader.sampler]


def test_ranks_of_other_seeds_deal_one_order(tmp_path):
    """MMEngine gives their samplers no seed then."""
    ranks = run_ranks(samples_of_an_epoch, 2, tmp_path)
    assert len(ranks[0]) == len(ranks[1]) == 12
    assert {*ranks[0], *ranks[1]} == set(range(IMAGES))


def test_a_dataset_without_images_is_refused():
    with pytest.raises(
            ValueError,
            match=r'train_dataloader\.dataset=list holds no image: its '
            'ann_file'):
        TotalBatchSampler([], 8, 2)


def unlike(rank):
    with pytest.raises(ValueError, match='differs between') as refused:
        TotalBatchSampler(range(24 - rank), 8, 2, seed=3)
    return str(refused.value)


def test_machines_of_other_data_are_refused_on_all_of_them():
    host = platform.node()
    for message in run_ranks(unlike, 2):
        assert message.startswith(
            'len(train_dataloader.dataset) differs between the processes: '
            f'24 on {host}; 23 on {host}. Start all')
