"""What begin='auto', the default, becomes in a run."""
import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from mmengine.registry import RUNNERS as RUNNER_TYPES
from mmengine.runner import Runner

from agvm_mm.engine.begin import settle_begin
from agvm_mm.engine.clock import Clock
from tests.test_engine.test_runs import RUNNERS, config, run
from tests.toy import ToyDetector, build_wrapper, samples, train_step


def warm_up(end, **options):
    return [
        dict(
            dict(
                type='LinearLR',
                start_factor=0.1,
                by_epoch=False,
                begin=0,
                end=end), **options),
        dict(type='MultiStepLR', by_epoch=False, milestones=[200])
    ]


def begin_config(work_dir, runner, iterations=240, **agvm):
    """Two micro-batches an update, on one process."""
    cfg = config(work_dir, runner, str(iterations), iterations, 2)
    cfg.optim_wrapper.agvm = dict(interval=5, **agvm)
    cfg.param_scheduler = warm_up(9)
    cfg.default_hooks.checkpoint = None
    return cfg


@pytest.mark.parametrize('runner', RUNNERS)
def test_the_end_of_the_warm_up_and_100_updates(runner, tmp_path):
    built, found = run(runner, begin_config(tmp_path, runner))
    # 9 iterations are over in the fifth update.
    assert list(found) == [105, 110, 115]
    assert built.optim_wrapper.state_dict()['agvm']['begin'] == 105
    log, = tmp_path.glob('*/*.log')
    assert log.read_text().count('AGVM begins at update 105') == 1


def test_epochs_are_those_of_the_run(tmp_path):
    cfg = begin_config(tmp_path, 'plain')
    cfg.train_cfg = dict(by_epoch=True, max_epochs=60)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    # An epoch is 6 iterations, so 3 updates.
    cfg.param_scheduler = warm_up(2, by_epoch=True)
    built, _ = run('plain', cfg)
    assert built.optim_wrapper.clock.begin == 106
    cfg = begin_config(tmp_path / 'converted', 'plain')
    cfg.train_cfg = dict(by_epoch=True, max_epochs=60)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    cfg.param_scheduler = warm_up(
        3, by_epoch=True, convert_to_iter_based=True)
    built, _ = run('plain', cfg)
    assert built.optim_wrapper.clock.begin == 109


@pytest.mark.parametrize('runner', RUNNERS)
@pytest.mark.parametrize('why', ['no warm-up', 'too short'])
def test_a_sentence_asks_for_a_number(runner, why, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(ToyDetector, 'forward',
                        lambda *_, **__: calls.append(1))
    cfg = begin_config(tmp_path, runner, 210 if why == 'too short' else 240)
    if why == 'no warm-up':
        cfg.param_scheduler = None
    with pytest.raises(
            ValueError, match=r"agvm.begin='auto' .*set agvm.begin to the"):
        run(runner, cfg)
    assert not calls


@pytest.mark.parametrize('runner', RUNNERS)
def test_what_is_switched_off_needs_no_warm_up(runner, tmp_path):
    """And no replicas."""
    cfg = begin_config(tmp_path, runner, 20, end=0)
    cfg.param_scheduler = None
    cfg.optim_wrapper.accumulative_counts = 1
    built, found = run(runner, cfg)
    assert found == {}
    assert built.optim_wrapper.clock.updates == 20
    # A run that is resumed with AGVM has its own.
    assert built.optim_wrapper.state_dict()['agvm']['begin'] == 'auto'


def test_without_a_runner_a_sentence_asks_for_a_number():
    model = ToyDetector()
    wrapper = build_wrapper(model, accumulative_counts=2, begin='auto')
    with pytest.raises(ValueError, match=r'no runner has told one .*: set'):
        train_step(model, wrapper, *samples(0, torch.float32))


@pytest.mark.parametrize(('begin', 'warned'), [(0, True), (4, True),
                                               (5, False), (105, False)])
def test_a_begin_at_a_bad_time_is_one_warning(begin, warned, tmp_path):
    cfg = begin_config(tmp_path, 'plain', iterations=24, begin=begin)
    run('plain', cfg)
    log, = tmp_path.glob('*/*.log')
    said = log.read_text().count
    assert said(f'agvm.begin={begin} lies inside of the warm-up, which ends '
                'at update 5') == warned
    assert said(f'AGVM will do nothing: agvm.begin={begin}, but agvm.end or '
                'the end of the training is 12.') == (begin > 12)


def test_a_begin_after_the_end_where_the_runner_alone_tells_it(
        request, warnings):
    """As FlexibleRunner without accumulation, and of several optimizers."""
    hub = MessageHub.get_instance(request.node.name)
    hub.update_info('max_iters', 12)
    settle_begin(Clock(105, None, 5, 1), hub, None, last_call=True)
    assert any('AGVM will do nothing' in line for line in warnings())


def test_a_begin_after_agvms_end_where_nobody_tells_the_trainings(
        request, warnings):
    """As in a loop of the user's own."""
    hub = MessageHub.get_instance(request.node.name)
    settle_begin(Clock(105, 50, 5, 1), hub, None, last_call=True)
    assert any('the end of the training is 50' in line for line in warnings())


@pytest.mark.parametrize('kind', ['Runner', 'TotalBatchRunner'])
@pytest.mark.parametrize('hooks', [[], [dict(type='TotalBatchSizeHook')]])
def test_a_runner_that_keeps_no_total_batch_is_one_warning(
        kind, hooks, tmp_path):
    cfg = begin_config(tmp_path, 'plain', 4, begin=0, end=0)
    cfg.optim_wrapper.pop('accumulative_counts')
    cfg.update(runner_type=kind, total_batch_size=8, custom_hooks=hooks)
    RUNNER_TYPES.build(cfg).train()
    log, = tmp_path.glob('*/*.log')
    said = log.read_text().count
    # The hook says it too, and how far off it is.
    assert said('total_batch_size=8, which its runner does not keep: set') == (
        kind == 'Runner' and not hooks)
    assert said('states total_batch_size=8, but') == (
        kind == 'Runner' and bool(hooks))


def test_a_resumed_run_goes_on_as_it_began(tmp_path):
    cfg = begin_config(tmp_path, 'plain', iterations=214)
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=214)
    _, before = run('plain', cfg)
    assert list(before) == [105]
    # With another warm-up, and another number of micro-batches.
    cfg = begin_config(tmp_path, 'plain', iterations=468)
    cfg.param_scheduler = warm_up(40)
    cfg.optim_wrapper.accumulative_counts = 4
    cfg.resume = True
    built, after = run('plain', cfg)
    assert built.optim_wrapper.clock.begin == 105
    assert next(iter(after)) == 110


