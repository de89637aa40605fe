"""Reads the large-batch configs, and what each of them runs."""
from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from plans.agvm import agvm_options

from agvm_mm.large_batch.plan import Plan, drops, learning_rates, make_plan

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ('faster_rcnn', 'mask_rcnn', 'panoptic_fpn', 'retinanet',
           'semantic_fpn', 'upernet', 'cascade_mask_rcnn')
ALSO_SMALL = ('faster-rcnn_r50_fpn_agvm-sgd_16e_bs512_coco',
              'mask-rcnn_r50_fpn_sgd_14e_bs1024_coco',
              'mask-rcnn_r50_fpn_lars_14e_bs1024_coco',
              'mask-rcnn_r50_fpn_lamb_14e_bs1024_coco')
NAME = re.compile(r'(?P<pipeline>.+?)_(?P<method>(?:agvm-)?(?:sgd|adamw)|lars|'
                  r'lamb)_(?P<length>\w+)_bs(?P<batch>\d+)_(?P<data>.+)')


@dataclass(frozen=True)
class Row:
    """A config, and what it runs.

    Attributes:
        path (Path): The config's file.
        cfg (Config): The config.
        plan (Plan): What it runs on one process.
        rates (list[float]): The learning rate of each update.
    """

    path: Path
    cfg: Config
    plan: Plan
    rates: list[float]

    @classmethod
    def read(cls, path: Path) -> Row:
        """Read a config.

        Args:
            path (Path): Its file.
        """
        cfg = Config.fromfile(path)
        plan = make_plan(cfg, 1)
        return cls(path, cfg, plan, learning_rates(cfg, plan))

    def part(self, name: str) -> str:
        """A part of the config's name, as :data:`NAME` has them."""
        return part(self.path, name)

    @property
    def schedule(self) -> str:
        """The name's part that says how long it trains at which batch."""
        return f'{self.part("length")}_bs{self.part("batch")}'

    @property
    def name(self) -> str:
        """The config's name, without what its pipeline's names share."""
        return f'{self.part("method")}_{self.schedule}'

    @property
    def optimizer(self) -> str:
        """The optimizer's type."""
        return self.cfg.optim_wrapper.optimizer.type

    @property
    def batch(self) -> str:
        """The total batch."""
        return f'{self.cfg.total_batch_size:,}'

    @property
    def warm_up(self) -> str:
        """The first update at the full learning rate."""
        return f'{self.rates.index(max(self.rates)):,}'

    @property
    def drops(self) -> str:
        """The updates at which the learning rate drops."""
        found = [f'{update:,}' for update in drops(self.rates)]
        return ', '.join(found) or 'polynomial'

    @property
    def agvm(self) -> dict | None:
        """AGVM's options with ``begin`` an update; None without AGVM."""
        return agvm_options(self.cfg, self.plan)


def part(path: Path, name: str) -> str:
    """A part of a config's name."""
    return NAME.fullmatch(path.stem).group(name)  # type: ignore[union-attr]


def read_rows() -> list[Row]:
    """All large-batch configs, in the order of the page."""
    paths = [
        path for folder in FOLDERS for path in sorted(
            (ROOT / 'configs' / folder).glob('*.py'), key=order)
    ]
    with ProcessPoolExecutor() as pool:
        return list(pool.map(Row.read, paths))


def order(path: Path) -> tuple:
    """By pipeline, length, batch, then AGVM, its twin, and the others."""
    method, length = part(path, 'method'), part(path, 'length')
    # Of trainings that count iterations, the batch alone tells the length.
    epochs = length if length.endswith('e') else ''
    rank = (not method.startswith('agvm'), method in ('lars', 'lamb'), method)
    return part(path, 'pipeline'), epochs, int(part(path, 'batch')), rank


def trained_small(rows: list[Row]) -> list[Row]:
    """The configs that the tests train.

    Of each pipeline and optimizer the largest batch with AGVM, and
    :data:`ALSO_SMALL`.
    """
    largest: dict[tuple, Row] = {}
    for row in rows:
        if row.agvm is not None:
            largest[row.part('pipeline'), row.optimizer] = max(
                row,
                largest.get((row.part('pipeline'), row.optimizer), row),
                key=lambda row: row.cfg.total_batch_size)
    small = {row.path for row in largest.values()}
    return [
        row for row in rows if row.path in small or row.path.stem in ALSO_SMALL
    ]
