"""Processes that do not divide the total batch train as one process does."""
import itertools
import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from torch import nn

from agvm_mm import TotalBatchSampler
from agvm_mm.large_batch import (
    LossWeightHook,
    MicroBatchSampler,
    resolve,
    split_batch,
)
from agvm_mm.large_batch.micro_batches import (
    described,
    loss_weights,
    micro_batch_sizes,
)
from agvm_mm.large_batch.plan import make_plan
from tests.distributed import run_ranks
from tests.test_large_batch.test_iterations import config
from tests.test_large_batch.test_sampler import Recorder, toy_config
from tests.toy import before_each_step, weights

TOTAL = 16


@pytest.mark.parametrize(('total', 'processes', 'most', 'expected'), [
    (512, 3, 16, (16, 11)),
    (512, 3, 256, (171, 1)),
    (16, 5, 16, (4, 1)),
    (16, 3, 3, (3, 2)),
    (1536, 7, 16, (16, 14)),
    (3, 2, 8, (2, 1)),
    (7, 3, 2, (2, 2)),
])
def test_split(total, processes, most, expected):
    samples, counts = expected
    assert split_batch(total, processes, most) == expected
    sizes = micro_batch_sizes(total, processes, samples)
    assert len(sizes) == processes * counts
    assert max(sizes) == samples
    assert min(sizes) > 0


def test_weights_are_shares_and_1_where_equal():
    assert loss_weights([16] * 7) == [1.0] * 7
    assert loss_weights([6, 5, 5]) == pytest.approx([9 / 8, 15 / 16, 15 / 16])


@pytest.mark.parametrize(('arguments', 'words'), [
    ((512, 4, 16), '4 processes x 16 samples x 8 micro-batches'),
    ((4, 1, 4), '1 process x 4 samples x 1 micro-batch'),
    ((512, 3, 16), '2 processes x 171 samples + 1 process x 170 samples, in '
     '11 micro-batches of 15 or 16'),
    ((16, 3, 6), '1 process x 6 samples + 2 processes x 5 samples'),
])
def test_words(arguments, words):
    assert described(*arguments) == words


@pytest.mark.parametrize(('change', 'world_size', 'message'), [
    ({}, 65, r'leaves some of 65 processes without .* 65 or more; or train '
     'on 64 processes or fewer'),
    (dict(max_samples_per_gpu=1), 3, r'max_samples_per_gpu to 2 or more; or '
     'the nearest possible total_batch_size is 63 or 66'),
    (dict(num_batch_per_epoch=2), 3, r'num_batch_per_epoch=2 counts'),
    (dict(sampler=dict(type='Own')), 3, r'does not split evenly over 3 proc'
     r"esses, as train_dataloader\.sampler\.type='Own' needs. The nearest "
     'possible total_batch_size is 63 or 66; or train on 2 or 4 processes'),
    (dict(batch_sampler=dict(type='Own')), 3,
     r"as train_dataloader\.batch_sampler\.type='Own' needs"),
])
def test_what_cannot_be_dealt(change, world_size, message):
    cfg = config(total_batch_size=64)
    for key, value in change.items():
        owner = cfg if key in cfg else cfg.train_dataloader
        owner[key] = value
    with pytest.raises(ValueError, match=message):
        resolve(cfg, world_size)


@pytest.mark.parametrize('by_shape', [False, True])
def test_a_config_is_resolved_again(by_shape):
    cfg = config(total_batch_size=64)
    cfg.train_dataloader.drop_last = True
    if by_shape:
        cfg.train_dataloader.batch_sampler = dict(
            type='AspectRatioBatchSampler')
    uneven = resolve(cfg, 3)
    loader = uneven.train_dataloader
    assert loader.batch_sampler.type == 'MicroBatchSampler'
    assert loader.sampler.get('by_shape', False) is by_shape
    assert 'drop_last' not in loader
    assert [h.type for h in uneven.custom_hooks].count('LossWeightHook') == 1
    for again in (resolve(uneven, 3), resolve(resolve(cfg, 2), 3)):
        again.train_dataloader.pop('drop_last', None)
        assert again.to_dict() == uneven.to_dict()
    even = resolve(uneven, 2)
    expected = resolve(cfg, 2)
    for one in (even, expected):
        for key in ('drop_last', 'batch_sampler'):
            assert not isinstance(one.train_dataloader.pop(key, None), dict)
    assert even.to_dict() == expected.to_dict()
    plan = make_plan(uneven, 3)
    assert plan.total_batch_size == 64
    assert plan.images_seen == plan.updates * 64
    assert plan.num_replicas == 3 * plan.accumulative_counts


