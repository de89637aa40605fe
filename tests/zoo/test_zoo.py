"""AGVM takes every model of the installed zoos that can be built here.

A slow suite: bash tools/run_tests.sh --zoo
"""
from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
from rich.console import Console
from rich.progress import track
from rich.table import Table

from .hub import write_hub
from .zoo import (
    FAILED,
    FROZEN,
    NO_MODEL,
    NOT_BUILT,
    PASSED,
    REFUSED,
    check,
    configs,
    folder_of,
    prepare,
)

# Packages with configs, and how many of these must pass at least, wherever
# the package is installed.
HOSTS = dict(
    mmdet=680,
    mmseg=675,
    mmpretrain=460,
    mmpose=400,
    mmdet3d=100,
    mmaction=180)
STATUSES = (PASSED, REFUSED, NO_MODEL, NOT_BUILT, FAILED)

# Why a library cannot build a model of its own here: words of its error, and
# what they mean. Any other reason fails the test.
UNFIT = 'does not fit its own library'
DOWNLOADS = 'downloads weights or a language model'
READS_DATA = 'reads its data set when it is built'
NOT_SHIPPED = 'inherits from a file that is not shipped'
REASONS = {
    'install mmpretrain': 'needs the package mmpretrain',
    "['mmpretrain.": 'needs the package mmpretrain',
    'transformers is not installed': 'needs the package transformers',
    "No module named 'transformers'": 'needs the package transformers',
    'skimage is not installed': 'needs the package scikit-image',
    'fairscale': 'needs the package fairscale',
    'lap is not installed': 'needs the package lap',
    'Detectron2': 'needs the package detectron2',
    'motmetrics is not installed': 'needs the package motmetrics',
    'MinkowskiEngine': 'needs the package MinkowskiEngine',
    'Minkowski Engine': 'needs the package MinkowskiEngine',
    'install mmcls': 'needs the package mmcls',
    'mmcls.VisionTransformer is not in': 'needs the package mmcls',
    'Torchsparse': 'needs the package torchsparse',
    'openai/CLIP': 'needs the package clip',
    'install required packages': "needs mmseg's optional packages",
    'urlopen': DOWNLOADS,
    'huggingface.co': DOWNLOADS,
    'on the Hub': DOWNLOADS,
    'FileNotFoundError: can not be found.': DOWNLOADS,
    "No such file or directory: 'data/": READS_DATA,
    'ZeroDivisionError': READS_DATA,
    'No such file or directory': NOT_SHIPPED,
    'does not exist': NOT_SHIPPED,
    'mmpose.configs._base_': NOT_SHIPPED,
    'DRN is not in the mmaction::model registry': 'is not in its wheel',
    'force_grad_on_level': UNFIT,
    "missing 1 required positional argument: 'num_classes'": UNFIT,
    'max_txt_len': UNFIT,
    'LeViTClsHead.switch_to_deploy()': UNFIT,
    'in the inheritance chain': UNFIT,
    "KeyError: 'test_pipeline'": UNFIT,
    "argument 'pretrained'": UNFIT,
    'BatchCutMix is not in the mmpretrain': UNFIT,
}
# Parts of configs' names: models to which a user must name the anchor.
REFUSALS = {
    'mmaction/localization/': 'has no backbone: it reads features',
    'mmdet/deepsort/': 'has two backbones',
    'mmdet3d/mvxnet/': 'has two backbones',
    'mmpretrain/blip/': 'has two backbones',
}


def reason_of(outcome):
    """Why a config was not built, or refused; None if that is not known."""
    if outcome.status == NOT_BUILT:
        table, text = REASONS, outcome.reason
    elif outcome.reason == FROZEN:
        return FROZEN
    else:
        table, text = REFUSALS, outcome.config
    return next((why for words, why in table.items() if words in text), None)


@pytest.fixture(scope='module', name='console')
def _console():
    return Console(width=160)


@pytest.fixture(scope='module', name='summary')
def _summary(console):
    """A table by host, shown when all of them are done."""
    table = Table('host', *STATUSES, 'all', title='configs of the zoos')
    yield table
    console.print('', table)


@pytest.fixture(scope='module', name='hub')
def _hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp('hub')
    write_hub(folder)
    return folder


@pytest.mark.zoo
@pytest.mark.parametrize('host', HOSTS)
def test_every_config_of_the_zoo(host, hub, console, summary, tmp_path):
    folder = folder_of(host)
    if folder is None:
        pytest.skip(f'{host} is not installed')
    every = list(configs(host))
    # A distilled model names its teacher's config from here on.
    (tmp_path / 'configs').symlink_to(folder)
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(
            os.cpu_count(), context, initializer=prepare,
            initargs=(hub, tmp_path)) as pool:
        # One worker may die of a config; the pool then raises, and names it.
        outcomes = list(
            track(
                pool.map(check, *zip(*every)),
                total=len(every),
                description=host))

    by_status = Counter(outcome.status for outcome in outcomes)
    summary.add_row(host, *(str(by_status[status]) for status in STATUSES),
                    str(len(outcomes)))
    console.print(f'\n{host}: {len(outcomes)} configs: {dict(by_status)}')
    console.print('anchors:', dict(Counter(o.anchor for o in outcomes)))
    told = [o for o in outcomes if o.status in (NOT_BUILT, REFUSED)]
    reasons = Counter((o.status, reason_of(o)) for o in told)
    for (status, why), count in reasons.most_common():
        console.print(f'{status}: {count:4} {why}')
    for outcome in outcomes:
        if outcome.status in (NOT_BUILT, REFUSED, FAILED):
            console.print(
                f'{outcome.status}: {outcome.config}: {outcome.reason}',
                markup=False)
    assert not [o for o in outcomes if o.status == FAILED]
    unknown = [o.config for o in told if reason_of(o) is None]
    assert not unknown, 'not built, or refused, for a new reason'
    assert by_status[PASSED] >= HOSTS[host]
