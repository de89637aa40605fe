"""The largest samples of a training set, as its pipeline makes them."""
from __future__ import annotations

import heapq
import itertools
from typing import Any, Iterator, NamedTuple

from mmengine.config import ConfigDict
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import Tensor

# Images of each kind that are looked at: the largest, the widest, the tallest,
# those with the most objects, and some from all over the data set.
IMAGES = 8
# Times that each is made: pipelines draw scales, crops and other images.
DRAWS = 4


class Size(NamedTuple):
    """How large a sample is.

    Attributes:
        elements (int): Of its inputs.
        objects (int): That are labelled in it.
        height (int): Of its tallest input; 0 if it has no image.
        width (int): Of its widest input; 0 if it has no image.
    """

    elements: int
    objects: int
    height: int
    width: int


# Of what is kept: a batch of one is the first; one of several begins with the
# next two, to whose sides the others are padded.
KINDS = (
    lambda size: (size.elements, size.objects),
    lambda size: (size.width, size.elements),
    lambda size: (size.height, size.elements),
    lambda size: (size.objects, size.elements),
)


class LargestSamples:
    """Makes batches of the largest samples that were found.

    Nothing is promised: some images are looked at, and some draws of the
    pipeline.

    Args:
        loader (ConfigDict): The ``train_dataloader`` of a config.

    Attributes:
        height (int): Pixels of the tallest; 0 if these are no images.
        width (int): Pixels of the widest.
    """

    def __init__(self, loader: ConfigDict) -> None:
        self._collate = {}
        if 'collate_fn' in loader:
            self._collate['collate_fn'] = loader['collate_fn']
        dataset: Any = loader.dataset
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        # In the run too it is in memory beside the model.
        self._dataset = dataset
        kept: dict[int, tuple[Size, Any]] = {}
        for index in promising(dataset):
            for _ in range(DRAWS):
                sample = dataset[index]
                size = size_of(sample)
                for kind, rank in enumerate(KINDS):
                    if kind not in kept or rank(size) > rank(kept[kind][0]):
                        kept[kind] = (size, sample)
        self._largest, *self._several = (sample for _, sample in kept.values())
        self.height = max(size.height for size, _ in kept.values())
        self.width = max(size.width for size, _ in kept.values())

    def batch(self, samples: int) -> Any:
        """A batch as the run's dataloader hands it out.

        Args:
            samples (int): Its size.
        """
        chosen = [self._largest]
        if samples > 1:
            chosen = list(
                itertools.islice(
                    itertools.cycle([*self._several, self._largest]),
                    samples))
        loader = Runner.build_dataloader(
            dict(
                dataset=chosen,
                batch_size=samples,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                **self._collate))
        return next(iter(loader))


def promising(dataset: Any) -> list[int]:
    """Images that may become large samples.

    Args:
        dataset (Any): Its ``get_data_info`` tells the ``width`` and
            ``height`` of an image, and its ``instances``. Of one that does
            not, images from all over it are taken.

    Returns:
        list[int]: Their indices, at least one.
    """
    count = len(dataset)
    chosen = list(range(0, count, max(1, count // IMAGES)))[:IMAGES]
    try:
        shapes = [_shape(dataset.get_data_info(i)) for i in range(count)]
    except (AttributeError, KeyError, TypeError):
        return chosen
    ranks = (
        lambda i: shapes[i][0] * shapes[i][1],
        lambda i: shapes[i][0] / shapes[i][1],
        lambda i: shapes[i][1] / shapes[i][0],
        lambda i: shapes[i][2],
    )
    for rank in ranks:
        chosen += heapq.nlargest(IMAGES, range(count), key=rank)
    return list(dict.fromkeys(chosen))


def size_of(sample: Any) -> Size:
    """How large a sample of a pipeline is.

    Args:
        sample (Any): As OpenMMLab's pipelines pack it, or any nest of
            tensors.
    """
    inputs: Any = sample
    objects = 0
    if isinstance(sample, dict) and 'inputs' in sample:
        inputs = sample['inputs']
        labels = getattr(sample.get('data_samples'), 'gt_instances', ())
        objects = len(labels)
    tensors = list(_tensors(inputs))
    images = [tensor for tensor in tensors if tensor.ndim >= 3]
    return Size(
        sum(tensor.numel() for tensor in tensors), objects,
        max((image.shape[-2] for image in images), default=0),
        max((image.shape[-1] for image in images), default=0))


def _shape(info: dict) -> tuple[int, int, int]:
    """Width, height and objects of an image."""
    # Tools for labels leave 0 where they do not know a size.
    return (info['width'] or 1, info['height']
            or 1, len(info.get('instances') or ()))


def _tensors(nest: Any) -> Iterator[Tensor]:
    if isinstance(nest, Tensor):
        yield nest
    elif isinstance(nest, dict):
        for part in nest.values():
            yield from _tensors(part)
    elif isinstance(nest, (list, tuple)):
        for part in nest:
            yield from _tensors(part)
