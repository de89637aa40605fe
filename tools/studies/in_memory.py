"""Keeps what does not change between epochs: decoded, resized images."""
from __future__ import annotations

import copy
from typing import Sequence

from mmcv.transforms import BaseTransform, Compose
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class InMemory(BaseTransform):
    """Transforms that are done once an image; put random ones behind it.

    For data that fit into memory, and processes that live as long as the
    training: a loader without workers, or with persistent ones.

    Args:
        transforms (Sequence[dict]): Settings of transforms.
    """

    def __init__(self, transforms: Sequence[dict]) -> None:
        self._transforms = Compose(transforms)
        self._kept: dict[str, dict] = {}

    def transform(self, results: dict) -> dict:
        """What the transforms made of an image, as new.

        Args:
            results (dict): Of a dataset; ``img_path`` names the image.
        """
        path = results['img_path']
        if path not in self._kept:
            self._kept[path] = self._transforms(results)
        return copy.deepcopy(self._kept[path])
