"""A hook that writes down which images each update was made of."""
from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from agvm_mm.large_batch.hooks import micro_batches


@HOOKS.register_module()
class RecordingHook(Hook):
    """One line a micro-batch: its update, its position, its images' bytes.

    Then how many ranks there are, and the update's learning rate.
    """

    def __init__(self, alone=0):
        # Seconds that a micro-batch of a single rank takes at least, so that
        # others have the time to join.
        self.alone = alone

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if get_world_size() == 1:
            time.sleep(self.alone)
        counts = micro_batches(runner.optim_wrapper)
        update, done = divmod(runner.iter, counts)
        images = [
            hashlib.sha256(image.numpy().tobytes()).hexdigest()
            for image in data_batch['inputs']
        ]
        lr = runner.optim_wrapper.optimizer.param_groups[0]['lr']
        line = [
            update, done * get_world_size() + get_rank(), images,
            get_world_size(), lr
        ]
        path = Path(runner.work_dir) / f'images_{get_rank()}.jsonl'
        with open(path, 'a') as file:
            file.write(json.dumps(line) + '\n')


def lines(work_dir, rank='*'):
    """What ranks have written, in the order of each."""
    return [
        json.loads(line)
        for path in Path(work_dir).glob(f'images_{rank}.jsonl')
        # The last one may be cut off.
        for line in path.read_text().splitlines() if line.endswith(']')
    ]


def recorded(work_dir):
    """The images of each update, in the order of their positions.

    An update that was done again must have had the same ones, on however many
    ranks, unless it was cut off.
    """
    found = {}
    for update, position, images, world, _ in lines(work_dir):
        dealt = found.setdefault((update, world), {})
        assert dealt.setdefault(position, images) == images
    updates = {}
    for (update, _), dealt in sorted(found.items()):
        images = [image for p in sorted(dealt) for image in dealt[p]]
        updates.setdefault(update, []).append(images)
    whole = {}
    for update, versions in updates.items():
        whole[update] = max(versions, key=len)
        assert all(images == whole[update] for images in versions
                   if len(images) == len(whole[update])), update
    return whole


def rates(work_dir):
    """The learning rate of each update, however often it was done."""
    found = {}
    for update, _, _, _, lr in lines(work_dir):
        assert found.setdefault(update, lr) == lr
    return found
