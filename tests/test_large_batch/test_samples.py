"""Every count of samples is the micro-batch's."""
import pytest
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import ConcatDataset

from agvm_mm.large_batch import resolve
from tests.test_large_batch.test_iterations import config


def sources(samples=5, ratio=(1, 4), most=20, **more):
    cfg = config(total_batch_size=80, max_samples_per_gpu=most, **more)
    cfg.train_dataloader.update(
        batch_size=samples,
        sampler=dict(
            type='mmdet.MultiSourceSampler',
            batch_size=samples,
            source_ratio=list(ratio)))
    return cfg


@pytest.mark.parametrize(('samples', 'ratio'), [(5, (1, 4)), (10, (1, 4)),
                                                (5, (2, 7)), (4, (1, 1))])
@pytest.mark.parametrize('most', [5, 8, 20])
def test_each_micro_batch_has_the_parts_of_each_source(samples, ratio, most):
    pytest.importorskip('mmdet.datasets.samplers')

    def parts(sampler):
        settings = dict(
            sampler, dataset=ConcatDataset([list('ab'), list('c')]))
        return DATA_SAMPLERS.build(settings).num_per_source

    cfg = sources(samples, ratio, most)
    first, second = parts(cfg.train_dataloader.sampler)
    for world_size in (1, 4):
        loader = resolve(cfg, world_size).train_dataloader
        found = parts(loader.sampler)
        assert sum(found) == loader.sampler.batch_size == loader.batch_size
        assert found[0] * second == found[1] * first
        assert loader.batch_size <= most
    again = resolve(resolve(cfg, 4), 1)
    assert again.to_dict() == resolve(cfg, 1).to_dict()


@pytest.mark.parametrize(('cfg', 'message'), [
    (sources(most=4), 'multiple of 5, .*source_ratio'),
    (sources(samples=3, ratio=(4, 1)), r'batch_size=3 .* has \[3, 0\]'),
    (sources(samples=1), r'batch_size=1 .*a multiple of 5'),
])
def test_what_cannot_hold_each_source(cfg, message):
    with pytest.raises(ValueError, match=message):
        resolve(cfg, 1)


def test_a_batch_sampler_with_a_size_of_its_own():
    cfg = config()
    cfg.pop('max_samples_per_gpu')
    cfg.train_dataloader.batch_sampler = dict(type='Own', batch_size=8)
    loader = resolve(cfg, 4).train_dataloader
    assert loader.batch_sampler.batch_size == loader.batch_size == 8
    # mmdet's groups by shape, as our sampler does within an update.
    cfg.train_dataloader.batch_sampler.type = 'AspectRatioBatchSampler'
    for loader in (resolve(cfg, 4).train_dataloader,
                   resolve(resolve(cfg, 2), 4).train_dataloader):
        assert loader.batch_sampler is None
        assert loader.sampler.by_shape
        assert loader.sampler.samples_per_gpu == loader.batch_size == 8


@pytest.mark.parametrize(('change', 'message'), [
    (dict(
        batch_sampler=dict(
            type='MultiDataAspectRatioBatchSampler', batch_size=[1, 2])),
     'batches of several sizes'),
    (dict(batch_sampler=dict(type='Own', batch_size=[1, 2])),
     'batches of several sizes'),
    (dict(batch_size=[1, 2]), 'batches of several sizes'),
    (dict(batch_sampler='a built one'), 'batch_sampler=.* is built already'),
    (dict(sampler=DefaultSampler([1])), r'sampler=.* must be a dict'),
])
@pytest.mark.parametrize('most', [4, None])
def test_what_cannot_be_set(change, message, most):
    cfg = config()
    cfg.max_samples_per_gpu = most
    cfg.train_dataloader.update(change)
    with pytest.raises(ValueError, match=message):
        resolve(cfg, 4)


@DATA_SAMPLERS.register_module()
class OwnSampler(DefaultSampler):
    pass


def test_a_pass_over_the_data_ends_in_no_short_batch():
    """Of a sampler of the user's own, in a loop that counts iterations."""
    cfg = config()
    cfg.train_dataloader.sampler = dict(type='OwnSampler', batch_size=64)
    loader = resolve(cfg, 1).train_dataloader
    assert loader.drop_last
    assert loader.sampler.batch_size == loader.batch_size
    cfg.train_dataloader.batch_sampler = dict(type='AspectRatioBatchSampler')
    loader = resolve(cfg, 1).train_dataloader
    assert loader.batch_sampler.drop_last
    assert 'drop_last' not in loader


def test_no_optimizer_at_all():
    cfg = config()
    cfg.optim_wrapper = None
    with pytest.raises(ValueError, match='optim_wrapper=None beside'):
        resolve(cfg, 1)
