"""docs/fsdp.md: its config trains and resumes, its errors are ours."""
import ast
import re

import pytest
import torch
from mmcv.ops import RoIAlign
from mmengine.config import Config

import agvm_mm
from agvm_mm.compat.shards import load_whole
from tests.commands import ROOT, free_port, options, run, scalars
from tests.stack import fsdp
from tests.test_docs.pages import blocks, command

PAGE = 'fsdp.md'
SWIN = ROOT / 'configs/digits/faster-rcnn_swin-n_fpn_agvm_digits.py'
LARGEST = (ROOT / 'configs/cascade_mask_rcnn/'
           'cascade-mask-rcnn_swin-1b_fpn_agvm-adamw_1349_bs960_coco.py')


@fsdp
def test_its_config_trains_and_resumes(digits, tmp_path, capsys):
    """Two updates, then two more, of a small Swin over two processes."""
    from test import main  # tools/test.py
    lines, _ = blocks(PAGE, 'python')
    config = tmp_path / 'config.py'
    config.write_text(f"_base_ = '{SWIN}'\n{lines}")
    settings = [
        *options(digits)[1:], 'val_cfg=None', 'val_dataloader=None',
        'val_evaluator=None'
    ]
    first = command(PAGE, r'bash tools/dist_train.sh CONFIG (?!.*--resume)')
    second = command(PAGE, 'bash tools/dist_train.sh CONFIG .*--resume')
    for line in (first, second):
        # What the line itself states comes last, and counts.
        line = line.replace('CONFIG', str(config), 1).replace(
            'WORK_DIR', str(tmp_path / 'work'))
        line = line.replace('--cfg-options', '--cfg-options "$@"')
        output = run('bash', '-c', line, '-', *settings, PORT=free_port())
        split = 'total_batch_size=8: 2 processes x 2 samples x 2 micro-batches'
        assert split in output
    assert 'resumed epoch: 1, iter: 4' in output
    rows = scalars(tmp_path / 'work')
    assert [row['step'] for row in rows] == [2, 4, 6, 8]
    assert rows[-1]['agvm/num_replicas'] == 4
    folder = tmp_path / 'work/epoch_2.pth'
    saved = load_whole(folder)
    assert saved['optimizer']['agvm']['updates'] == 4
    assert saved['optimizer']['agvm']['lr_scale']['neck'] != 1
    # The usual names of an unsharded model.
    assert 'backbone.patch_embed.projection.weight' in saved['state_dict']
    # In one process, which FSDP would refuse.
    main([
        str(config),
        str(folder), '--work-dir',
        str(tmp_path / 'test'),
        *options(digits, f'visualizer.name={tmp_path.name}')
    ])
    log, = (tmp_path / 'test').glob('*/*.log')
    assert 'coco/bbox_mAP' in log.read_text()
    assert 'Loads checkpoint by shards backend' in capsys.readouterr().out


def messages():
    """Each string of the package, with a dot for what is put into it."""
    for file in sorted((ROOT / 'agvm_mm').rglob('*.py')):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield ''.join(
                    str(part.value) if isinstance(part, ast.Constant) else '.'
                    for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(
                    node.value, str):
                yield node.value


def test_the_errors_that_it_quotes():
    text = (ROOT / 'docs' / PAGE).read_text()
    table = text[text.index('| the error says |'):]
    table = table[:table.index('\n\n')]
    quotes = [
        quote for row in table.splitlines()[2:]
        for quote in re.findall('`([^`]+)`', row.split('|')[2])
    ]
    assert len(quotes) >= 10
    said = list(messages())
    for quote in quotes:
        assert any(quote in message for message in said), quote


def test_what_it_says_of_the_largest():
    _, precision = blocks(PAGE, 'python')
    stated = Config.fromstring(precision, '.py').optim_wrapper
    cfg = Config.fromfile(LARGEST)
    assert {key: cfg.optim_wrapper[key] for key in stated} == dict(stated)
    lines = Config.fromstring(blocks(PAGE, 'python')[0], '.py')
    assert cfg.runner_type == lines.runner_type
    assert cfg.strategy == lines.strategy
    assert cfg.model.backbone.with_cp


def test_mmcvs_operators_know_no_bfloat16():
    """On GPUs too, by mmcv's sources; the bundled detectors state none."""
    features = torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match="not implemented for 'BFloat16'"):
        RoIAlign(2)(features, features.new_zeros(1, 5))
    stated = [
        path for path in (ROOT / 'configs').rglob('*.py')
        if 'bfloat16' in path.read_text()
    ]
    assert stated == []


def test_its_plan(monkeypatch, capsys):
    from plan import main
    monkeypatch.chdir(ROOT)
    main(command(PAGE, 'python tools/plan.py').split()[2:])
    assert '960 = 96 GPUs x 2 images x 5 micro-batches' in ' '.join(
        capsys.readouterr().out.split())


@pytest.mark.parametrize('name', ['AGVMFSDPStrategy', 'AGVMAmpOptimWrapper'])
def test_the_names_that_it_uses(name):
    assert name in ''.join(blocks(PAGE, 'python'))
    assert hasattr(agvm_mm, name)
