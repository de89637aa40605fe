"""Writes images of Digits with their three kinds of labels."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from .compose import CLASSES, STUFF, THINGS, Sample


class SplitWriter:
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

    def add(self, index: int, sample: Sample) -> None:
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
        raise OSError(f'could not write {path}: the disk may be full, or the '
                      'folder not yours to write in')
