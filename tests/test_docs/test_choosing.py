"""The numbers and commands of docs/choosing.md."""
import ast
import json
import re
import shlex

import pytest
from mmengine.config import Config
from plan import main as plan  # tools/plan.py

from agvm_mm.large_batch import linear_lr, square_root_lr
from agvm_mm.large_batch.plan import updates_per_epoch
from tests.commands import ROOT
from tests.test_docs.pages import blocks, command

PAGE = 'choosing.md'
COCO = 117266
TEXT = (ROOT / 'docs' / PAGE).read_text()
FLAT = ' '.join(TEXT.split())


def table(heading):
    """The rows of the table under a heading, as numbers."""
    section = TEXT.split(f'\n## {heading}\n')[1].split('\n## ')[0]
    rows = re.findall(r'^\| (\d.*) \|$', section, re.M)
    return [[float(cell.replace(',', '')) for cell in row.split('|')]
            for row in rows]


ROWS = {int(row[1]): row for row in table('A table to start from')}


@pytest.mark.parametrize('batch', ROWS)
def test_the_table_follows_the_rules(batch):
    gpus, _, updates, sgd, adamw, warm_up, begin = ROWS[batch]
    epoch = updates_per_epoch(COCO, batch)
    assert batch == 16 * gpus
    assert updates == 12 * epoch
    straight = linear_lr(0.02, 16, min(batch, 128))
    assert sgd == rounded(square_root_lr(straight, min(batch, 128), batch))
    assert adamw == rounded(square_root_lr(1e-4, 16, batch))
    assert warm_up == (500 if batch <= 128 else 2 * epoch)
    assert begin == warm_up + 100


def rounded(rate):
    return float(f'{rate:.4g}')


@pytest.mark.parametrize('batch', [256, 512, 1024])
def test_the_table_agrees_with_the_bundled_configs(batch):
    _, _, updates, sgd, adamw, _, begin = ROWS[batch]
    for folder, name, rate in (
        ('mask_rcnn', 'mask-rcnn_r50_fpn_agvm-sgd_14e', sgd),
        ('faster_rcnn', 'faster-rcnn_r50_fpn_agvm-adamw_12e', adamw),
    ):
        cfg = Config.fromfile(ROOT / 'configs' / folder /
                              f'{name}_bs{batch}_coco.py')
        assert rounded(cfg.optim_wrapper.optimizer.lr) == rate
        assert abs(cfg.optim_wrapper.agvm.begin - begin) <= 2
    assert cfg.train_cfg.max_epochs * updates_per_epoch(COCO, batch) == updates


def test_the_rules_give_what_the_page_says():
    rules = dict(linear_lr=linear_lr, square_root_lr=square_root_lr)
    said = re.findall(r'^(\w+_lr)(\(.*\)) +# (\S+)$',
                      '\n'.join(blocks(PAGE, 'python')), re.M)
    assert len(said) == 3
    for rule, arguments, value in said:
        rate = rules[rule](*ast.literal_eval(arguments))
        assert rounded(rate) == float(value)


MODULES = re.findall(r'^([\w.]+) +(\d+) +(\d+)%$',
                     '\n'.join(blocks(PAGE, 'text')), re.M)


def test_the_worked_example(tmp_path, monkeypatch, capsys):
    """A log of the page's noise scales gives the rest of what it shows."""
    log = tmp_path / 'run' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    row = dict(loss=1.0, step=1)
    for module, scale, _ in MODULES:
        row[f'agvm/noise_scale/{module}'] = float(scale)
        row[f'agvm/variance/{module}'] = 1.0
        row[f'agvm/lr_scale/{module}'] = 1.0
    log.write_text(json.dumps(row))
    line = command(PAGE, 'python tools/plan.py .* --from ')
    words = shlex.split(line.replace('work_dirs/', f'{tmp_path}/work_dirs/'))
    words[-1] = str(tmp_path)
    monkeypatch.chdir(ROOT)
    plan([*words[2:], '--cfg-options', 'num_train_images=1024'])
    output = capsys.readouterr().out
    assert len(MODULES) == 4
    for module, scale, progress in MODULES:
        assert re.search(rf'{re.escape(module)}\W+{scale}\W+{progress}%',
                         output)
    for verdict in blocks(PAGE, 'text')[0].splitlines()[-2:]:
        assert verdict in ' '.join(output.split())


def test_the_arithmetic_of_the_choice(monkeypatch, capsys):
    backbone = int(MODULES[0][1])
    assert '55% of the progress' in FLAT
    assert round(100 / (1 + backbone / 64)) == 55
    more = (1 + 64 / backbone) / (1 + 16 / backbone)
    assert f'{more:.1f} times the images' in FLAT
    assert f'about {4 / more:.1f} times as fast' in FLAT
    line = command(PAGE, 'python tools/plan.py .* total_batch_size=64 ')
    monkeypatch.chdir(ROOT)
    plan([*shlex.split(line)[2:], 'num_train_images=1024'])
    output = capsys.readouterr().out
    assert re.search(r'total batch +64 = 8 ', output)
    assert re.search(r'updates +224 = 14 epochs x 16', output)
    assert 'from update 32' in output
    assert 'lies inside' not in output


def test_the_config_of_another_batch(monkeypatch, capsys):
    """As the page shows it, and as its table says."""
    line = command(PAGE, 'python tools/plan.py .* --at ')
    monkeypatch.chdir(ROOT)
    plan(shlex.split(line)[2:])
    output = capsys.readouterr().out
    assert output.strip() in [b.strip() for b in blocks(PAGE, 'python')]
    ladder = Config.fromfile(ROOT / shlex.split(line)[2].replace(
        'bs256', 'bs1024'))
    assert f'begin={ladder.optim_wrapper.agvm.begin}' in output
    assert f'lr={ladder.optim_wrapper.optimizer.lr:.10g}' in output
