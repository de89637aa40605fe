"""A hook that writes down which images each update was made of."""
from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from agvm_mm.large_batch.hooks import micro_batches


@HOOKS.register_module()
class RecordingHook(Hook):
    """One line a micro-batch: its update, its position, its images' bytes."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        counts = micro_batches(runner.optim_wrapper)
        update, done = divmod(runner.iter, counts)
        images = [
            hashlib.sha256(image.numpy().tobytes()).hexdigest()
            for image in data_batch['inputs']
        ]
        line = [update, done * get_world_size() + get_rank(), images]
        path = Path(runner.work_dir) / f'images_{get_rank()}.jsonl'
        with open(path, 'a') as file:
            file.write(json.dumps(line) + '\n')


def recorded(work_dir):
    """The images of each update, in the order of their positions.

    An update that was done again must have had the same ones.
    """
    found = {}
    for path in Path(work_dir).glob('images_*.jsonl'):
        for line in path.read_text().splitlines():
            update, position, images = json.loads(line)
            assert found.setdefault((update, position), images) == images
    updates = {}
    for update, position in sorted(found):
        updates.setdefault(update, []).extend(found[update, position])
    return updates
