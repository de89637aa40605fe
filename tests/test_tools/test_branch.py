"""The branches of a training: their configs and their state."""
import argparse
import re

import pytest
import torch
from mmengine.config import Config
from studies.branch_command import add_branch
from studies.branch_config import (
    branch_config,
    check_images,
    micro_batch_of,
)
from studies.branch_state import (
    check_state,
    rate_of,
    scaled_state,
)
from studies.branches import plan_branches, unfinished
from studies.processes import write_result

from agvm_mm.large_batch.settings import wrappers_of
from tests.commands import FASTER, ROOT

SGD = ROOT / 'configs/digits/faster-rcnn_r18_fpn_sgd_digits.py'


def branch(cfg, batch, **settings):
    return branch_config(
        cfg, batch, **{
            **dict(
                lr=0.02,
                images=64,
                micro_batch=8,
                checkpoint='epoch_4.pth',
                loss_images=8),
            **settings
        })


def test_a_branch_is_at_the_rate_of_the_rule_and_stays_there():
    cfg = Config.fromfile(SGD)
    for batch, lr in ((16, 0.002), (32, 0.004), (64, 0.008)):
        made = branch(cfg, batch, lr=0.002, seed=3)
        assert made.optim_wrapper.optimizer.lr == lr
        assert made.total_batch_size == batch
        assert made.train_cfg.max_iters == 64 // batch
        assert made.param_scheduler == []
        assert made.max_samples_per_gpu == 8
        assert made.randomness.seed == 3
        assert (made.load_from, made.resume) == ('epoch_4.pth', False)
    assert cfg.optim_wrapper.optimizer.lr == 0.02  # which is not changed
    of_root = branch(cfg, 64, lr=0.002, rule='square-root')
    assert of_root.optim_wrapper.optimizer.lr == 0.004
    assert of_root.custom_hooks[-1].times == 1


def test_a_branch_of_adam_moves_its_state_with_its_betas():
    cfg = Config.fromfile(SGD)
    cfg.optim_wrapper.optimizer = dict(type='AdamW', weight_decay=0.05)
    made = branch(cfg, 64, lr=1e-3)
    assert made.optim_wrapper.optimizer.lr == 2e-3
    assert made.optim_wrapper.optimizer.betas == (0.6, 0.996)
    assert made.custom_hooks[-1].times == 4
    assert branch(cfg, 64, rule='square-root').custom_hooks[-1].times == 1


@pytest.mark.parametrize('path', [SGD, FASTER])
def test_a_branch_measures_at_factor_1(path):
    cfg = Config.fromfile(path)
    cfg.optim_wrapper.update(
        clip_grad=dict(max_norm=1), clip_grad_range=(50, 150))
    wrapper = branch(cfg, 32).optim_wrapper
    assert wrapper.type == 'AGVMOptimWrapper'
    assert wrapper.agvm.to_dict() == dict(
        begin=0, interval=1, ratio_range=(1.0, 1.0))
    assert 'clip_grad' not in wrapper  # which is of the warm-up's end


def test_a_branch_keeps_the_modules_and_the_constructor():
    cfg = Config.fromfile(FASTER)
    cfg.optim_wrapper.agvm.modules = dict(fpn='neck')
    assert branch(cfg, 32).optim_wrapper.agvm.modules == dict(fpn='neck')
    cfg = Config.fromfile(SGD)
    cfg.optim_wrapper.constructor = 'Own'
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    wrapper = branch(cfg, 32).optim_wrapper
    assert wrapper.type == 'AGVMAmpOptimWrapper'
    assert wrapper.agvm.base_constructor == 'Own'
    cfg.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(ValueError, match='measures no noise scale'):
        branch(cfg, 32)
    cfg.optim_wrapper = dict(a=cfg.optim_wrapper, b=cfg.optim_wrapper)
    assert len(wrappers_of(cfg)) == 2
    with pytest.raises(ValueError, match='take a config with one optimizer'):
        branch(cfg, 32)


def test_micro_batches_are_the_same_in_every_branch():
    cfg = Config.fromfile(SGD)  # of 8 samples at most
    assert micro_batch_of(cfg, [16, 32, 64]) == 8
    assert micro_batch_of(cfg, [8, 32]) == 4
    assert micro_batch_of(cfg, [24, 36]) == 6
    with pytest.raises(ValueError, match='must be 2 or more'):
        micro_batch_of(cfg, [1, 16])


def test_images_are_whole_updates_of_every_batch():
    check_images(192, [16, 64])
    with pytest.raises(ValueError, match='so take 192 or 384'):
        check_images(200, [16, 48, 64])
    with pytest.raises(ValueError, match=r'so take 64$'):
        check_images(32, [16, 64])


