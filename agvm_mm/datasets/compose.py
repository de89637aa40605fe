"""One image of Digits: two photographs that meet at a line, and digits."""
from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

THINGS = tuple(str(digit) for digit in range(10))
STUFF = ('china', 'flower')
CLASSES = THINGS + STUFF

MAX_DIGITS = 5


class Instance(NamedTuple):
    """One pasted digit."""
    digit: int  # its index in scikit-learn's data
    label: int
    mask: np.ndarray  # bool, of the image's size


class Sample(NamedTuple):
    """One image and what it shows."""
    image: np.ndarray  # uint8, height x width x 3, BGR
    stuff: np.ndarray  # uint8, height x width: index into STUFF
    instances: list


def compose(rng: np.random.Generator, size: int, photos: list, data,
            digits: np.ndarray) -> Sample:
    """One image: two photographs that meet at a line, and some digits."""
    crops = [_crop(rng, photo, size) for photo in photos]
    ys, xs = np.mgrid[:size, :size] / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    offset = rng.uniform(-0.4, 0.4)
    stuff = (np.cos(angle) * xs + np.sin(angle) * ys > offset).astype(np.uint8)
    image = np.where(stuff[..., None] == 0, crops[0],
                     crops[1]).astype(np.float32)

    instances = []
    taken = np.zeros((size, size), dtype=bool)
    for digit in rng.choice(digits, rng.integers(1, MAX_DIGITS + 1), False):
        side = int(rng.integers(size // 6, size * 2 // 5 + 1))
        y, x = rng.integers(0, size - side + 1, 2)
        place = np.s_[y:y + side, x:x + side]
        alpha = cv2.resize(
            data.images[digit].astype(np.float32) / 16, (side, side),
            interpolation=cv2.INTER_CUBIC).clip(0, 1)
        colour = _contrasting(rng, image[place])
        if taken[place].any():
            continue  # no overlap: every mask is whole
        image[place] += alpha[..., None] * (colour - image[place])
        taken[place] = True
        mask = np.zeros((size, size), dtype=bool)
        mask[place] = alpha > 0.4
        instances.append(Instance(int(digit), int(data.target[digit]), mask))
    return Sample(image.round().astype(np.uint8), stuff, instances)


def _crop(rng: np.random.Generator, photo: np.ndarray,
          size: int) -> np.ndarray:
    height, width = photo.shape[:2]
    side = int(rng.integers(min(size, height), height + 1))
    y = rng.integers(0, height - side + 1)
    x = rng.integers(0, width - side + 1)
    return cv2.resize(
        np.ascontiguousarray(photo[y:y + side, x:x + side]), (size, size),
        interpolation=cv2.INTER_AREA)


def _contrasting(rng: np.random.Generator, patch: np.ndarray) -> np.ndarray:
    """A random colour that is bright on a dark patch, and dark on a bright."""
    low, high = (160, 256) if patch.mean() < 128 else (0, 96)
    return rng.integers(low, high, 3).astype(np.float32)
