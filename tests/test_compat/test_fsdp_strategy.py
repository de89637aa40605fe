"""What a strategy for FSDP saves its checkpoints as, known at its build."""
import pytest
import torch

from agvm_mm import AGVMFSDPStrategy
from tests.stack import fsdp

FULL = dict(
    state_dict_type='FULL_STATE_DICT',
    state_dict_config=dict(type='FullStateDictConfig'),
    optim_state_dict_config=dict(type='FullOptimStateDictConfig'))


def full(**change):
    return {k: v for k, v in {**FULL, **change}.items() if v is not None}


@pytest.fixture(name='build')
def _build(tmp_path):

    def build(**settings):
        return AGVMFSDPStrategy(
            work_dir=str(tmp_path), experiment_name=tmp_path.name, **settings)

    return build


@fsdp
@pytest.mark.parametrize('settings', [{}, dict(state_dict_cfg='full'),
                                      dict(state_dict_cfg=full())])
def test_the_whole_state_is_saved(settings, build):
    assert build(**settings)._is_full_state_dict()


@fsdp
def test_each_rank_saves_its_shards(build):
    strategy = build(state_dict_cfg='sharded')
    assert not strategy._is_full_state_dict()
    kept = dict(
        state_dict_type=strategy.state_dict_type,
        state_dict_config=strategy.state_dict_config,
        optim_state_dict_config=strategy.optim_state_dict_config)
    again = build(state_dict_cfg=kept)
    assert again.state_dict_type == strategy.state_dict_type


@fsdp
@pytest.mark.parametrize('state_dict_cfg', [
    'local',
    dict(),
    full(state_dict_type=None),
    full(state_dict_type='LOCAL_STATE_DICT'),
    full(state_dict_type='SHARDED_STATE_DICT'),
    full(state_dict_config=None),
    full(optim_state_dict_config=None),
])
def test_shards_are_refused_at_the_start(state_dict_cfg, build):
    with pytest.raises(
            ValueError,
            match=r"^strategy\.state_dict_cfg=.* must be 'full' or 'sharded'"):
        build(state_dict_cfg=state_dict_cfg)


@pytest.mark.parametrize(('version', 'gpu', 'needed'), [
    ('2.0.1', True, '2.1 or newer,'),
    ('2.3.1', False, '2.4 or newer on a CPU,'),
])
def test_an_old_torch_is_refused_at_the_start(version, gpu, needed, build,
                                              monkeypatch):
    monkeypatch.setattr(torch, '__version__', version)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    with pytest.raises(
            ValueError,
            match=rf'needs torch {needed} but this is torch {version}: upd'):
        build()
