"""Digits: handwritten digits on photographs, labelled in three ways.

What scikit-learn's wheel ships becomes a data set: its 1,797 handwritten
digits (things) are pasted, at random sizes and colours, on crops of its two
photographs (stuff).  The same images carry COCO instances, COCO panoptic and
ADE20K-style semantic labels::

    ROOT/digits.json                            how it was made
    ROOT/{train,val}/000000.png                 images
    ROOT/annotations/instances_{train,val}.json boxes and RLE masks
    ROOT/annotations/panoptic_{train,val}.json  segments of the PNGs beside
    ROOT/panoptic_{train,val}/000000.png        segment ids, as COCO's RGB
    ROOT/semantic/{train,val}/000000.png        0: none; 1 to 12: CLASSES

A digit of a training image never appears in a validation image.
"""
from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Callable, Iterable, NamedTuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from sklearn.datasets import load_digits, load_sample_images

THINGS = tuple(str(digit) for digit in range(10))
STUFF = ('china', 'flower')
CLASSES = THINGS + STUFF

FORMAT = 1
MAX_DIGITS = 5
VAL_SHARE = 0.2


class _Instance(NamedTuple):
    digit: int  # its index in scikit-learn's data
    label: int
    mask: np.ndarray  # bool, of the image's size


class _Sample(NamedTuple):
    image: np.ndarray  # uint8, height x width x 3, BGR
    stuff: np.ndarray  # uint8, height x width: index into STUFF
    instances: list


