import json
import re

import pytest
from plan import main

from tests.commands import RETINANET, ROOT, run

DETECTOR = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
LARGEST = ('configs/faster_rcnn/'
           'faster-rcnn_r50_fpn_agvm-adamw_12e_bs1536_coco.py')
SEMANTIC = ('configs/semantic_fpn/'
            'semantic-fpn_r50_agvm-sgd_2500_bs2048_ade20k-512x512.py')
BEGIN = 'optim_wrapper.agvm.begin='


@pytest.fixture(name='plan')
def _plan(capsys, monkeypatch):
    """What plan.py prints, on one wide line for each of its own."""
    monkeypatch.setenv('COLUMNS', '200')

    def plan(*arguments):
        main([str(ROOT / LARGEST), *map(str, arguments)])
        return capsys.readouterr().out

    return plan


def test_plan(plan):
    output = plan('--gpus', 8)
    for line in ('1,536 = 8 GPUs x 16 images x 12 micro-batches',
                 '924 = 12 epochs x 77', '1,419,264', '0.0009798, AdamW',
                 '154 updates, from 9.798e-07', '9.798e-05 at update 616',
                 '768: 0.0006928 or 0.0004899',
                 'from update 254 on, measures one in 5: 134 times', '96',
                 "793 MiB: weights 159, gradients 158, DDP's copy of them 158",
                 '16 images of 800 x 1344: inputs 197 MiB; backbone and neck'):
        assert line in output, line
    assert 'agvm.begin=' not in output


def test_processes_that_do_not_divide_the_total(plan):
    output = plan('--gpus', 7)
    for line in ('1,536 = 3 GPUs x 220 images + 4 GPUs x 219 images, in 14 '
                 'micro-batches of 15 or 16', '924 = 12 epochs x 77',
                 '1,419,264', '98', '16 images of 800 x 1344'):
        assert line in output, line


def test_samples_that_are_found_at_the_start(plan):
    output = plan('--gpus', 8, '--samples-per-gpu', 'auto')
    for line in ('1,536 = 8 GPUs x 192 images x 1 micro-batch',
                 '924 = 12 epochs x 77', '0.0009798, AdamW', '793 MiB',
                 "max_samples_per_gpu='auto': what a GPU takes at once is "):
        assert line in output, line
    assert 'of a micro-batch' not in output


def test_begin(plan):
    output = plan('--gpus', 768, '--cfg-options', f'{BEGIN}1000')
    assert '1,536 = 768 GPUs x 2 images x 1 micro-batch' in output
    assert ('AGVM will do nothing: agvm.begin=1000, but agvm.end or the end '
            'of the training is 924.') in output
    output = plan('--gpus', 8, '--cfg-options', f'{BEGIN}500',
                  'optim_wrapper.agvm.end=400')
    assert ('AGVM will do nothing: agvm.begin=500, but agvm.end or the end '
            'of the training is 400.') in output
    output = plan('--gpus', 8, '--cfg-options', 'train_cfg.max_epochs=1')
    assert ('The warm-up of param_scheduler ends at update 155, and the run '
            'at 77, so') in output
    output = plan('--gpus', 8, '--cfg-options', f'{BEGIN}auto')
    assert ('from update 255 on (the end of the warm-up + 100), measures one '
            'in 5: 134 times') in output
    output = plan('--gpus', 8, '--cfg-options', f'{BEGIN}50')
    assert output.count('agvm.begin=50 lies inside of the warm-up') == 1
    assert re.search(r'ends at update 155: .* Set it to 255, or leave it out',
                     output, re.DOTALL)
    with pytest.raises(SystemExit, match='states no warm-up: set agvm'):
        plan('--gpus', 8, '--cfg-options', f'{BEGIN}auto', 'param_scheduler=')
    output = plan('--gpus', 8, '--cfg-options', f'{BEGIN}auto',
                  'optim_wrapper.agvm.end=0', 'param_scheduler=')
    assert re.search(r'AGVM +none', output)


