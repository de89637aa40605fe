"""The walk of docs/getting-started.md, on a data set of three classes."""
import json
import re
import shlex
import sys

import cv2
import numpy as np
import plan
import plot_variance
import pytest
import show_partition
import test as test_tool  # tools/test.py
import train
from command_line.configs import load_config
from command_line.preflight import check_wrapper
from mmengine.config import Config
from mmengine.registry import init_default_scope
from partitions.models import build_on_meta
from plans.agvm import agvm_options, measured_updates

from agvm_mm.datasets import write_digits
from agvm_mm.large_batch import resolve, square_root_lr
from agvm_mm.large_batch.plan import make_plan
from tests.commands import ROOT, free_port, run, scalars
from tests.test_docs.pages import blocks, command

PAGE = 'getting-started.md'
TEXT = (ROOT / 'docs' / PAGE).read_text()
CONFIGS = {text.split('\n')[0]: text for text in blocks(PAGE, 'python')}
TOOLS = {
    'tools/plan.py': plan,
    'tools/show_partition.py': show_partition,
    'tools/plot_variance.py': plot_variance,
    'tools/train.py': train,
    'tools/test.py': test_tool,
}
# What a CPU needs in seconds: a smaller model, images of 64 pixels.
SMALL = [
    *(f'{loader}_dataloader.{setting}' for loader in ('train', 'val', 'test')
      for setting in ('num_workers=0', 'persistent_workers=False')),
    'total_batch_size=4',
    'train_dataloader.batch_size=2',
    'optim_wrapper.agvm.begin=1',
    'optim_wrapper.agvm.interval=1',
    'default_hooks.logger.interval=1',
    'model.backbone.init_cfg=None',
]
DETECTOR = [
    *SMALL,
    'model.backbone.depth=18',
    'model.backbone.base_channels=8',
    'model.neck.in_channels=[8,16,32,64]',
    'model.neck.out_channels=16',
    'model.rpn_head.in_channels=16',
    'model.rpn_head.feat_channels=16',
    'model.roi_head.bbox_roi_extractor.out_channels=16',
    'model.roi_head.bbox_head.in_channels=16',
    'model.roi_head.bbox_head.fc_out_channels=32',
    'model.train_cfg.rpn_proposal.nms_pre=100',
    'model.train_cfg.rcnn.sampler.num=32',
    'model.test_cfg.rpn.nms_pre=100',
    'train_dataloader.dataset.pipeline.2.scale=(64,64)',
    'val_dataloader.dataset.pipeline.1.scale=(64,64)',
    'test_dataloader.dataset.pipeline.1.scale=(64,64)',
    'model.test_cfg.rpn.max_per_img=50',
]
SEGMENTOR = [
    *SMALL,
    'model.backbone.embed_dims=8',
    'model.decode_head.in_channels=[8,16,40,64]',
    'model.decode_head.channels=32',
    'model.data_preprocessor.size=(64,64)',
    'train_dataloader.dataset.pipeline.2.scale=(64,64)',
    'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
    'val_dataloader.dataset.pipeline.1.scale=(64,64)',
    'train_cfg.val_interval=100',
    'default_hooks.checkpoint.interval=2',
]


def own_data(root, classes):
    """Digits 0, 1 and 2 as three classes, in the layout of the page."""
    write_digits(root, num_train=16, num_val=2, size=64)
    for split in ('train', 'val'):
        path = root / 'annotations' / f'instances_{split}.json'
        coco = json.loads(path.read_text())
        coco['annotations'] = [
            a for a in coco['annotations'] if a['category_id'] <= 3
        ]
        coco['categories'] = [
            dict(c, name=name) for c, name in zip(coco['categories'], classes)
        ]
        (root / 'annotations' / f'{split}.json').write_text(json.dumps(coco))
        own_masks(root, split)


def own_masks(root, split):
    """The two photographs and the digits; 255 where none is labelled."""
    for kind in ('images', 'masks'):
        (root / kind / split).mkdir(parents=True)
    for path in (root / split).glob('*.png'):
        cv2.imwrite(
            str(root / 'images' / split / f'{path.stem}.jpg'),
            cv2.imread(str(path)))
        labels = cv2.imread(str(root / 'semantic' / split / path.name), 0)
        mask = np.full_like(labels, 255)
        mask[labels == 11], mask[labels == 12] = 0, 1
        mask[(labels >= 1) & (labels <= 10)] = 2
        cv2.imwrite(str(root / 'masks' / split / path.name), mask)


def statement(text, name):
    """The statement of a config that sets a name, whole."""
    return re.search(rf'^{name} = .*?(?=^\S|\Z)', text, re.M | re.S).group()


