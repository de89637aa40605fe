"""Tiny data of random pixels, as each library of OpenMMLab reads it."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

SIZE = 64
JOINTS = 17


def _write_image(path: Path, random: np.random.RandomState) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = random.randint(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    assert cv2.imwrite(str(path), pixels)


def write_classes(root: Path, each: int = 4) -> None:
    """Images in a folder a class, for mmpretrain."""
    random = np.random.RandomState(0)
    for label in ('cat', 'dog'):
        for i in range(each):
            _write_image(root / label / f'{i}.png', random)


def write_poses(root: Path, images: int = 8) -> None:
    """People with COCO's 17 key points, for mmpose."""
    random = np.random.RandomState(0)
    coco: dict = dict(
        images=[], annotations=[], categories=[dict(id=1, name='person')])
    for i in range(images):
        _write_image(root / f'{i}.jpg', random)
        points = random.randint(8, SIZE - 8, (JOINTS, 2))
        visible = np.full((JOINTS, 1), 2)
        coco['images'].append(
            dict(id=i, file_name=f'{i}.jpg', width=SIZE, height=SIZE))
        coco['annotations'].append(
            dict(
                id=i,
                image_id=i,
                category_id=1,
                iscrowd=0,
                bbox=[4, 4, SIZE - 8, SIZE - 8],
                area=(SIZE - 8)**2,
                num_keypoints=JOINTS,
                keypoints=np.hstack([points, visible]).ravel().tolist()))
    (root / 'poses.json').write_text(json.dumps(coco))


def write_videos(root: Path, videos: int = 8, frames: int = 6) -> None:
    """Videos as folders of frames, and their list, for mmaction2."""
    random = np.random.RandomState(0)
    lines = []
    for i in range(videos):
        for frame in range(frames):
            _write_image(root / f'{i}/img_{frame + 1:05}.jpg', random)
        lines.append(f'{i} {frames} {i % 2}')
    (root / 'videos.txt').write_text('\n'.join(lines))