def write_digits(root: str | Path,
                 *,
                 num_train: int = 1024,
                 num_val: int = 256,
                 size: int = 96,
                 seed: int = 0,
                 progress: Callable[[Iterable], Iterable] = iter) -> Path:
    """Write the data set, unless it is there already.

    The bytes depend on the arguments (and on opencv's PNG encoder) alone.

    Args:
        root (str or Path): The folder to write.
        num_train (int): Training images. Defaults to 1024.
        num_val (int): Validation images. Defaults to 256.
        size (int): Height and width of an image in pixels, at least 32.
            Defaults to 96.
        seed (int): Of the random choices, not negative. Defaults to 0.
        progress (Callable): Wraps the iteration over images, as
            ``rich.progress.track`` does. Defaults to ``iter``.

    Returns:
        Path: ``root``.

    Raises:
        ValueError: If an argument is out of its range, or if ``root`` holds
            something else; nothing is changed then.
    """
    for name, value, low in (('num_train', num_train,
                              1), ('num_val', num_val, 1), ('size', size, 32),
                             ('seed', seed, 0)):
        if not isinstance(value, int) or value < low:
            raise ValueError(
                f'{name}={value!r} is not allowed: it must be an int >= {low}')
    root = Path(root)
    made = dict(
        format=FORMAT,
        num_train=num_train,
        num_val=num_val,
        size=size,
        seed=seed)
    stamp = root / 'digits.json'
    if stamp.is_file():
        found = json.loads(stamp.read_text())
        if found == made:
            return root
        raise ValueError(f'{root} holds Digits made with {found}, not with '
                         f'{made}: name another folder, or delete this one')
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ValueError(f'{root} exists and holds no Digits: name a folder '
                         'that is empty or does not exist')

    # Renamed when it is whole: an interrupted run leaves no half data set.
    partial = root.with_name(root.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    _write(partial, num_train, num_val, size, seed, progress)
    (partial / stamp.name).write_text(json.dumps(made))
    if root.is_dir():
        root.rmdir()
    partial.rename(root)
    return root


def _write(root: Path, num_train: int, num_val: int, size: int, seed: int,
           progress: Callable[[Iterable], Iterable]) -> None:
    data = load_digits()
    photos = [image[..., ::-1] for image in load_sample_images().images]
    order = np.random.default_rng(seed).permutation(len(data.images))
    first_train = int(len(order) * VAL_SHARE)
    splits = dict(
        train=(num_train, order[first_train:]),
        val=(num_val, order[:first_train]))
    (root / 'annotations').mkdir(parents=True)
    writers = {}
    for split in splits:
        writers[split] = _Writer(root, split, size)
    jobs = [(split, index) for split, (count, _) in splits.items()
            for index in range(count)]
    for split, index in progress(jobs):
        # One generator an image: image 7 is the same in every larger set.
        rng = np.random.default_rng((seed, split == 'val', index))
        sample = _compose(rng, size, photos, data, splits[split][1])
        writers[split].add(index, sample)
    for writer in writers.values():
        writer.close()


def _compose(rng: np.random.Generator, size: int, photos: list, data,
             digits: np.ndarray) -> _Sample:
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
        instances.append(_Instance(int(digit), int(data.target[digit]), mask))
    return _Sample(image.round().astype(np.uint8), stuff, instances)


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


class _Writer:
    """Writes one split's images and labels."""

    def __init__(self, root: Path, split: str, size: int) -> None:
        self.root = root
        self.split = split
        self.size = size
        self.images: list = []
        self.instances: list = []
        self.panoptic: list = []
        self.image_dir = root / split
        self.panoptic_dir = root / f'panoptic_{split}'
        self.semantic_dir = root / 'semantic' / split
        for folder in (self.image_dir, self.panoptic_dir, self.semantic_dir):
            folder.mkdir(parents=True)

    def add(self, index: int, sample: _Sample) -> None:
        """Write one image and take up its labels."""
        name = f'{index:06d}.png'
        image_id = index + 1
        self.images.append(
            dict(
                id=image_id, file_name=name, height=self.size,
                width=self.size))
        semantic = sample.stuff + 1 + len(THINGS)
        segment_map = np.zeros((self.size, self.size), dtype=np.uint8)
        segments = []
        for instance in sample.instances:
            annotation = self._annotation(instance.label, instance.mask)
            rle = coco_mask.encode(np.asfortranarray(instance.mask, np.uint8))
            self.instances.append(
                dict(
                    annotation,
                    id=len(self.instances) + 1,
                    image_id=image_id,
                    digit=instance.digit,
                    segmentation=dict(
                        size=rle['size'], counts=rle['counts'].decode())))
            semantic[instance.mask] = instance.label + 1
            segments.append(dict(annotation, id=len(segments) + 1))
            segment_map[instance.mask] = len(segments)
        for label in range(len(STUFF)):
            mask = (sample.stuff == label) & (segment_map == 0)
            if mask.any():
                annotation = self._annotation(len(THINGS) + label, mask)
                segments.append(dict(annotation, id=len(segments) + 1))
                segment_map[mask] = len(segments)
        self.panoptic.append(
            dict(image_id=image_id, file_name=name, segments_info=segments))
        # COCO's segment id is R + 256 G + 256^2 B; here the red alone is used.
        rgb = np.stack([segment_map] + 2 * [np.zeros_like(segment_map)], -1)
        _write_png(self.image_dir / name, sample.image)
        _write_png(self.panoptic_dir / name, rgb[..., ::-1])
        _write_png(self.semantic_dir / name, semantic)

    def close(self) -> None:
        """Write the annotation files."""
        categories = [
            dict(
                id=label + 1,
                name=name,
                isthing=int(name in THINGS),
                supercategory='digit' if name in THINGS else 'photograph')
            for label, name in enumerate(CLASSES)
        ]
        folder = self.root / 'annotations'
        for kind, labels, known in (('instances', self.instances,
                                     categories[:len(THINGS)]),
                                    ('panoptic', self.panoptic, categories)):
            (folder / f'{kind}_{self.split}.json').write_text(
                json.dumps(
                    dict(
                        images=self.images,
                        annotations=labels,
                        categories=known)))

    @staticmethod
    def _annotation(label: int, mask: np.ndarray) -> dict:
        ys, xs = np.nonzero(mask)
        x, y = int(xs.min()), int(ys.min())
        box = [x, y, int(xs.max()) + 1 - x, int(ys.max()) + 1 - y]
        return dict(category_id=label + 1, bbox=box, area=len(ys), iscrowd=0)


def _write_png(path: Path, image: np.ndarray) -> None:
    if not cv2.imwrite(str(path), image):
        raise OSError(f'could not write {path}')