@pytest.fixture(scope='module', name='folder')
def _folder(tmp_path_factory):
    """A folder with the page's configs, its data and the tools."""
    folder = tmp_path_factory.mktemp('walk')
    (folder / 'tools').symlink_to(ROOT / 'tools')
    for head, text in CONFIGS.items():
        name = re.match(r'# (my_\w+\.py)$', head)
        if name:
            (folder / name.group(1)).write_text(text)
    detector = CONFIGS['# my_detector.py']
    for head, name in (('# in my_swin.py', 'my_swin.py'),
                       ('# another optimizer', 'my_sgd.py')):
        changed = detector
        for what in ('_base_', 'model', 'optim_wrapper'):
            if f'\n{what} = ' in CONFIGS[head]:
                changed = changed.replace(
                    statement(detector, what), statement(CONFIGS[head], what))
        (folder / name).write_text(changed)
    classes = Config.fromfile(folder / 'my_detector.py').metainfo.classes
    own_data(folder / 'data' / 'mine', classes)
    return folder


@pytest.fixture(name='here')
def _here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name in ('LOCAL_RANK', 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'):
        monkeypatch.setenv(name, '0')
    return folder


@pytest.fixture(name='call')
def _call(here, monkeypatch, capsys, request):
    """Runs a 'python tools/...' line of the page in this process."""

    def call(start, *settings, **words):
        line = command(PAGE, start)
        for word, value in words.items():
            assert word in line
            line = line.replace(word, value)
        _, tool, *arguments = shlex.split(line)
        if settings and '--cfg-options' not in arguments:
            arguments.append('--cfg-options')
        arguments += settings
        if TOOLS[tool] in (train, test_tool):
            # Two runners of a process would share it.
            name = f'visualizer.name={request.node.name}{len(settings)}{tool}'
            arguments.append(name)
        monkeypatch.setattr(sys, 'argv', [tool, *arguments])
        TOOLS[tool].main()
        return capsys.readouterr().out

    return call


def numbers(text):
    return set(re.findall(r'\d+(?:,\d{3})*(?:\.\d+)?%?', text))


def assert_shown(block, output):
    """What the page shows of an output are its numbers, line by line."""
    for line in block.splitlines():
        name, shown = line.split('  ', 1)
        row = [r for r in output.splitlines() if name in r]
        assert row, name
        assert numbers(shown) <= numbers(row[0]), line


SHOWN = {text.split('  ')[0]: text for text in blocks(PAGE, 'text')}


@pytest.mark.slow
def test_look_before_training(call):
    output = call('python tools/show_partition.py my_detector.py$')
    assert_shown(SHOWN['backbone (anchor)'], output)
    output = call(r'python tools/plan.py my_detector.py .*=12000$')
    assert_shown(SHOWN['total batch'], output)
    output = call(r'python tools/show_partition.py my_segmentor.py$')
    assert 'decode_head' in output
    output = call(r'python tools/plan.py my_segmentor.py --gpus 64$')
    assert re.search(r'total batch\W+128 = 64 ', output)


def test_the_same_batch_on_other_machines(here):
    cfg = load_config('my_detector.py', dict(num_train_images=12000))
    rows = re.findall(
        r'^\| (\d+) \| (\d+) x (\d+) images x (\d+) .* \| (\d+) \|$', TEXT,
        re.M)
    assert [row[0] for row in rows] == ['1', '8', '64']
    for gpus, world, samples, counts, replicas in rows:
        planned = make_plan(cfg, int(gpus))
        assert (planned.world_size, planned.samples_per_gpu,
                planned.accumulative_counts,
                planned.num_replicas) == (int(world), int(samples),
                                          int(counts), int(replicas))
        assert planned.updates == 1128


def test_a_first_try_is_short(here):
    """As few images are trained as the page says, however many there are."""
    cfg = load_config('my_try.py')
    images, validated, updates = map(
        int,
        re.search(r'takes (\d+) of your images, and validates on (\d+): '
                  r'(\d+) updates', TEXT).groups())
    assert cfg.train_dataloader.dataset.indices == images
    assert cfg.val_dataloader.dataset.indices == validated
    cfg.num_train_images = images
    planned = make_plan(cfg, 2)
    assert planned.updates == updates
    assert (planned.samples_per_gpu, planned.accumulative_counts) == (2, 2)


def test_larger_batches(here):
    rows = re.findall(
        r'^\| (\S+) \| [^|]*GPUs[^|]* \| (\S+) \| (\S+) \| (\d+) '
        r'\| `dict\((.*)\)` \| (\d+) times \|$', TEXT, re.M)
    assert [row[0] for row in rows] == ['128', '256', '1,024']
    for total, updates, rate, end, agvm, times in rows:
        total = int(total.replace(',', ''))
        cfg = load_config('my_detector.py', {
            'num_train_images': 12000,
            'total_batch_size': total,
            'param_scheduler.0.end': int(end),
        })
        for setting in filter(None, agvm.split(', ')):
            name, value = setting.split('=')
            cfg.optim_wrapper.agvm[name] = int(value)
        planned = make_plan(cfg, 8)
        assert f'{planned.updates:,}' == updates
        assert measured_updates(planned, agvm_options(cfg, planned)) == int(
            times)
        assert square_root_lr(0.16, 128, total) == pytest.approx(
            float(rate), rel=1e-3)


@pytest.mark.parametrize(('name', 'optimizer', 'rate'), [
    ('my_detector', 'SGD', 0.16),
    ('my_swin', 'AdamW', 1e-4 * 8**0.5),
    ('my_sgd', 'SGD', 0.16),
    ('my_try', 'SGD', 0.01),
    ('my_segmentor', 'AdamW', 6e-5 * 8**0.5),
])
def test_every_config_builds(here, name, optimizer, rate):
    cfg = load_config(f'{name}.py')
    assert cfg.optim_wrapper.optimizer.type == optimizer
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(rate)
    assert 'momentum' not in cfg.optim_wrapper.optimizer or optimizer == 'SGD'
    check_wrapper(resolve(cfg, 1), 'none')
    assert_three_classes(cfg)


ROWS = re.findall(r'^  \| `(mm\w+::\S+)` \| `(model = .*)` \|$', TEXT, re.M)


@pytest.mark.parametrize(('base', 'line'), ROWS, ids=[r[0] for r in ROWS])
def test_every_head_has_the_classes(base, line, tmp_path):
    (tmp_path / 'config.py').write_text(f'_base_ = {base!r}\n{line}\n')
    assert_three_classes(load_config(str(tmp_path / 'config.py')))


def assert_three_classes(cfg):
    init_default_scope(cfg.default_scope)
    found = {
        name: module.num_classes
        for name, module in build_on_meta(cfg).named_modules()
        if hasattr(module, 'num_classes')
        # The RPN knows things from no things.
        and 'rpn' not in name
    }
    assert found
    assert set(found.values()) == {3}, found


def test_no_class_fits(here):
    """The words that the page promises of plan.py."""
    cfg = load_config('my_detector.py')
    cfg.train_dataloader.dataset.metainfo.classes = ('a', 'b', 'c')
    with pytest.raises(ValueError, match='the names in its annotations'):
        make_plan(cfg, 8)


def test_no_image_ends_so(here):
    with pytest.raises(SystemExit, match=r"img_suffix .* as '.png'"):
        plan.main([
            'my_segmentor.py', '--gpus', '8', '--cfg-options',
            'train_dataloader.dataset.img_suffix=.bmp'
        ])


def train_on_two(start, folder, *settings):
    line = command(PAGE, start)
    assert ' 8' in line
    return run(
        'bash',
        '-c',
        line.replace(' 8', ' 2') + ' "$@"',
        '-',
        '--cfg-options',
        *settings,
        cwd=folder,
        PORT=free_port())


def test_a_detector(here, call):
    """8 GPUs are 2 processes here; then one GPU goes on."""
    train_on_two('bash tools/dist_train.sh my_detector.py 8$', here, *DETECTOR,
                 'train_cfg.max_epochs=1', 'train_cfg.val_interval=10')
    work_dir = here / 'work_dirs' / 'my_detector'
    rows = scalars(work_dir)
    for module in ('backbone', 'neck', 'rpn_head', 'roi_head.bbox_head'):
        assert f'agvm/lr_scale/{module}' in rows[-1]
    assert rows[-1]['agvm/num_replicas'] == 2
    call(r'python tools/train.py my_detector.py --resume$', *DETECTOR,
         'train_cfg.max_epochs=2', 'train_cfg.val_interval=10')
    log = max(work_dir.glob('*/*.log')).read_text()
    assert 'resumed epoch: 1' in log
    assert '1 process x 2 samples x 2 micro-batches' in log
    assert len(scalars(work_dir)) == 2 * len(rows)
    call('python tools/plot_variance.py')
    assert (work_dir / 'agvm.png').stat().st_size > 0
    output = call(r'python tools/plan.py my_detector.py .* --from ',
                  'num_train_images=12000')
    assert 'worth running on 8 GPUs' in output
    call(r'python tools/test.py my_detector.py', *DETECTOR, epoch_12='epoch_2')
    log = max(work_dir.glob('*/*.log')).read_text()
    assert 'Epoch(test) [2/2]' in log


def test_a_segmentor(here):
    for start, updates in ((r'bash .* my_segmentor.py 8$', 2),
                           (r'bash .* my_segmentor.py 8 --resume$', 4)):
        output = train_on_two(start, here, *SEGMENTOR,
                              f'train_cfg.max_iters={updates}')
    assert 'resumed epoch: 0, iter: 2' in output
    rows = scalars(here / 'work_dirs' / 'my_segmentor')
    assert [row['step'] for row in rows] == [1, 2, 3, 4]
    assert 'agvm/lr_scale/decode_head' in rows[-1]
    assert rows[-1]['agvm/lr_scale/backbone'] == 1