def test_a_total_batch_counts_its_warm_up_in_updates(tmp_path):
    cfg = begin_config(tmp_path, 'plain', iterations=120)
    cfg.optim_wrapper.pop('accumulative_counts')
    cfg.merge_from_dict(
        dict(
            runner_type='TotalBatchRunner',
            total_batch_size=8,
            max_samples_per_gpu=2))
    built = RUNNER_TYPES.build(cfg)
    built.train()
    wrapper = built.optim_wrapper
    # 9 updates of four micro-batches each, not 9 iterations.
    assert (wrapper.clock.begin, wrapper.clock.updates) == (109, 120)
    assert wrapper.modulator.lr_scale['neck'] != 1


@pytest.mark.parametrize('runner', RUNNERS)
def test_a_longer_run_from_one_without_agvm_counts_its_own_epochs(
        runner, tmp_path):
    cfg = begin_config(tmp_path, runner)
    cfg.train_cfg = dict(by_epoch=True, max_epochs=1)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    # An epoch is 6 iterations, so 3 updates.
    cfg.param_scheduler = warm_up(2, by_epoch=True)
    longer = copy.deepcopy(cfg)
    longer.train_cfg.max_epochs = 60
    longer.experiment_name += '_longer'
    longer.visualizer.name += '_longer'
    longer.resume = True
    cfg.optim_wrapper.pop('agvm')
    cfg.optim_wrapper.update(
        type='OptimWrapper', constructor='DefaultOptimWrapperConstructor')
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    RUNNERS[runner].from_cfg(cfg).train()
    built, _ = run(runner, longer)
    assert built.optim_wrapper.clock.begin == 106


def test_a_wrapper_that_is_built_before_its_runner(tmp_path):
    cfg = begin_config(tmp_path, 'plain')
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=10)
    model = MODELS.build(cfg.model)
    cfg.optim_wrapper = None
    runner = Runner(
        model=model,
        optim_wrapper=build_wrapper(
            model, accumulative_counts=2, begin='auto'),
        work_dir=str(tmp_path),
        train_dataloader=cfg.train_dataloader,
        train_cfg=cfg.train_cfg,
        param_scheduler=cfg.param_scheduler,
        default_hooks=cfg.default_hooks,
        experiment_name=cfg.experiment_name,
        cfg=cfg)
    runner.train()
    assert runner.optim_wrapper.clock.begin == 105
    log, = tmp_path.glob('*/*.log')
    assert 'agvm/lr_scale/neck' in log.read_text()


def test_a_begin_in_a_last_short_update(request, warnings):
    hub = MessageHub.get_instance(request.node.name)
    hub.update_info('max_iters', 25)  # 13 updates, the last of one micro-batch
    settle_begin(Clock(12, None, 5, 2), hub, None, last_call=True)
    assert not warnings()
