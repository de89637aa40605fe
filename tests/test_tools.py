"""The command lines, run as a user runs them: real processes throughout."""
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import mmdet
import mmseg
import pytest
import torch

ROOT = Path(__file__).parent.parent
RETINANET = ROOT / 'configs/digits/retinanet_r18_fpn_agvm_digits.py'
FASTER = ROOT / 'configs/digits/faster-rcnn_r18_fpn_agvm_digits.py'
SEMANTIC = ROOT / 'configs/digits/semantic-fpn_r18_agvm_digits.py'


def run(*command, cwd=ROOT, status=0, **env):
    """Run a command; return its output, or fail unless it ends as it should"""
    # The tools call the 'python' of the environment that runs the tests.
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    result = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env=dict(os.environ, PATH=path, **env))
    assert (result.returncode == 0) == (status == 0), result.stdout[-4000:]
    return result.stdout


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


def options(digits, *more):
    """Settings that make a Digits config small: 4 updates an epoch."""
    settings = [
        f'{loader}_dataloader.dataset.data_root={digits}'
        for loader in ('train', 'val', 'test')
    ]
    settings += [
        f'{e}_evaluator.ann_file={digits}annotations/instances_val.json'
        for e in ('val', 'test')
    ]
    settings += [
        'train_dataloader.batch_size=2', 'optim_wrapper.agvm.begin=1',
        'optim_wrapper.agvm.interval=2', 'default_hooks.logger.interval=1',
        'default_hooks.checkpoint.interval=1'
    ]
    return ['--cfg-options', *settings, *more]


def train_two_processes(config, work_dir, epochs, digits, *arguments):
    return run(
        'bash',
        'tools/dist_train.sh',
        config,
        2,
        '--work-dir',
        work_dir,
        *arguments,
        *options(digits, f'train_cfg.max_epochs={epochs}',
                 'train_cfg.val_interval=10'),
        PORT=free_port())


@pytest.fixture(scope='module', name='trained')
def _trained(digits, tmp_path_factory):
    """Work dir of a RetinaNet, two epochs over two processes, and its log."""
    work_dir = tmp_path_factory.mktemp('work_dirs') / 'whole'
    return work_dir, train_two_processes(RETINANET, work_dir, 2, digits)


def scalars(work_dir):
    rows = []
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows += map(json.loads, log.read_text().splitlines())
    return [row for row in rows if 'loss' in row]


def test_training_logs_every_module(trained):
    work_dir, output = trained
    rows = scalars(work_dir)
    assert [row['step'] for row in rows] == list(range(1, 9))
    # Measured before the updates 1, 3, 5 and 7; until then nothing is logged.
    assert 'agvm/variance/backbone' not in rows[0]
    for module in ('backbone', 'neck', 'bbox_head'):
        for quantity in ('variance', 'lr_scale'):
            assert f'agvm/{quantity}/{module}' in rows[1]
            assert f'agvm/{quantity}/{module}: ' in output
        # Off the measured updates the last values stand.
        key = f'agvm/lr_scale/{module}'
        assert [row[key] for row in rows[1::2]
                ] == [row[key] for row in rows[2::2]] + [rows[-1][key]]
    assert rows[-1]['agvm/num_replicas'] == 2
    assert rows[-1]['agvm/lr_scale/neck'] != 1


def test_resume_gives_the_bits_of_the_uninterrupted_run(
        trained, digits, tmp_path):
    # RetinaNet draws no random numbers, and MMEngine saves no generator.
    train_two_processes(RETINANET, tmp_path, 1, digits)
    output = train_two_processes(RETINANET, tmp_path, 2, digits, '--resume')
    assert 'resumed epoch: 1, iter: 4' in output
    whole, cut = (
        torch.load(folder / 'epoch_2.pth', weights_only=True)
        for folder in (trained[0], tmp_path))
    assert cut['optimizer']['agvm'] == whole['optimizer']['agvm']
    assert set(cut['optimizer']['agvm']['lr_scale']) == {
        'backbone', 'neck', 'bbox_head'
    }
    for name, tensor in whole['state_dict'].items():
        assert torch.equal(tensor, cut['state_dict'][name]), name


