"""Branches of one training: which there are, and what each came to."""
from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Sequence

from mmengine.config import Config
from reports.logs import read_log
from reports.series import noise_scales

from agvm_mm.compat.checkpoint import check_checkpoint, load
from agvm_mm.large_batch.another_batch import stated_batch

from .branch_config import branch_config, check_images, micro_batch_of
from .branch_hook import LOSSES
from .branch_state import check_state, rate_of
from .processes import (
    CONFIGS,
    Processes,
    commit,
    failure,
    read_results,
    write_result,
)


@dataclass(frozen=True)
class Branch:
    """One branch.

    Attributes:
        config (str): Name of the config.
        checkpoint (str): Its file.
        batch (int): Samples of one update.
        seed (int): Of the images' order.
        images (int): That are trained.
        loss_images (int): On which the loss is evaluated.
        micro_batch (int): Samples of one micro-batch.
        rule (str, optional): Of the learning rate; None is the optimizer's.
        settings (str): Digest of the whole config.
    """
    config: str
    checkpoint: str
    batch: int
    seed: int
    images: int
    loss_images: int
    micro_batch: int
    rule: str | None
    settings: str

    @property
    def point(self) -> str:
        """Of a training, from which branches go on."""
        rule = f' {self.rule}' if self.rule else ''
        return f'{self.config} {Path(self.checkpoint).stem}{rule}'

    @property
    def name(self) -> str:
        """Of its result file and its work dir."""
        point = self.point.replace(' ', '_')
        return f'{point}_bs{self.batch}_seed{self.seed}'


def plan_branches(cfg: Config, config: str, checkpoint: str,
                  batches: Sequence[int], seeds: int, images: int,
                  loss_images: int, rule: str | None) -> list[Branch]:
    """Every branch, the smallest batches first.

    Args:
        cfg (Config): The config.
        config (str): Its name.
        checkpoint (str): File of the checkpoint.
        batches (Sequence[int]): In samples.
        seeds (int): How many orders of the images.
        images (int): Of a branch.
        loss_images (int): On which the loss is evaluated.
        rule (str, optional): Of the learning rate.

    Raises:
        ValueError: If the batches cannot be compared.
    """
    batches = sorted(set(batches))
    if len(batches) < 2:
        raise ValueError(f'--batches {batches[0]}: batches are compared, so '
                         'name two or more, as --batches 16 32 64')
    for flag, value in (('--seeds', seeds), ('--loss-images', loss_images)):
        if value < 1:
            raise ValueError(f'{flag} {value} must be 1 or more')
    micro_batch = micro_batch_of(cfg, batches)
    check_images(images, batches)
    text = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    settings = hashlib.sha256(text.encode()).hexdigest()[:12]
    return [
        Branch(config, checkpoint, batch, seed, images, loss_images,
               micro_batch, rule, settings) for seed in range(seeds)
        for batch in batches
    ]


def unfinished(branches: Sequence[Branch], folder: Path) -> list[Branch]:
    """The branches that are not done.

    Args:
        branches (Sequence[Branch]): All of them, of one point.
        folder (Path): Of the result files.

    Raises:
        ValueError: If a stored one of this point is not to be compared with
            them.
    """
    names = {branch.name for branch in branches}
    asked = asdict(branches[0])
    done = set()
    for stored in read_results(folder):
        name = stored['name']
        if name not in names and stored['point'] != branches[0].point:
            continue
        done.add(name)
        differs = [
            'another config' if key == 'settings' else
            f'{key}={stored["branch"].get(key)!r}, not {value!r}'
            for key, value in asked.items() if key not in ('batch', 'seed')
            and stored['branch'].get(key) != value
        ]
        if differs:
            raise ValueError(
                f'{folder / name}.json was made with {differs[0]}: name '
                'another folder with --out')
    return [branch for branch in branches if branch.name not in done]


class BranchTrainings(Processes):
    """Executes branches of one checkpoint, each in a process of its own.

    Args:
        cfg (Config): Of the training that the checkpoint is of.
        checkpoint (str): Its file.
        results (Path): Folder of the result files. A branch's file is written
            when it is done, and not before.
        root (Path): Folder of the work dirs.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If no branch can go on from it.
    """

    def __init__(self, cfg: Config, checkpoint: str, results: Path,
                 root: Path) -> None:
        super().__init__(Path.cwd())  # As whoever trained the checkpoint.
        check_checkpoint(checkpoint)
        saved = load(checkpoint)
        check_state(saved, checkpoint, stated_batch(cfg))
        self.cfg = cfg
        self.results = results
        self.root = root
        self.lr = rate_of(saved['optimizer'])
        self.iteration = saved.get('meta', {}).get('iter')

    def execute(self, branch: Branch) -> dict:
        """Train, and write what came of it.

        Args:
            branch (Branch): Of the checkpoint.

        Returns:
            dict: The result.

        Raises:
            RuntimeError: If the training failed. One that diverges does not,
                and has a loss of None.
        """
        work_dir = self.root / branch.name
        shutil.rmtree(work_dir, ignore_errors=True)
        work_dir.mkdir(parents=True)
        with CONFIGS:
            cfg = branch_config(
                self.cfg,
                branch.batch,
                lr=self.lr,
                images=branch.images,
                micro_batch=branch.micro_batch,
                checkpoint=branch.checkpoint,
                loss_images=branch.loss_images,
                rule=branch.rule,
                seed=branch.seed)
            cfg.dump(work_dir / 'run.py')
        start, trained = time.time(), commit()
        if self.train(work_dir):
            raise failure(branch.name, work_dir / 'log.txt')
        losses = json.loads((work_dir / LOSSES).read_text())
        result = dict(
            name=branch.name,
            point=branch.point,
            branch=asdict(branch),
            commit=trained,
            seconds=round(time.time() - start),
            iteration=self.iteration,
            own_batch=stated_batch(self.cfg),
            lr=cfg.optim_wrapper.optimizer.lr,
            updates=cfg.train_cfg.max_iters,
            loss_before=losses['before'],
            loss=losses['after'],
            noise_scale={
                module: float(f'{scale:.4g}')
                for module, scale in noise_scales(read_log(work_dir),
                                                  fewest=1).items()
                if scale is not None
            })
        write_result(result, self.results)
        return result

    def told(self, result: dict) -> str:
        """What a branch came to, in one line.

        Args:
            result (dict): Of :meth:`execute`.
        """
        loss = result['loss']
        came_to = 'diverged' if loss is None else (
            f'loss {result["loss_before"]:.4f} to {loss:.4f}')
        return (f'{result["name"]}: {came_to} in {result["updates"]} updates '
                f'at {result["lr"]:.4g}, {result["seconds"]} s')
