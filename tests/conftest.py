import dis
import functools
import gc
import logging
import os
import types
from unittest import mock

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.utils import is_installed

from agvm_mm.datasets import write_digits

from . import amp, commands, once

# What the tests train is small: threads wait for each other longer than they
# compute, and the longer the more processes there are.
torch.set_num_threads(1)
# What tools print here goes to no terminal, and has no width to wrap at.
os.environ.pop('COLUMNS', None)

# Parts of the names of tests that read mmseg:: configs.
MMSEG = ('mmseg', 'semantic-fpn', 'upernet', 'ade20k', 'a_split_by_hand',
         'the_table_of_configs', 'the_table_of_modules',
         'the_new_style_is_up_to_date', 'semantic FPN', 'foreign_weights',
         'a_resume_of_nothing', 'runtime_iterations', 'segmentor',
         'look_before_training', 'an_epoch_of_a_run_by_iteration',
         'a_real_pass_keeps_as_much[config1]', 'the_report_of_a_training',
         'a_training_without_a_log_to_report', 'no_image_ends_so')


@functools.lru_cache(None)
def calls(function, helper):
    """Whether a function names a helper, itself or by others in tests/."""
    todo, seen = [function], set()
    while todo:
        called = todo.pop()
        if called is helper:
            return True
        if called in seen or not called.__module__.startswith('tests.'):
            continue
        seen.add(called)
        codes = [called.__code__]
        for code in codes:  # with its lambdas and comprehensions
            codes += [c for c in code.co_consts if isinstance(c, type(code))]
        named = [
            called.__globals__.get(instruction.argval) for code in codes
            for instruction in dis.get_instructions(code)
            if instruction.opname == 'LOAD_GLOBAL'
        ]
        todo += [f for f in named if isinstance(f, types.FunctionType)]
    return False


def pytest_configure(config):
    """Of two processes each takes the next file, not the one of most tests."""
    config.option.loadscopereorder = False  # xdist's, from 3.7 on


def pytest_collection_modifyitems(config, items):
    """Mark what is slow, and what can run on a GPU; put tests in order.

    One process runs slow tests last. Of several each takes whole files, and
    those with slow tests come first: none is left alone with one at the end.
    """
    for item in items:
        if 'device' in item.fixturenames:
            item.add_marker('gpu')
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        functions = [item.function, *(f[-1].func for f in fixtures)]
        if any(calls(function, commands.run) for function in functions):
            item.add_marker('slow')
    slow = {item for item in items if item.get_closest_marker('slow')}
    if hasattr(config, 'workerinput'):
        files = {item.path for item in slow}
        items.sort(key=lambda item: item.path not in files)
    else:
        items.sort(key=slow.__contains__)
    if is_installed('mmsegmentation'):
        return
    # OneDL's MMEngine looks for mmseg:: configs in a package of this name, and
    # OneDL's own is named otherwise.
    skip = pytest.mark.skip(reason='MMEngine does not find mmseg:: configs')
    for item in items:
        if any(part in item.name for part in MMSEG):
            item.add_marker(skip)


def pytest_collection_finish():
    """Who looks through all objects need not look at what was imported."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """A mark that is missing is an error: only slow tests start trainings."""
    commands.permitted = item.get_closest_marker('slow') is not None


@pytest.fixture(scope='session', autouse=True)
def _once():
    with pytest.MonkeyPatch.context() as monkeypatch:
        once.patch(monkeypatch.setattr)
        yield


@pytest.fixture(scope='session', name='digits')
def _digits(tmp_path_factory):
    """A tiny Digits data set, as configs name a data_root: with a slash."""
    root = write_digits(
        tmp_path_factory.mktemp('data') / 'digits',
        num_train=16,
        num_val=4,
        size=64)
    return f'{root}/'


@pytest.fixture(scope='session', name='device')
def _device():
    """Where a test of the GPU suite runs: on a GPU, if there is one."""
    return 'cuda' if torch.cuda.is_available() else 'cpu'


@pytest.fixture(name='amp')
def _amp(monkeypatch, device):
    """MMEngine's mixed precision, wherever the test runs."""
    amp.allow(device, monkeypatch.setattr)


@pytest.fixture(autouse=True)
def _own_message_hub(request):
    """No test reads what another has logged."""
    MessageHub.get_instance(request.node.name)


@pytest.fixture(autouse=True)
def _own_environment():
    """No test has variables that another has set, as tools/train.py does."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(name='warnings')
def _warnings(request):
    """Call it for the warnings that were logged so far."""
    return logged(request, logging.WARNING)


@pytest.fixture(name='infos')
def _infos(request):
    """Call it for the lines of information that were logged so far."""
    return logged(request, logging.INFO)


def logged(request, level):
    records = []
    logger = MMLogger.get_instance(request.node.name[:60])
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    return lambda: [r.getMessage() for r in records if r.levelno == level]