def test_test_tools(trained, digits, tmp_path):
    checkpoint = trained[0] / 'epoch_2.pth'
    out = tmp_path / 'predictions.pkl'
    output = run('python', 'tools/test.py', RETINANET, checkpoint,
                 '--work-dir', tmp_path, '--out', out, *options(digits))
    assert 'Epoch(test) [1/1]' in output
    assert out.stat().st_size > 0
    output = run(
        'bash',
        'tools/dist_test.sh',
        RETINANET,
        checkpoint,
        2,
        '--work-dir',
        tmp_path,
        *options(digits),
        PORT=free_port())
    assert 'Epoch(test) [1/1]' in output


def test_plot(trained, tmp_path):
    out = tmp_path / 'agvm.png'
    run('python', 'tools/plot_variance.py', trained[0], '--out', out)
    image = cv2.imread(str(out))
    assert image.shape[0] > 600
    assert image.shape[1] > 600
    assert image.std() > 10  # not a blank page
    run('python', 'tools/plot_variance.py', trained[0])
    assert (trained[0] / 'agvm.png').is_file()
    output = run('python', 'tools/plot_variance.py', tmp_path, status=1)
    assert 'holds no */vis_data/scalars.json' in output
    assert 'Traceback' not in output


def own_train_tool(package):
    return Path(package.__file__).parent / '.mim/tools/train.py'


def test_mmdets_own_train_tool(digits, tmp_path):
    run('python',
        own_train_tool(mmdet),
        FASTER,
        '--work-dir',
        tmp_path,
        *options(digits, 'optim_wrapper.accumulative_counts=2',
                 'train_cfg.max_epochs=1'),
        cwd=tmp_path)
    rows = scalars(tmp_path)
    assert len(rows) == 8
    assert rows[-1]['agvm/num_replicas'] == 2
    assert rows[-1]['agvm/lr_scale/roi_head.bbox_head'] != 1


def test_mmsegs_own_train_tool(digits, tmp_path):
    settings = [
        o for o in options(digits, 'optim_wrapper.accumulative_counts=2',
                           'train_cfg.max_iters=8', 'train_cfg.val_interval=8')
        if 'ann_file' not in o
    ]
    output = run(
        'python',
        own_train_tool(mmseg),
        SEMANTIC,
        '--work-dir',
        tmp_path,
        *settings,
        cwd=tmp_path)
    rows = scalars(tmp_path)
    assert len(rows) == 8
    assert rows[-1]['agvm/num_replicas'] == 2
    assert rows[-1]['agvm/lr_scale/decode_head'] != 1
    assert re.search('mIoU: [0-9.]+', output)


def test_the_total_batch_is_kept_by_accumulation(digits, tmp_path):
    """One process of 8 micro-batches, and two of 4, are the same training."""
    settings = [
        o for o in
        options(digits, 'train_cfg.max_epochs=4', 'train_cfg.val_interval=10',
                'default_hooks.checkpoint.interval=4') if 'batch_size' not in o
    ]
    for processes in (1, 2):
        run('bash',
            'tools/dist_train.sh',
            RETINANET,
            processes,
            '--samples-per-gpu',
            2,
            '--work-dir',
            tmp_path / str(processes),
            *settings,
            PORT=free_port())
    alone, shared = (scalars(tmp_path / name) for name in '12')
    # 16 images are one update, and one log line, of 8 replicas.
    assert [row['step'] for row in alone] == [8, 16, 24, 32]
    assert [row['step'] for row in shared] == [4, 8, 12, 16]
    for ours, theirs in zip(alone, shared):
        assert ours['lr'] == theirs['lr']
    assert alone[-1]['agvm/num_replicas'] == 8
    for key in alone[-1]:
        if key.startswith('agvm/'):
            assert shared[-1][key] == pytest.approx(alone[-1][key], rel=1e-3)
    one, two = (
        torch.load(tmp_path / name / 'epoch_4.pth', weights_only=True)
        for name in '12')
    for name, tensor in one['state_dict'].items():
        if 'running_' not in name and 'num_batches' not in name:
            torch.testing.assert_close(
                tensor, two['state_dict'][name], rtol=1e-4, atol=1e-6)