@pytest.mark.parametrize(('options', 'line'), [
    ((), '2,500; an epoch of 20,210 images is 9.87 updates: 253 epochs in all'
     ),
    (('num_train_images=204800', ),
     'an epoch of 204,800 images is 100 updates: 25 epochs in all'),
    (('num_train_images=None', 'train_dataloader.dataset.data_root=nowhere'),
     '2,500; those of an epoch are not known: set num_train_images'),
])
def test_an_epoch_of_a_run_by_iteration(options, line, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    main([str(ROOT / SEMANTIC), '--gpus', '16', '--cfg-options',
          f'{BEGIN}225', *options])  # yapf: disable
    assert line in capsys.readouterr().out


@pytest.mark.parametrize(('option', 'message'), [
    ('ann_file=empty.json', r'plan\.py: train_dataloader\.dataset cannot be b'
     'uilt: JSONDecodeError'),
    ('pipeline.0.type=LoadImage', r'dataset\.pipeline\[0\] cannot be built: Ke'
     'yError'),
    ('test_mod=True', r'dataset cannot be built: TypeError.*test_mod'),
])
def test_data_that_cannot_be_read_are_one_line(option, message, tmp_path,
                                               monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty.json').touch()
    with pytest.raises(SystemExit, match=message):
        main([
            str(RETINANET), '--gpus', '2', '--cfg-options',
            'train_dataloader.dataset.data_root=',
            f'train_dataloader.dataset.{option}'
        ])


def test_an_impossible_number_of_gpus():
    output = run('python', 'tools/plan.py', LARGEST, '--gpus', 2000, status=1)
    # Of several lines the others are warnings of torch 2.4.
    assert output.splitlines()[-1] == (
        'plan.py: total_batch_size=1536 leaves some of 2000 processes without '
        'a sample: it must be 2000 or more; or train on 1536 processes or '
        'fewer')
    assert 'Traceback' not in output


def test_plan_reads_noise_scales(trained, tmp_path, plan):
    output = plan('--gpus', 8, '--samples-per-gpu', 3, '--from', trained[0])
    assert '8 GPUs x 3 images x 64 micro-batches' in output
    for module in ('backbone', 'neck', 'bbox_head'):
        assert re.search(fr'│ {module} +│ +(\d+|no signal)', output), module
    low, high = re.search(r'batches from ([\d,]+) .* to\s+([\d,]+) ',
                          output.replace('\n', ' ')).groups()
    assert 8 <= int(low.replace(',', '')) <= int(high.replace(',', ''))
    with pytest.raises(SystemExit, match=r'holds no \*/vis_data/scalars'):
        plan('--gpus', 8, '--from', tmp_path)


@pytest.mark.parametrize(('marker', 'why'), [
    ({}, 'never showed a signal above the noise'),
    ({'agvm/num_samples': 0}, 'of a kind whose samples AGVM cannot count'),
])
def test_why_a_run_has_no_noise_scale(marker, why, tmp_path, plan):
    log = tmp_path / '1' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    row = {'step': 1, 'loss': 1.0, 'agvm/variance/backbone': 0.5, **marker}
    log.write_text(json.dumps(row))
    with pytest.raises(SystemExit, match=why):
        plan('--gpus', 8, '--from', tmp_path)


@pytest.mark.parametrize('columns', ['', '60'])
def test_noise_scales_at_any_width(columns, tmp_path, capsys, monkeypatch):
    work_dir = tmp_path / 'runs [of a user] with a long name' / 'the second'
    log = work_dir / '1' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    row = {'step': 1, 'loss': 1.0}
    for module in ('backbone', 'decode_head.transformer_decoder', 'neck'):
        row[f'agvm/variance/{module}'] = 0.5
        row[f'agvm/noise_scale/{module}'] = 1536.0
    del row['agvm/noise_scale/neck']
    log.write_text(json.dumps(row))
    monkeypatch.setenv('COLUMNS', columns)
    main([str(ROOT / LARGEST), '--gpus', '8', '--from', str(work_dir)])
    output = capsys.readouterr().out
    rows = [re.sub(r' *│ *', '|', line) for line in output.splitlines()]
    assert '|backbone|1,536|50%|' in rows
    assert max(map(len, output.splitlines())) <= int(columns or 1000)
    if not columns:
        assert (f'noise scales of {work_dir}, medians of its second half'
                in output.splitlines())
        assert '|decode_head.transformer_decoder|1,536|50%|' in rows
        assert '|neck|no signal above the noise||' in rows
    assert '…' not in output


def test_piped_lines_are_whole():
    """In a process of its own, whose output is no terminal."""
    output = run('python', ROOT / 'tools/plan.py', DETECTOR, '--gpus', 8,
                 '--cfg-options', 'total_batch_size=512',
                 'num_train_images=117266', COLUMNS='')
    assert re.search(r'total batch +512 = 8 GPUs x 2 images x 32 ', output)
    assert re.search(r'other batches .*\(square-root or linear rule', output)
