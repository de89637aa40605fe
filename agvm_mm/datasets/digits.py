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

and, if asked for, the same for a split ``test``. No digit appears in the
images of two splits.
"""
from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Callable, Iterable

import numpy as np

from .compose import compose
from .labels import SplitWriter

FORMAT = 2
SPLITS = ('train', 'val', 'test')
LOWEST = dict(num_train=1, num_val=1, num_test=0, size=32, seed=0)
HELD_OUT = 0.2  # of the digits, for each split but train


def write_digits(root: str | Path,
                 *,
                 num_train: int = 1024,
                 num_val: int = 256,
                 num_test: int = 0,
                 size: int = 96,
                 seed: int = 0,
                 progress: Callable[[Iterable], Iterable] = iter) -> Path:
    """Write the data set, unless it is there already.

    The bytes depend on the arguments (and on opencv's PNG encoder) alone.

    Args:
        root (str or Path): The folder to write.
        num_train (int): Training images. Defaults to 1024.
        num_val (int): Validation images. Defaults to 256.
        num_test (int): Test images. Without any, their digits are in the
            training images too. Defaults to 0.
        size (int): Height and width of an image in pixels, at least 32.
            Defaults to 96.
        seed (int): Of the random choices, not negative. Defaults to 0.
        progress (Callable): Wraps the iteration over images, as
            ``rich.progress.track`` does. Defaults to ``iter``.

    Returns:
        Path: ``root``.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If an argument is out of its range, or if ``root`` holds
            something else; nothing is changed then.
    """
    settings = dict(
        num_train=num_train,
        num_val=num_val,
        num_test=num_test,
        size=size,
        seed=seed)
    for name, value in settings.items():
        low = LOWEST[name]
        if not isinstance(value, int) or value < low:
            raise ValueError(
                f'{name}={value!r} is not allowed: it must be an int >= {low}')
    root = Path(root)
    made = dict(format=FORMAT, **settings)
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
    place = root.resolve()  # as a link may lead to an empty folder
    partial = place.with_name(place.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    counts = dict(train=num_train, val=num_val, test=num_test)
    _write(partial, counts, size, seed, progress)
    (partial / stamp.name).write_text(json.dumps(made))
    if place.is_dir():
        place.rmdir()
    partial.rename(place)
    return root


def _write(root: Path, counts: dict[str, int], size: int, seed: int,
           progress: Callable[[Iterable], Iterable]) -> None:
    try:
        from sklearn.datasets import load_digits, load_sample_images
    except ImportError as error:
        raise ImportError(
            'Digits is made of the images in scikit-learn, which is not '
            'installed: pip install scikit-learn') from error
    data = load_digits()
    photos = [image[..., ::-1] for image in load_sample_images().images]
    order = np.random.default_rng(seed).permutation(len(data.images))
    held_out = int(len(order) * HELD_OUT)
    digits = {}
    for split in ('val', 'test'):
        if counts[split]:
            digits[split], order = order[:held_out], order[held_out:]
    digits['train'] = order
    (root / 'annotations').mkdir(parents=True)
    writers = {}
    for split in digits:
        writers[split] = SplitWriter(root, split, size)
    jobs = [(split, index) for split in digits
            for index in range(counts[split])]
    for split, index in progress(jobs):
        # One generator an image: image 7 is the same in every larger set.
        rng = np.random.default_rng((seed, SPLITS.index(split), index))
        sample = compose(rng, size, photos, data, digits[split])
        writers[split].add(index, sample)
    for writer in writers.values():
        writer.close()
