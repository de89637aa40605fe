"""OpenMMLab's model index of the large-batch configs."""
from __future__ import annotations

import yaml

from agvm_mm.large_batch.settings import with_agvm

from .rows import ROOT, Row

PAPER = dict(
    Title='Large-batch Optimization for Dense Visual Predictions: Training '
    'Faster R-CNN in 4.2 Minutes',
    URL='https://arxiv.org/abs/2210.11078')


def metafile(rows: list[Row]) -> str:
    """The text of configs/metafile.yml.

    Args:
        rows (list[Row]): The configs.
    """
    collection = {
        'Name': 'AGVM',
        'Paper': PAPER,
        'README': 'docs/configs.md',
        'Metadata': {
            'Training Techniques': ['AGVM']
        },
    }
    index = dict(Collections=[collection], Models=list(map(entry, rows)))
    return ('# Written by tools/config_table.py; do not edit.\n' +
            yaml.safe_dump(index, sort_keys=False))


def entry(row: Row) -> dict:
    """One model of the index."""
    techniques = ['AGVM'] if with_agvm(row.cfg) else []
    coco = row.part('data') == 'coco'
    found = {
        'Name': row.path.stem,
        'In Collection': 'AGVM',
        'Config': str(row.path.relative_to(ROOT)),
        'Metadata': {
            'Training Data': 'COCO' if coco else 'ADE20K',
            'Training Techniques': [*techniques, row.optimizer],
            'Batch Size': row.plan.total_batch_size,
            'Iterations': row.plan.updates,
        },
    }
    if row.plan.epochs is not None:
        found['Metadata']['Epochs'] = row.plan.epochs
    # Results are left out: none was obtained with these configs.
    return found