# The detector of 1e9 parameters, made small, on Digits. MMEngine ties mixed
# precision to a GPU, so here the wrapper without it stands in.
SMALL_1B = """
_base_ = '{root}/configs/cascade_mask_rcnn/{name}'
head = dict(fc_out_channels=32)
_base_.model.roi_head.bbox_head = [
    dict(h, **head) for h in _base_.model.roi_head.bbox_head]
model = dict(
    backbone=dict(
        embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8]),
    neck=dict(in_channels=[16, 32, 64, 128]),
    roi_head=dict(bbox_head=_base_.model.roi_head.bbox_head))
_base_.optim_wrapper.pop('dtype')
_base_.optim_wrapper.pop('use_fsdp')
optim_wrapper = dict(
    type='AGVMOptimWrapper', agvm=dict(begin=1, interval=1))
train_cfg = dict(max_iters=3)
total_batch_size = 8
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=3))
train_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root='{digits}', ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=[str(d) for d in range(10)]),
        filter_cfg=dict(min_size=1)))
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
"""


def test_the_largest_detector_trains_in_shards(digits, tmp_path):
    """FSDP over two processes, two micro-batches each, then a resume."""
    config = tmp_path / 'small.py'
    config.write_text(
        SMALL_1B.format(
            root=ROOT,
            digits=digits,
            name='cascade-mask-rcnn_swin-1b_fpn_agvm-adamw_1349_bs960_coco.py')
    )
    for updates, more in ((3, []), (4, ['--resume'])):
        run('bash',
            'tools/dist_train.sh',
            config,
            2,
            '--work-dir',
            tmp_path / 'work',
            *more,
            '--cfg-options',
            f'train_cfg.max_iters={updates}',
            'train_dataloader.dataset.pipeline.2.scale=(64,64)',
            PORT=free_port())
    rows = scalars(tmp_path / 'work')
    assert [row['step'] for row in rows] == [2, 4, 6, 8]
    assert rows[-1]['agvm/num_replicas'] == 4
    for module in ('backbone', 'neck', 'rpn_head', 'roi_head.bbox_head',
                   'roi_head.mask_head'):
        assert 0 < rows[-1][f'agvm/variance/{module}'] <= 2
    saved = torch.load(tmp_path / 'work/iter_6.pth', weights_only=True)
    assert saved['optimizer']['agvm']['lr_scale']['neck'] != 1


def test_a_split_by_hand_is_left_alone(digits, tmp_path):
    output = run(
        'python', 'tools/train.py', SEMANTIC, '--work-dir', tmp_path,
        *(o
          for o in options(digits, 'optim_wrapper.accumulative_counts=2',
                           'train_cfg.max_iters=2', 'train_cfg.val_interval=8')
          if 'ann_file' not in o))
    assert len(scalars(tmp_path)) == 2
    assert 'The config states total_batch_size=16, but 4 runs' in output


@pytest.mark.parametrize(('setting', 'arguments', 'message'), [
    ('total_batch_size=0', [], 'total_batch_size=0 must be'),
    ('total_batch_size=16', ['--samples-per-gpu', 0
                             ], 'max_samples_per_gpu=0 must be'),
    ('total_batch_size=16', ['--launcher', 'slurm'],
     '--launcher slurm expects SLURM_NTASKS in the environment'),
])
def test_impossible_batches_stop_before_training(setting, arguments, message,
                                                 digits, tmp_path):
    output = run(
        'python',
        'tools/train.py',
        RETINANET,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        f'train_dataloader.dataset.data_root={digits}',
        setting,
        *arguments,
        status=1)
    assert output.splitlines()[-1].startswith(f'train.py: {message}')
    assert 'Traceback' not in output


def test_two_nodes(digits, tmp_path):
    """Two agents of torchrun on this machine, each as if on its own."""
    settings = options(digits, 'train_cfg.max_epochs=1',
                       'train_cfg.val_interval=10')
    port = free_port()
    with ThreadPoolExecutor() as pool:
        outputs = list(
            pool.map(
                lambda rank: run(
                    'bash',
                    'tools/dist_train.sh',
                    RETINANET,
                    1,
                    '--work-dir',
                    tmp_path,
                    *settings,
                    NNODES='2',
                    NODE_RANK=str(rank),
                    MASTER_ADDR='127.0.0.1',
                    OMP_NUM_THREADS='1',
                    PORT=port), range(2)))
    # The first rank alone logs.
    assert sorted('Epoch(train)' in output for output in outputs) == [0, 1]
    rows = scalars(tmp_path)
    assert len(rows) == 4
    assert rows[-1]['agvm/num_replicas'] == 2


