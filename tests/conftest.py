import logging

import pytest
from mmengine.logging import MessageHub, MMLogger
from mmengine.utils import is_installed

from agvm_mm.datasets import write_digits

# Parts of the names of tests that read mmseg:: configs.
MMSEG = ('mmseg', 'semantic-fpn', 'upernet', 'a_split_by_hand',
         'the_table_of_configs', 'the_table_of_modules')


def pytest_collection_modifyitems(items):
    """Fast tests first: those that start trainings come last."""
    items.sort(key=lambda item: 'test_tools' in item.nodeid)
    if is_installed('mmsegmentation'):
        return
    # OneDL's MMEngine looks for mmseg:: configs in a package of this name, and
    # OneDL's own is named otherwise.
    skip = pytest.mark.skip(reason='MMEngine does not find mmseg:: configs')
    for item in items:
        if any(part in item.name for part in MMSEG):
            item.add_marker(skip)


@pytest.fixture(scope='session', name='digits')
def _digits(tmp_path_factory):
    """A tiny Digits data set, as configs name a data_root: with a slash."""
    root = write_digits(
        tmp_path_factory.mktemp('data') / 'digits',
        num_train=16,
        num_val=4,
        size=64)
    return f'{root}/'


@pytest.fixture(autouse=True)
def _own_message_hub(request):
    """No test reads what another has logged."""
    MessageHub.get_instance(request.node.name)


@pytest.fixture(name='warnings')
def _warnings(request):
    """Call it for the warnings that were logged so far."""
    records = []
    logger = MMLogger.get_instance(request.node.name[:60])
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    return lambda: [
        r.getMessage() for r in records if r.levelno == logging.WARNING
    ]
