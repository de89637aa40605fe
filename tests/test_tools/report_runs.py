"""Work dirs as a training leaves them, made up."""
import json

CONFIG = """
total_batch_size = 8
train_dataloader = dict(batch_size=2)
train_cfg = dict(max_epochs=10)
optim_wrapper = dict(
    type='AGVMOptimWrapper', accumulative_counts=2,
    optimizer=dict(type='SGD', lr=0.1),
    agvm=dict(begin=4, interval=2))
default_hooks = dict(logger=dict(type='LoggerHook'))
"""
BASELINE = CONFIG.replace("'AGVMOptimWrapper'", "'OptimWrapper'").replace(
    '    agvm=dict(begin=4, interval=2))', ')')
MACHINE = """
Runtime environment:
    PyTorch: 2.13.0+cpu
    MMEngine: 0.10.7
    seed: 3
    GPU number: 2
"""
MODULES = dict(backbone=1.0, neck=1.5, bbox_head=2.0)
EPOCH = 10  # iterations, of 5 updates


def training(first, last, scale=1.0, agvm=True):
    """JSON rows of updates, by their numbers, with a validation an epoch."""
    rows = []
    for update in range(first, last + 1):
        row = dict(
            lr=0.1 if update < 40 else 0.01,
            data_time=0.05,
            loss=4 / update,
            time=0.5,
            step=2 * update)
        if agvm and update > 4:
            row['agvm/skipped'] = 0
            row['agvm/num_replicas'] = 4
            for module, factor in MODULES.items():
                row[f'agvm/variance/{module}'] = 0.9 / factor**2
                row[f'agvm/lr_scale/{module}'] = factor**scale
                row[f'agvm/noise_scale/{module}'] = 12 / factor
        rows.append(row)
        if update % 5 == 0:
            rows.append({
                'coco/bbox_mAP': update / 100,
                'coco/bbox_mAP_50': update / 50,
                'data_time': 0.1,
                'time': 0.2,
                'step': update // 5
            })
    return rows


def told(minute, text, level='INFO'):
    """A line of a text log, at 9 o'clock."""
    return f'2026/11/29 09:{minute:02d}:00 - mmengine - {level} - {text}'


def lines(first, last):
    """The training lines of a text log."""
    return [
        told(
            update % 60, f'Epoch(train)  [{(2 * update - 1) // EPOCH + 1}]'
            f'[{(2 * update - 1) % EPOCH + 1:>2}/{EPOCH}]  lr: 1.0000e-01  '
            f'loss: {4 / update:.4f}') for update in range(first, last + 1)
    ]


def write_process(work_dir, name, rows, text=(), config=CONFIG):
    """What one process leaves behind: a folder with both of its logs."""
    folder = work_dir / name
    (folder / 'vis_data').mkdir(parents=True)
    if config is not None:
        (folder / 'vis_data/config.py').write_text(config)
    (folder / 'vis_data/scalars.json').write_text(''.join(
        json.dumps(row) + '\n' for row in rows))
    if text:
        (folder / f'{name}.log').write_text('\n'.join(
            [told(0, MACHINE), *text]))
    return work_dir


def write_run(work_dir, **options):
    """A run of 50 updates that was preempted and killed on its way."""
    config = options.pop('config', CONFIG)
    stopped = ('SIGTERM: stopped after iteration 40 of 100, which is saved; '
               '--resume goes on from there (exit code 75)')
    write_process(work_dir, '20261129_090000', training(1, 20, **options),
                  [*lines(1, 20), told(20, stopped, 'WARNING')], config)
    write_process(work_dir, '20261129_092000', training(21, 33, **options),
                  [told(20, 'resumed epoch: 4, iter: 40'), *lines(21, 33)],
                  config)
    return write_process(
        work_dir, '20261129_093000', training(31, 50, **options),
        [told(30, 'resumed epoch: 6, iter: 60'), *lines(31, 50)], config)
