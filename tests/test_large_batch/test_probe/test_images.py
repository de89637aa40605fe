"""The samples that are tried are the largest that were found."""
import random
from types import SimpleNamespace

import torch
from mmengine.config import ConfigDict

from agvm_mm.large_batch.probe.images import (
    DRAWS,
    LargestSamples,
    promising,
    size_of,
)

EXTREMES = {100: (200, 90), 200: (230, 20), 300: (21, 240), 400: (50, 50)}


class Images:
    """As mmdet's: 500 of about 60 x 40, of which a few are extreme."""

    def __init__(self, tells=True):
        self.made = []
        if tells:
            self.get_data_info = lambda index: dict(
                zip(('width', 'height'), self.shape(index)),
                instances=[{}] * (30 if index == 400 else index % 3))

    def __len__(self):
        return 500

    def shape(self, index):
        return EXTREMES.get(index, (60 + index % 3, 40))

    def __getitem__(self, index):
        self.made.append(index)
        width, height = self.shape(index)
        scale = random.choice([0.5, 1])
        objects = 30 if index == 400 else 1
        return dict(
            inputs=torch.zeros(3, int(height * scale), int(width * scale)),
            data_samples=SimpleNamespace(gt_instances=range(objects)))


def largest(dataset):
    random.seed(0)
    return LargestSamples(
        ConfigDict(
            dataset=dataset, collate_fn=dict(type='pseudo_collate')))


def test_the_extremes_are_found_among_all_images():
    dataset = Images()
    found = largest(dataset)
    assert (found.height, found.width) == (240, 230)
    assert set(EXTREMES) <= set(dataset.made)
    assert len(dataset.made) == DRAWS * len(set(dataset.made)) < 200

    def shapes(samples):
        return [tuple(image.shape[1:])
                for image in found.batch(samples)['inputs']]

    assert shapes(1) == [(90, 200)]
    assert shapes(2) == [(20, 230), (240, 21)]
    assert shapes(6) == [(20, 230), (240, 21), (50, 50), (90, 200), (20, 230),
                         (240, 21)]


def test_a_dataset_that_tells_no_sizes_is_looked_at_all_over():
    dataset = Images(tells=False)
    assert promising(dataset) == list(range(0, 496, 62))
    assert largest(dataset).height == 40
    assert promising(range(3)) == [0, 1, 2]


def test_inputs_that_are_no_images():
    assert size_of(dict(inputs=torch.zeros(6), data_samples=None)) == (6, 0, 0,
                                                                       0)
    assert size_of([torch.zeros(2, 3), torch.zeros(3, 4, 5)]) == (66, 0, 4, 5)
    assert size_of(dict(inputs=dict(a=torch.zeros(3, 2, 9)))) == (54, 0, 2, 9)


def test_sizes_that_nobody_knows():
    """Tools for labels write 0, or nothing, in their place."""
    infos = [dict(width=0, height=0), dict(width=None, height=5), {}]
    infos[2].update(width=4, height=0)

    class Unknown(list):
        """Three images."""

        get_data_info = infos.__getitem__

    assert sorted(promising(Unknown(infos))) == [0, 1, 2]