# Stands in for Slurm, which needs its daemons: as srun, it starts each task
# with what Slurm tells it, and as scontrol it names the hosts of the job.
SLURM = """\
#!/usr/bin/env python
import os, subprocess, sys
if os.path.basename(sys.argv[0]) == 'scontrol':
    sys.exit(print('127.0.0.1'))
options = dict(a.split('=') for a in sys.argv if a.startswith('--n'))
command = sys.argv[sys.argv.index('python'):]
print('srun', *sys.argv[1:sys.argv.index('python')])
count = options['--ntasks']
tasks = [subprocess.Popen(command, env=dict(
    os.environ, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank),
    SLURM_NTASKS=count, SLURM_STEP_NUM_TASKS=count, SLURM_NODELIST='node',
    SLURM_STEP_NODELIST='node')) for rank in range(int(count))]
sys.exit(max(task.wait() for task in tasks))
"""


def test_slurm(digits, tmp_path):
    for name in ('srun', 'scontrol'):
        (tmp_path / name).write_text(SLURM)
        (tmp_path / name).chmod(0o755)
    output = run(
        'bash',
        '-c',
        f'PATH={tmp_path}:$PATH; exec bash tools/slurm_train.sh "$@"',
        '-',
        'gpus',
        'job',
        RETINANET,
        tmp_path / 'work',
        *options(digits, 'train_cfg.max_epochs=1',
                 'train_cfg.val_interval=10'),
        GPUS='2',
        GPUS_PER_NODE='2',
        SRUN_ARGS='--nice=5',
        PORT=free_port())
    assert ('srun -p gpus --job-name=job --gres=gpu:2 --ntasks=2 '
            '--ntasks-per-node=2 --cpus-per-task=5 --kill-on-bad-exit=1 '
            '--nice=5') in output
    rows = scalars(tmp_path / 'work')
    assert len(rows) == 4
    assert rows[-1]['agvm/num_replicas'] == 2


LARGEST = ('configs/faster_rcnn/'
           'faster-rcnn_r50_fpn_agvm-adamw_12e_bs1536_coco.py')


def test_plan():
    output = run('python', 'tools/plan.py', LARGEST, '--gpus', 8)
    for line in ('1,536 = 8 GPUs x 16 images x 12 micro-batches',
                 '924 = 12 epochs x 77', '1,419,264', '0.0009798, AdamW',
                 '154 updates, from 9.798e-07', '9.798e-05 at update 616',
                 '768: 0.0006928 or 0.0004899',
                 'from update 254 on, measures one in 5: 134 times', '96'):
        assert line in output, line
    output = run('python', 'tools/plan.py', LARGEST, '--gpus', 768,
                 '--cfg-options', 'optim_wrapper.agvm.begin=1000')
    assert '1,536 = 768 GPUs x 2 images x 1 micro-batch' in output
    assert 'AGVM will do nothing: agvm.begin=1000' in output
    output = run('python', 'tools/plan.py', LARGEST, '--gpus', 7, status=1)
    assert output == (
        'plan.py: total_batch_size=1536 does not split evenly over 7 '
        'processes. The nearest possible total_batch_size is 1533 or 1540; or '
        'train on 6 or 8 processes\n')


def test_plan_reads_noise_scales(trained, tmp_path):
    output = run('python', 'tools/plan.py', LARGEST, '--gpus', 8,
                 '--samples-per-gpu', 3, '--from', trained[0])
    assert '8 GPUs x 3 images x 64 micro-batches' in output
    for module in ('backbone', 'neck', 'bbox_head'):
        assert re.search(fr'│ {module} +│ +(\d+|no signal)', output), module
    low, high = re.search(r'batches from ([\d,]+) .* to\s+([\d,]+) ',
                          output.replace('\n', ' ')).groups()
    assert 8 <= int(low.replace(',', '')) <= int(high.replace(',', ''))
    output = run(
        'python',
        'tools/plan.py',
        LARGEST,
        '--gpus',
        8,
        '--from',
        tmp_path,
        status=1)
    assert 'holds no */vis_data/scalars.json' in output
    assert 'Traceback' not in output