@pytest.mark.parametrize('endless', [False, True])
def test_the_dataloader_gets_the_micro_batches(endless):
    for rank in range(3):
        sampler = TotalBatchSampler(range(41), 16, 3, endless, seed=3)
        sampler.rank, sampler.world_size = rank, 3
        batches = DATA_SAMPLERS.build(
            dict(type='MicroBatchSampler'),
            default_args=dict(sampler=sampler, batch_size=3))
        loader = torch.utils.data.DataLoader(
            torch.arange(41), batch_sampler=batches)
        assert len(loader) == len(batches) == 3 * 2
        dealt = [batch.tolist() for batch in itertools.islice(loader, 6)]
        assert dealt == list(itertools.islice(sampler.micro_batches(), 6))
        sizes = micro_batch_sizes(16, 3, 3)[rank::3]
        assert batches.weights == [6 * size / 16 for size in sizes]


class Two(nn.Module):

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(1, 1), nn.Linear(1, 1)


def test_every_child_of_several_wrappers_weighs_and_once():
    model = Two()
    wrapper = OptimWrapperDict(
        **{
            name: OptimWrapper(
                torch.optim.SGD(part.parameters(), lr=1),
                accumulative_counts=2)
            for name, part in model.named_children()
        })
    sampler = TotalBatchSampler(range(16), 16, 3)
    sampler.world_size = 3
    runner = SimpleNamespace(
        optim_wrapper=wrapper,
        train_dataloader=SimpleNamespace(
            batch_sampler=MicroBatchSampler(sampler, 3)),
        iter=2)
    hook = LossWeightHook()
    for _ in range(2):  # a runner may train again
        hook.before_train(runner)
    for runner.iter, weight in ((2, 6 * 3 / 16), (3, 6 * 3 / 16)):
        hook.before_train_iter(runner, 0)
        for name, part in model.named_children():
            part.zero_grad()
            wrapper[name].update_params(part(torch.ones(1, 1)).sum() * 2)
            if runner.iter == 2:
                assert part.weight.grad.item() == weight


class ImageRecorder(Recorder):
    """Also each update's gradient, and each iteration's images."""

    def before_train(self, runner):
        super().before_train(runner)
        self.gradients, self.images = [], []
        parameters = list(runner.model.parameters())
        before_each_step(
            runner.optim_wrapper.optimizer, lambda _: self.gradients.append(
                torch.cat([p.grad.flatten() for p in parameters])))

    def before_train_iter(self, runner, batch_idx, data_batch):
        # Its first number tells an image of the toy's data from another.
        self.images.append(data_batch['inputs'][:, 0].tolist())


def train_uneven(rank, work_dir, world_size, samples, by_iteration):
    """Rates, first gradient, weights, images and warnings of a run."""
    cfg = toy_config(work_dir, by_iteration)
    cfg.runner_type = 'TotalBatchRunner'
    cfg.total_batch_size = TOTAL
    cfg.max_samples_per_gpu = samples
    # AGVM's factors depend on the replicas, of which there are others here.
    cfg.optim_wrapper = dict(optimizer=cfg.optim_wrapper.optimizer)
    if world_size > 1:
        os.environ['LOCAL_RANK'] = str(rank)
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg = dict(type='CPUDistributedDataParallel')
    cfg = resolve(cfg, world_size)
    cfg.experiment_name = f'{Path(work_dir).name}_{world_size}_{samples}'
    runner = Runner.from_cfg(cfg)
    recorder = ImageRecorder()
    runner.register_hook(recorder)
    handler, warned = logging.Handler(logging.WARNING), []
    handler.emit = lambda record: warned.append(record.getMessage())
    runner.logger.addHandler(handler)
    runner.train()
    return (recorder.lrs, recorder.gradients[0], weights(runner.model),
            recorder.images, warned)


@pytest.mark.parametrize(('world_size', 'samples', 'by_iteration'), [
    (3, 3, False),
    (3, 3, True),
    (5, 16, False),
])
def test_training_is_that_of_one_process(world_size, samples, by_iteration,
                                         tmp_path):
    lrs, gradient, expected, images, _ = train_uneven(0, tmp_path, 1, TOTAL,
                                                      by_iteration)
    ranks = run_ranks(train_uneven, world_size, tmp_path, world_size, samples,
                      by_iteration)
    counts = split_batch(TOTAL, world_size, samples)[1]
    for rank in ranks:
        assert rank[0] == lrs
        error = (rank[1] - gradient).norm() / gradient.norm()
        assert error < 1e-15
        torch.testing.assert_close(rank[2], expected, rtol=1e-11, atol=1e-14)
        assert len(rank[3]) == counts * len(images)
        assert not [told for told in rank[4] if 'total_batch_size' in told]
    for update, alone in enumerate(images):
        own = slice(update * counts, (update + 1) * counts)
        theirs = [batch for rank in ranks for batch in rank[3][own]]
        assert sorted(itertools.chain(*theirs)) == sorted(alone)