def test_what_is_done_is_not_done_again(tmp_path):
    cfg = Config.fromfile(SGD)
    settings = dict(seeds=2, images=64, loss_images=8, rule=None)
    todo = plan_branches(cfg, 'sgd', 'epoch_4.pth', [32, 16], **settings)
    assert [(one.batch, one.seed) for one in todo] == [(16, 0), (32, 0),
                                                       (16, 1), (32, 1)]
    assert todo[0].name == 'sgd_epoch_4_bs16_seed0'
    write_result(
        dict(
            name=todo[0].name, point=todo[0].point, branch=vars(todo[0])),
        tmp_path)
    (tmp_path / f'.{todo[1].name}.json').write_text('{')  # interrupted
    assert unfinished(todo, tmp_path) == todo[1:]
    more = plan_branches(cfg, 'sgd', 'epoch_4.pth', [16, 32],
                         **{**settings, 'images': 128})  # yapf: disable
    with pytest.raises(ValueError, match='images=64, not 128: name another'):
        unfinished(more, tmp_path)
    # Of other batches too, beside which they would be drawn.
    more = plan_branches(cfg, 'sgd', 'epoch_4.pth', [64, 128],
                         **{**settings, 'images': 128})  # yapf: disable
    with pytest.raises(ValueError, match='images=64, not 128: name another'):
        unfinished(more, tmp_path)
    cfg.model.backbone.depth = 34
    more = plan_branches(cfg, 'sgd', 'epoch_4.pth', [16, 32], **settings)
    with pytest.raises(ValueError, match='made with another config: name ano'):
        unfinished(more, tmp_path)
    with pytest.raises(ValueError, match='name two or more'):
        plan_branches(cfg, 'sgd', 'epoch_4.pth', [16, 16], **settings)
    with pytest.raises(ValueError, match='--seeds 0 must be 1 or more'):
        plan_branches(cfg, 'sgd', 'x', [16, 32], **{**settings, 'seeds': 0})


def test_the_rate_at_a_checkpoint():
    group = dict(lr=0.01, params=[0])
    assert rate_of(dict(param_groups=[group])) == 0.01
    # Of several groups, each by a factor of its own.
    assert rate_of(
        dict(
            param_groups=[group, group],
            base_param_settings=dict(lr=0.02))) == 0.02
    with pytest.raises(ValueError, match='take an earlier checkpoint'):
        rate_of(dict(param_groups=[dict(lr=0)]))


def test_a_checkpoint_of_another_kind_is_refused():
    groups = dict(param_groups=[])
    check_state(dict(optimizer=groups), 'a.pth', 16)
    told = dict(cfg='x = 1\ntotal_batch_size = 32\n')
    check_state(dict(optimizer=groups, meta=told), 'a.pth', 32)
    with pytest.raises(ValueError, match='total_batch_size=32, and the'):
        check_state(dict(optimizer=groups, meta=told), 'a.pth', 16)
    for saved in ({}, dict(optimizer={'a': {}, 'b': {}})):
        with pytest.raises(ValueError, match='no state of one optimizer'):
            check_state(saved, 'a.pth', 16)


def test_second_moments_follow_the_batch_and_first_ones_stay():
    moment = torch.tensor([8.0])
    state = {0: dict(step=torch.tensor(10.0), exp_avg=moment,
                     exp_avg_sq=moment)}  # yapf: disable
    scaled = scaled_state(state, 4.0)[0]
    assert scaled['exp_avg'] == 8
    assert scaled['exp_avg_sq'] == 2
    assert scaled['step'] == 2  # 2.5, of as many images
    assert scaled_state({0: dict(step=3)}, 8.0) == {0: dict(step=1)}
    assert scaled_state(state, 1)[0] == state[0]


def test_the_page_lists_the_flags_and_their_defaults():
    commands = argparse.ArgumentParser().add_subparsers()
    add_branch(commands)
    parsed = vars(commands.choices['branch'].parse_args(['c.py', 'c.pth']))
    told = dict(
        re.findall(r'^\| `--([a-z-]+)` \| `?([^|`]*)`? \|',
                   (ROOT / 'docs/choosing.md').read_text(), re.M))
    flags = {key.replace('_', '-') for key in parsed} - {
        'config', 'checkpoint'
    }
    assert told.keys() == flags
    for flag, said in told.items():
        value = parsed[flag.replace('-', '_')]
        if isinstance(value, list):
            value = ' '.join(map(str, value))
        assert value is None or said == str(value)
