"""Keeps what does not change between epochs: outputs of frozen layers."""
from __future__ import annotations

import hashlib
from typing import Callable

import torch
from torch import Tensor


class Remembered:
    """A function of images that is computed once an image.

    An image is known by its pixels, so that one that is flipped is another.
    For data that fit into memory.

    Args:
        function (Callable): Maps N x C x H x W, each image by itself, to
            features of N x K x h x w in the layout of ``channels_last``. It
            has no gradient.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function
        self._kept: dict[bytes, Tensor] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """What the function makes of images.

        Args:
            images (Tensor): N x C x H x W.
        """
        keys = [
            hashlib.sha1(image.contiguous().cpu().numpy()).digest()
            for image in images
        ]
        new = [i for i, key in enumerate(keys) if key not in self._kept]
        if new:
            with torch.no_grad():
                made = self._function(images[new])
            for i, features in zip(new, made.permute(0, 2, 3, 1)):
                self._kept[keys[i]] = features.clone()
        kept = torch.stack([self._kept[key] for key in keys])
        return kept.permute(0, 3, 1, 2)

    def forget(self) -> None:
        """Compute anew: the function is another by now."""
        self._kept.clear()
