"""The printed line shows AGVM's factors, the JSON log all that it measures."""
import json
import logging
import os

import pytest
from mmengine.registry import LOG_PROCESSORS
from mmengine.runner import LogProcessor, Runner

from agvm_mm.engine.log_line import factors_only
from tests.distributed import run_ranks
from tests.test_engine.test_runs import config, gan_config, run

UNPRINTED = ('variance', 'noise_scale', 'num_replicas')


@LOG_PROCESSORS.register_module()
class OwnLogProcessor(LogProcessor):
    pass


def printed(line):
    record = logging.LogRecord('', logging.INFO, '', 1, line, (), None)
    assert factors_only(record)
    return record.getMessage()


HEAD = 'Epoch(train)  [1][ 50/100]  base_lr: 2.0000e-02 lr: 2.0000e-02  '
FACTORS = 'agvm/lr_scale/backbone: 1.0000  agvm/lr_scale/neck: 1.2440'


@pytest.mark.parametrize('head', [
    HEAD, 'Iter(train) [   50/90000]  lr: 2.0000e-02  eta: 1 day, 2:03:04  '
])
def test_factors_are_what_is_left(head):
    line = (f'{head}grad_norm: 3.1000  loss: 1.2000  '
            'agvm/variance/backbone: 0.5000  agvm/variance/neck: 0.8228  '
            f'{FACTORS}  agvm/noise_scale/my heads: 38.7000  '
            'agvm/skipped: 0.0000  agvm/num_replicas: 8.0000  '
            'agvm/num_samples: 0.0000  accuracy: 97.0000')
    assert printed(line) == (f'{head}grad_norm: 3.1000  loss: 1.2000  '
                             f'{FACTORS}  accuracy: 97.0000')


@pytest.mark.parametrize(('item', 'shown'), [
    ('agvm/skipped: 0', False),
    ('agvm/skipped/generator: 0.0', False),
    ('agvm/skipped: 1.0000', True),
    ('agvm/skipped: 10', True),
    ('agvm/skipped/generator: 3.0000', True),
    ('agvm/lr_scale/generator.neck: 0.9000', True),
    ('agvm/of_a_users_own: 1.0000', True),
    ('agvm/variance: nan', False),
])
def test_skipped_measurements_are_shown(item, shown):
    assert printed(f'{HEAD}{item}  loss: 1.0000') == (
        f'{HEAD}{item}  loss: 1.0000' if shown else f'{HEAD}loss: 1.0000')


@pytest.mark.parametrize('line', [
    'AGVM  agvm/variance/neck: 0.8',
    'Epoch(val) [1][50/50]  agvm/variance/neck: 0.8',
    dict(any='object'),
])
def test_other_lines_are_left_alone(line):
    assert printed(line) == str(line)


def lines_of(work_dir):
    """The training lines of a run's .log, which are those of the terminal."""
    logs = list(work_dir.glob('*/*.log'))
    assert len(logs) == 1
    return [
        line for line in logs[0].read_text().splitlines()
        if 'Epoch(train)' in line or 'Iter(train)' in line
    ]


def check(work_dir, modules):
    """All in the JSON log, factors in the lines."""
    line = lines_of(work_dir)[-1]
    log, = work_dir.glob('*/vis_data/scalars.json')
    row = {  # with a hierarchy its keys begin with the mode
        key.replace('train/', ''): value for key, value in json.loads(
            log.read_text().splitlines()[-1]).items()
    }
    for module in modules:
        factor = row[f'agvm/lr_scale/{module}']
        assert f'  agvm/lr_scale/{module}: {factor:.4f}' in line
        assert f'agvm/variance/{module}' in row
    assert f'  loss: {row["loss"]:.4f}' in line
    assert {key.split('/')[1] for key in row if key.startswith('agvm/')} == {
        'variance', 'lr_scale', 'noise_scale', 'num_replicas', 'skipped'
    }
    assert line.count('agvm/') == len(modules)
    assert not line.endswith(' ')


def logged(work_dir, name, iterations, **more):
    cfg = config(work_dir, 'plain', name, iterations, 2, **more)
    cfg.default_hooks.update(
        logger=dict(type='LoggerHook', interval=1), checkpoint=None)
    cfg.visualizer = dict(
        type='Visualizer',
        name=cfg.experiment_name,
        vis_backends=[dict(type='LocalVisBackend')])
    return cfg


@pytest.mark.parametrize(('runner', 'processor'), [
    ('plain', None),
    ('plain', dict(by_epoch=False, log_with_hierarchy=True, window_size=5)),
    ('flexible', dict(type='mmengine.LogProcessor', by_epoch=False)),
])
def test_a_run_prints_its_factors(runner, processor, tmp_path, request):
    cfg = logged(tmp_path, request.node.name, 10)
    if processor:
        cfg.log_processor = processor
    built, _ = run(runner, cfg)
    check(tmp_path, built.optim_wrapper.modulator.modules)


def test_a_log_processor_of_ones_own_prints_what_it_prints(tmp_path, request):
    cfg = logged(tmp_path, request.node.name, 10)
    cfg.log_processor = dict(type='OwnLogProcessor', by_epoch=False)
    run('plain', cfg)
    line = lines_of(tmp_path)[-1]
    for quantity in ('lr_scale', *UNPRINTED, 'skipped'):
        assert f'  agvm/{quantity}' in line


def test_several_wrappers_print_their_factors(tmp_path, request):
    name = request.node.name
    cfg = gan_config(tmp_path, 'plain', name, 16, 2)
    cfg.default_hooks = logged(tmp_path, name, 16).default_hooks
    cfg.log_processor = dict(by_epoch=False)
    runner = Runner.from_cfg(cfg)
    runner.train()
    line = lines_of(tmp_path)[-1]
    wrappers = dict(runner.optim_wrapper.items())
    for child, wrapper in wrappers.items():
        for module in wrapper.modulator.modules:
            assert f'  agvm/lr_scale/{child}.{module}: ' in line
    assert not any(f'agvm/{quantity}' in line for quantity in UNPRINTED)
    assert len(runner.logger.filters) == 1


def over_ranks(rank, work_dir):
    os.environ['LOCAL_RANK'] = str(rank)
    cfg = logged(work_dir, 'ranks', 10)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=3)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    cfg.optim_wrapper.accumulative_counts = 1
    cfg.optim_wrapper.agvm.begin = 2
    return list(run('plain', cfg)[0].optim_wrapper.modulator.modules)


def test_over_processes_and_by_epoch(tmp_path):
    check(tmp_path, run_ranks(over_ranks, 2, tmp_path)[0])
    assert 'Epoch(train)' in lines_of(tmp_path)[-1]
