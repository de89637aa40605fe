"""AGVM takes every model of mmdet's and mmseg's zoos that can be built here.

A slow suite: bash tools/run_tests.sh --zoo
"""
from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from rich.console import Console
from rich.progress import track

from .zoo import FAILED, NOT_BUILT, PASSED, check, configs

# Why a library cannot build a model of its own here: words of its error, and
# what they mean. Any other reason fails the test.
REASONS = {
    'mmpretrain': 'needs the package mmpretrain',
    'transformers is not installed': 'needs the package transformers',
    'skimage is not installed': 'needs the package scikit-image',
    'fairscale': 'needs the package fairscale',
    'lap is not installed': 'needs the package lap',
    'Detectron2': 'needs the package detectron2',
    'motmetrics is not installed': 'needs the package motmetrics',
    'install required packages': "needs mmseg's optional packages",
    "argument 'force_grad_on_level'": 'does not fit its own library',
    "missing 1 required positional argument: 'num_classes'":
    'does not fit its own library',
    'urlopen': "downloads its teacher's weights",
    'No such file or directory': 'inherits from a file that is not shipped',
    'does not exist': 'inherits from a file that is not shipped',
}


def reason_of(outcome):
    return next(
        (why for words, why in REASONS.items() if words in outcome.reason),
        None)


@pytest.mark.zoo
def test_every_config_of_the_zoo():
    every = list(configs())
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(
            os.cpu_count(),
            context,
            initializer=torch.set_num_threads,
            initargs=(1, )) as pool:
        # One worker may die of a config; the pool then raises, and names it.
        outcomes = list(
            track(
                pool.map(check, *zip(*every)),
                total=len(every),
                description='configs'))

    console = Console(width=160)
    by_status = Counter(outcome.status for outcome in outcomes)
    console.print(f'\n{len(outcomes)} configs: {dict(by_status)}')
    console.print('anchors:', dict(Counter(o.anchor for o in outcomes)))
    reasons = Counter(reason_of(o) for o in outcomes if o.status == NOT_BUILT)
    for why, count in reasons.most_common():
        console.print(f'not built: {count:4} {why}')
    for outcome in outcomes:
        if outcome.status in (NOT_BUILT, FAILED):
            console.print(
                f'{outcome.status}: {outcome.config}: {outcome.reason}',
                markup=False)
    assert not [o for o in outcomes if o.status == FAILED]
    assert None not in reasons, 'a config is not built for a new reason'
    assert by_status[PASSED] > 1000