def test_the_table_of_configs_is_up_to_date():
    run('python', 'tools/config_table.py', '--check')


def test_show_partition():
    output = run('python', 'tools/show_partition.py',
                 'configs/digits/mask-rcnn_r18_fpn_agvm_digits.py')
    rows = dict(
        re.findall(r'│ (\S+).*? │\s+(\d+) │\s+[\d,]+ │\s+[\d.]+% │', output))
    assert rows['roi_head.mask_head'] == '8'
    assert set(rows) >= {'backbone', 'neck', 'rpn_head', 'frozen,', 'all'}
    frozen = run('python', 'tools/show_partition.py',
                 'configs/digits/faster-rcnn_r18_fpn_agvm_digits.py',
                 '--cfg-options', 'model.backbone.frozen_stages=1')
    assert re.search(r'frozen, not stepped │\s+15 │', frozen)
    output = run(
        'python',
        'tools/show_partition.py',
        RETINANET,
        '--cfg-options',
        'optim_wrapper.agvm.anchor=bakbone',
        status=1)
    assert "agvm.anchor='bakbone'" in output
    assert 'Traceback' not in output


def test_make_digits(tmp_path):
    command = ('python', 'tools/make_digits.py', tmp_path / 'digits',
               '--images', 3, '--val-images', 2, '--size', 32, '--seed', 1)
    assert '3 training, 2 validation and 0 test' in run(*command)
    run(*command)
    output = run('python', 'tools/make_digits.py', tmp_path, status=1)
    assert 'exists and holds no Digits' in output
    assert 'Traceback' not in output


@pytest.mark.parametrize('tool', ['setup.sh', 'run_tests.sh'])
@pytest.mark.parametrize('arguments', [['--stack', 'mine'], ['--stack']])
def test_an_unknown_stack(tool, arguments):
    output = run('bash', f'tools/{tool}', *arguments, status=1)
    assert 'unknown arguments: --stack' in output
    assert 'allowed: --stack onedl' in output


@pytest.mark.skipif(
    not (ROOT / '.venv/.stamp').is_file(),
    reason='tools/setup.sh has not run here, and the demo would run it')
def test_a_short_demo(tmp_path):
    output = run(
        'bash',
        ROOT / 'tools/demo.sh',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1',
        'train_dataloader.dataset.indices=64',
        'val_dataloader.dataset.indices=16',
        'optim_wrapper.agvm.begin=0',
        'optim_wrapper.agvm.interval=1',
        'default_hooks.logger.interval=1',
        cwd=tmp_path,
        WORK_DIR=str(tmp_path))
    assert re.search(r'\[demo\] coco/bbox_mAP: [0-9.]+', output)
    assert (tmp_path / 'agvm.png').stat().st_size > 10000
    assert scalars(tmp_path)[-1]['agvm/num_replicas'] == 2


@pytest.mark.parametrize(('setting', 'message'), [
    ('optim_wrapper.accumulative_counts=1', 'accumulative_counts=1 has a'),
    ('optim_wrapper.agvm.anchor=bakbone', "agvm.anchor='bakbone'"),
    ('optim_wrapper.constructor=DefaultOptimWrapperConstructor',
     "set constructor='AGVMOptimWrapperConstructor'"),
    ('optim_wrapper.agvm.ratio_range=(2,1)', 'agvm.ratio_range=(2, 1)'),
])
def test_bad_settings_stop_before_the_first_iteration(setting, message, digits,
                                                      tmp_path):
    output = run(
        'python',
        'tools/train.py',
        RETINANET,
        '--work-dir',
        tmp_path,
        *options(digits, setting),
        status=1)
    errors = [
        line for line in output.splitlines() if line.startswith('ValueError')
    ]
    assert len(errors) == 1
    assert message in errors[0]
    assert 'Epoch(train)' not in output


def test_missing_data_says_how_to_make_it(tmp_path):
    output = run(
        'python',
        ROOT / 'tools/train.py',
        RETINANET,
        '--work-dir',
        tmp_path,
        cwd=tmp_path,
        status=1)
    assert 'python tools/make_digits.py data/digits/' in output


@pytest.mark.parametrize(
    'tool',
    ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_launchers_tell_their_usage(tool):
    assert 'usage: ' in run('bash', f'tools/{tool}', status=2)
