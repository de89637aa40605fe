"""agvm_mm.configs: they are the classic bases, and whole configs inherit."""
import ast

import plan
import pytest
import python_configs
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from new_style.files import CLASSIC, twin_of
from partitions.models import build_on_meta

import agvm_mm  # noqa: F401
from tests.stack import lars, lars_marked
from tests.test_docs.pages import blocks

BASES = sorted((CLASSIC / '_base_').rglob('*.py'))
# One of each pipeline, and each optimizer.
WHOLE = [
    'faster_rcnn/faster-rcnn_r50_fpn_agvm-sgd_16e_bs512_coco.py',
    'faster_rcnn/faster-rcnn_swin-t_fpn_agvm-adamw_12e_bs512_coco.py',
    'mask_rcnn/mask-rcnn_r50_fpn_lamb_14e_bs1024_coco.py',
    'panoptic_fpn/panoptic-fpn_r50_fpn_lars_14e_bs512_coco.py',
    'retinanet/retinanet_r18_fpn_agvm-adamw_12e_bs10240_coco.py',
    'semantic_fpn/semantic-fpn_r50_agvm-sgd_2500_bs2048_ade20k-512x512.py',
    'upernet/upernet_r50_sgd_160k_bs32_ade20k-512x512.py',
    'upernet/upernet_swin-t_adamw_5k_bs1024_ade20k-512x512.py',
    'cascade_mask_rcnn/'
    'cascade-mask-rcnn_swin-1b_fpn_agvm-adamw_1349_bs960_coco.py',
]


def plain(value, key=''):
    """A setting with the names of its classes, as the two styles share it."""
    if isinstance(value, dict):
        return {k: plain(v, k) for k, v in value.items() if k != '_scope_'}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value))
    if key in ('type', 'constructor', 'runner_type', 'dataset_type'):
        return value.rpartition('.')[2]
    return value


def new_style(path):
    return Config.fromfile(python_configs.TARGET / twin_of(path))


@lars  # The module of its class is part of what is written.
def test_the_new_style_is_up_to_date():
    """Up to the line breaks, which yapf's releases place differently."""
    written = {
        path: ast.dump(ast.parse(path.read_text()))
        for path in python_configs.TARGET.rglob('*.py')
    }
    assert written == {
        path: ast.dump(ast.parse(text))
        for path, text in python_configs.build().items()
    }


@pytest.mark.parametrize(
    'path', BASES, ids=lambda path: str(path.relative_to(CLASSIC / '_base_')))
def test_a_base_has_the_settings_of_its_classic_file(path):
    cfg = new_style(path)
    assert plain(cfg.to_dict()) == plain(Config.fromfile(path).to_dict())


def in_new_style(path):
    """The text of a classic config: its bases imported, the rest updated."""
    tree = ast.parse(path.read_text())
    settings = {s.targets[0].id: s.value for s in tree.body}
    bases = [
        path.parent / name for name in ast.literal_eval(settings.pop('_base_'))
    ]
    inherited = set().union(*(Config.fromfile(base) for base in bases))
    lines = ['from mmengine.config import read_base', 'with read_base():']
    for base in bases:
        module = twin_of(base.resolve()).with_suffix('')
        name = '.'.join(('agvm_mm.configs', *module.parts))
        lines.append(f'    from {name} import *')
    for key, value in settings.items():
        code = ast.get_source_segment(path.read_text(), value)
        updated = key in inherited and code.startswith('dict(')
        lines.append(f'{key}.update({code})' if updated else f'{key} = {code}')
    return '\n'.join(lines)


def both_styles(name, folder):
    """A whole config, written in the new style and as it is."""
    mine = folder / 'mine.py'
    mine.write_text(in_new_style(CLASSIC / name))
    return Config.fromfile(mine), Config.fromfile(CLASSIC / name)


@pytest.mark.parametrize('name', WHOLE)
def test_a_whole_config_can_be_written_in_the_new_style(name, tmp_path):
    cfg, classic = both_styles(name, tmp_path)
    assert plain(cfg.to_dict()) == plain(classic.to_dict())


def test_the_lines_that_the_page_shows(tmp_path):
    mine = tmp_path / 'mine.py'
    mine.write_text(blocks('configs.md', 'python')[0])
    cfg = Config.fromfile(mine)
    classic = Config.fromfile(CLASSIC / (
        'mask_rcnn/mask-rcnn_r50_fpn_agvm-sgd_14e_bs512_coco.py'))
    for key in ('agvm_source', 'lr_source', 'reported'):  # of our tables
        for either in (cfg, classic):
            either.pop(key, None)
    assert plain(cfg.to_dict()) == plain(classic.to_dict())


def built(cfg):
    """The model, the kind of wrapper, and the groups of the optimizer."""
    model = build_on_meta(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = [{
        **group, 'params': [names[id(p)] for p in group['params']]
    } for group in wrapper.optimizer.param_groups]
    return repr(model), type(wrapper), groups


# The wrapper of the last is for GPUs.
@pytest.mark.parametrize('name', lars_marked(WHOLE[:-1]))
def test_it_builds_the_same_model_and_optimizer(name, tmp_path):
    new, classic = map(built, both_styles(name, tmp_path))
    assert new == classic


def test_it_plans_the_same(tmp_path, capsys):
    told = []
    both_styles(WHOLE[0], tmp_path)
    for config in (tmp_path / 'mine.py', CLASSIC / WHOLE[0]):
        plan.main([str(config), '--gpus', '8'])
        told.append(capsys.readouterr().out.split('\n', 1)[1])
    assert '0.38, SGD' in told[0]
    assert told[0] == told[1]
