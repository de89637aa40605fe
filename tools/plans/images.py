"""How large the training images of a config get."""
from __future__ import annotations

from typing import Any, Iterable, NamedTuple, Sequence

from mmengine.config import Config

from agvm_mm.large_batch.settings import type_name


class Size(NamedTuple):
    """Pixels."""

    height: int
    width: int

    @property
    def area(self) -> int:
        """Pixels of the whole image."""
        return self.height * self.width


def largest_image(cfg: Config) -> Size | None:
    """The size of the largest training image, lying.

    Args:
        cfg (Config): Its ``model.data_preprocessor`` may state a size.
            Otherwise the pipeline of its training data does.

    Returns:
        Size or None: None if neither states it in a way that is known here.
    """
    preprocessor = cfg.model.get('data_preprocessor') or {}
    size = _preprocessed(preprocessor)
    if size is None:
        size = _after(
            _pipeline(cfg.train_dataloader.dataset), None,
            cfg.get('default_scope'))
    return size and _padded(size, preprocessor.get('pad_size_divisor'))


def _preprocessed(preprocessor: dict) -> Size | None:
    """What every batch is padded or resized to."""
    sizes = [preprocessor.get('size')]
    for augment in preprocessor.get('batch_augments') or []:
        if type_name(augment) == 'BatchFixedSizePad':
            sizes.append(augment.get('size'))
        elif type_name(augment) == 'BatchSyncRandomResize':
            sizes.append([max(augment['random_size_range'])] * 2)
    for size in sizes:
        if isinstance(size, (list, tuple)):
            return Size(*size)
    return None


def _pipeline(dataset: Any) -> Sequence[dict]:
    """Of the outermost dataset that has one."""
    while isinstance(dataset, dict):
        if dataset.get('pipeline'):
            return dataset['pipeline']
        inner = dataset.get('dataset') or dataset.get('datasets') or [None]
        dataset = inner[0] if isinstance(inner, (list, tuple)) else inner
    return []


def _after(transforms: Iterable[dict], size: Size | None,
           scope: str | None) -> Size | None:
    """What a pipeline makes of a size; None if it cannot be told."""
    for transform in transforms:
        if not isinstance(transform, dict):
            continue
        kind = type_name(transform)
        if kind in ('Resize', 'RandomResize', 'RandomChoiceResize'):
            size = _resized(transform)
        elif kind == 'RandomCrop':
            size = _cropped(transform, size, scope)
        elif kind == 'Pad' and transform.get('size') is not None:
            size = _lying(transform['size'])
        elif kind == 'Pad':
            size = size and _padded(size, transform.get('size_divisor'))
        elif kind == 'RandomChoice':
            ends = [
                _after(branch, size, scope)
                for branch in transform.get('transforms', [])
            ]
            size = _largest(ends)
        elif kind.endswith(('Mosaic', 'MixUp', 'RandomAffine', 'Expand')):
            size = None
    return size


def _padded(size: Size, divisor: int | None) -> Size:
    divisor = divisor or 1
    return Size(*(-(-side // divisor) * divisor for side in size))


def _resized(transform: dict) -> Size | None:
    scales = transform.get('scales') or transform.get('scale')
    if not scales:
        return None
    if not isinstance(scales, (list, tuple)) or isinstance(scales[0], int):
        scales = [scales]
    most = max(transform.get('ratio_range') or [1])
    sizes = [_lying(scale) for scale in scales]
    largest = _largest(sizes)
    if largest is None:
        return None
    return Size(*(int(side * most) for side in largest))


def _cropped(transform: dict, size: Size | None,
             scope: str | None) -> Size | None:
    crop = transform.get('crop_size')
    if 'relative' in transform.get('crop_type', 'absolute'):
        return size
    if isinstance(crop, int):
        crop = (crop, crop)
    # mmseg states the height first, the others the width.
    of_mmseg = _package(transform['type'], scope) == 'mmseg'
    height, width = crop if of_mmseg else crop[::-1]
    if size is None:
        return Size(height, width)
    return Size(min(height, size.height), min(width, size.width))


def _package(kind: Any, scope: str | None) -> str:
    """Whose a type is: a class's, that of its whole name, or the scope's."""
    if isinstance(kind, str):
        name = kind if '.' in kind else scope or ''
    else:
        name = kind.__module__
    return name.partition('.')[0]


def _lying(scale: Any) -> Size | None:
    """A scale of MMCV's, whose order says nothing where a ratio is kept."""
    if isinstance(scale, int):
        return Size(scale, scale)
    if isinstance(scale, (list, tuple)) and all(
            isinstance(side, int) for side in scale):
        return Size(min(scale), max(scale))
    return None


def _largest(sizes: Sequence[Size | None]) -> Size | None:
    known = [size for size in sizes if size is not None]
    if not known or len(known) < len(sizes):
        return None
    return max(known, key=lambda size: size.area)
