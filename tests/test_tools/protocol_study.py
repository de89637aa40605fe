"""A small study with a protocol, on the bundled pipelines, and its trials."""
import yaml
from studies.protocol import Protocol

from tests.commands import ROOT

from .study_results import trained

SEEDS = [1, 2]
ENTRIES = [
    dict(
        pipeline='faster-rcnn',
        method=['sgd', 'agvm-sgd'],
        batch=[8, 32],
        lr='trials'),
    dict(
        pipeline='faster-rcnn',
        method=['sgd', 'agvm-sgd'],
        batch=[8, 32],
        lr='best',
        seed=SEEDS,
        split='test'),
    dict(
        pipeline='faster-rcnn',
        method='sgd-measured',
        batch=[8, 32],
        lr='best of sgd',
        seed=1,
        split='test'),
]
SETTINGS = dict(
    small_batch=8,
    trials=3,
    trials_seed=1,
    horizon={
        8: [100, 400],
        32: [40, 160]
    },
    rate={
        'sgd': [0.01, 0.16],
        'agvm-sgd': [0.01, 0.16]
    },
    targets=[0.9, 0.75],
    reference=['sgd', 'agvm-sgd'],
    validations=10,
    warmup=0.1,
    settling=0.02,
    last_rate=0.01,
    measurements=100,
    points=60,
    compare=[['agvm-sgd', 'sgd']])


def write_protocol(path, *entries, **changed):
    """Write a study's file.

    Args:
        path (Path): Of the file, which is returned.
        *entries (dict): Its runs; ENTRIES by default.
        **changed: Settings of the protocol.
    """
    path.write_text(
        yaml.safe_dump(
            dict(
                _base_=str(ROOT / 'docs/study/base.yaml'),
                page=dict(title='A study', protocol='docs/protocol.md'),
                results=str(path.parent / 'results'),
                runs=list(entries or ENTRIES),
                protocol={
                    **SETTINGS,
                    **changed
                })))
    return path


def curve(last):
    """A metric that grows in a straight line."""
    return [last * i / 10 for i in range(1, 11)]


def trials_done(study, batch, finals):
    """Results of the trials at a batch, whose last metrics are given."""
    runs = Protocol(study, []).trials('faster-rcnn', batch)
    return [trained(run, curve(last)) for run, last in zip(runs, finals)]
