import pickle
import random
import time

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from torch.utils.data import DataLoader

from agvm_mm import TotalBatchSampler
from agvm_mm.recovery.randomness import SeededFetch, SeededIndex, seed_all


def drawn():
    return [
        random.random(),
        float(np.random.rand()),
        float(torch.rand(())),
        float(torch.rand(()))
    ]


class RandomData:
    """Each sample draws from all generators."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return [float(index), *drawn()]


def test_a_key_gives_the_same_numbers_and_another_key_others():
    keys = [(3, 0, 1, 2), (3, 0, 2, 1), (3, 1, 1, 2), (4, 0, 1, 2)]
    numbers = []
    for key in keys + keys:
        seed_all(*key)
        numbers.append(drawn())
    assert numbers[:4] == numbers[4:]
    assert len({n for row in numbers[:4] for n in row}) == 16


def test_seeding_takes_microseconds():
    seed_all(0)
    start = time.process_time()
    for i in range(1000):
        seed_all(7, 0, 3, i)
    assert (time.process_time() - start) / 1000 < 1e-3


def test_indices_reach_a_worker_with_their_keys():
    index = pickle.loads(pickle.dumps(SeededIndex(5, (1, 2))))
    assert (index, index.key) == (5, (1, 2))
    assert [10, 11, 12, 13, 14, 15][index] == 15


def test_plain_indices_seed_nothing():
    seed_all(1)
    first = SeededFetch(RandomData())([4])
    seed_all(1)
    assert first == [RandomData()[4]]


def load(seed=3, start=0, rank=0, world_size=1, **loader):
    """The samples of an epoch, by their places in it."""
    data = RandomData()
    sampler = TotalBatchSampler(data, 4, 2, seed=seed, seeded=True)
    sampler.rank, sampler.world_size = rank, world_size
    sampler.start = start
    loader = DataLoader(
        data, batch_size=2, sampler=sampler, collate_fn=list, **loader)
    return [[tuple(sample) for batch in loader for sample in batch]
            for _ in range(2)]


def test_samples_do_not_depend_on_workers_ranks_or_the_start():
    whole, again = load()
    assert whole == again  # of the same epoch
    assert len(set(whole)) == 8  # an image that comes twice is drawn anew
    assert load(seed=4)[0] != whole
    assert load(start=1)[0] == whole[4:]
    ranks = [load(rank=rank, world_size=2)[0] for rank in range(2)]
    assert ranks[0][:2] + ranks[1][:2] == whole[:4]


@pytest.mark.parametrize(('method', 'persistent'), [('fork', False),
                                                    ('spawn', True)])
def test_workers_draw_the_same(method, persistent):
    assert load(
        num_workers=1,
        persistent_workers=persistent,
        multiprocessing_context=method) == load()


def test_a_sampler_that_is_not_seeded_leaves_the_dataset_alone():
    data = RandomData()
    TotalBatchSampler(data, 4, 2)
    assert not hasattr(data, '__getitems__')


class Listed(BaseDataset):
    """Six samples, each with what its pipeline draws."""

    def load_data_list(self):
        return [dict(number=i) for i in range(6)]


class Mixed:
    """As a mosaic, which chooses the images that it adds."""

    def get_indexes(self, dataset):
        return [random.randrange(len(dataset))]

    def __call__(self, results):
        return (results['number'], results['mix_results'][0], drawn())


def wrapped(kind):
    data = Listed(pipeline=[lambda results: dict(results, drawn=drawn())])
    if kind == 'mix':
        datasets = pytest.importorskip('mmdet.datasets')
        mixed = datasets.MultiImageMixDataset(data, [])
        mixed.pipeline, mixed.pipeline_types = [Mixed()], ['Mixed']
        return mixed
    if kind == 'repeat':
        return RepeatDataset(data, 2)
    return ConcatDataset([data, Listed(pipeline=data.pipeline.transforms)])


@pytest.mark.parametrize('kind', ['mix', 'repeat', 'concat'])
def test_a_dataset_that_wraps_others_is_seeded_whole(kind):
    data = wrapped(kind)
    sampler = TotalBatchSampler(data, 4, 2, seed=3, seeded=True)
    loader = DataLoader(data, 2, sampler=sampler, collate_fn=list)
    first = list(loader)
    seed_all(8)
    assert list(loader) == first
    sampler.set_epoch(1)
    assert list(loader) != first
    sampler.set_epoch(0)
    sampler.start = 1
    assert list(loader) == first[2:]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_the_generators_of_gpus_are_seeded():
    torch.zeros(1, device='cuda')
    seed_all(1, 2)
    first = torch.rand(3, device='cuda')
    seed_all(1, 2)
    assert torch.equal(torch.rand(3, device='cuda'), first)
