import json
import sys

import cv2
import make_digits
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from agvm_mm.datasets import write_digits
from agvm_mm.datasets.compose import CLASSES, STUFF, THINGS

SPLITS = ('train', 'val')


@pytest.fixture(scope='module', name='root')
def _root(tmp_path_factory):
    return write_digits(
        tmp_path_factory.mktemp('data') / 'digits',
        num_train=60,
        num_val=30,
        size=64,
        seed=3)


def labels(root, kind, split):
    return json.loads((root / f'annotations/{kind}_{split}.json').read_text())


def images_of(root, split):
    return {
        image['id']: image
        for image in labels(root, 'instances', split)['images']
    }


def files(root):
    return {
        path.relative_to(root): path.read_bytes()
        for path in sorted(root.rglob('*')) if path.is_file()
    }


def test_counts_and_sizes(root):
    for split, count in zip(SPLITS, (60, 30)):
        images = images_of(root, split)
        assert len(images) == count
        for image in images.values():
            assert (image['height'], image['width']) == (64, 64)
            for folder in (split, f'panoptic_{split}', f'semantic/{split}'):
                read = cv2.imread(str(root / folder / image['file_name']))
                assert read.shape == (64, 64, 3)


def test_no_digit_is_shared_by_train_and_val(root):
    train, val = ({
        a['digit']
        for a in labels(root, 'instances', s)['annotations']
    } for s in SPLITS)
    assert len(train) > 50
    assert len(val) > 25
    assert not train & val


def test_a_test_split_has_digits_of_its_own(root, tmp_path):
    three = write_digits(
        tmp_path / 'three',
        num_train=60,
        num_val=30,
        num_test=30,
        size=64,
        seed=3)
    digits = [{
        a['digit']
        for a in labels(three, 'instances', split)['annotations']
    } for split in (*SPLITS, 'test')]
    assert all(len(found) > 25 for found in digits)
    assert len(set.union(*digits)) == sum(map(len, digits))
    # The validation images are those of the set without a test split.
    assert (three /
            'val/000007.png').read_bytes() == (root /
                                               'val/000007.png').read_bytes()
    assert not (root / 'test').exists()


@pytest.mark.parametrize('split', SPLITS)
def test_masks_match_boxes(root, split):
    annotations = labels(root, 'instances', split)['annotations']
    assert {a['category_id'] for a in annotations} == set(range(1, 11))
    taken = {}
    for annotation in annotations:
        mask = coco_mask.decode(annotation['segmentation']).astype(bool)
        ys, xs = np.nonzero(mask)
        x, y, w, h = annotation['bbox']
        assert (x, y) == (xs.min(), ys.min())
        assert (x + w, y + h) == (xs.max() + 1, ys.max() + 1)
        assert annotation['area'] == mask.sum()
        # Digits do not overlap.
        before = taken.setdefault(annotation['image_id'],
                                  np.zeros((64, 64), dtype=bool))
        assert not (before & mask).any()
        before |= mask


@pytest.mark.parametrize('split', SPLITS)
def test_three_labellings_agree(root, split):
    panoptic = labels(root, 'panoptic', split)
    names = {c['id']: c['name'] for c in panoptic['categories']}
    assert tuple(names[i + 1] for i in range(12)) == CLASSES
    assert [c['isthing'] for c in panoptic['categories']
            ] == ([1] * len(THINGS) + [0] * len(STUFF))
    instances = {}
    for a in labels(root, 'instances', split)['annotations']:
        instances.setdefault(a['image_id'], []).append(a)
    for record in panoptic['annotations']:
        name = record['file_name']
        bgr = cv2.imread(str(root / f'panoptic_{split}' / name)).astype(int)
        segments = bgr[..., 2] + 256 * bgr[..., 1] + 256**2 * bgr[..., 0]
        semantic = cv2.imread(
            str(root / 'semantic' / split / name), cv2.IMREAD_UNCHANGED)
        found = {s['id']: s for s in record['segments_info']}
        assert set(np.unique(segments)) == set(found)
        for id_, segment in found.items():
            mask = segments == id_
            assert mask.sum() == segment['area']
            assert (semantic[mask] == segment['category_id']).all()
        things = [s for s in found.values() if s['category_id'] <= 10]
        assert [(s['category_id'], s['bbox']) for s in things
                ] == [(a['category_id'], a['bbox'])
                      for a in instances.get(record['image_id'], [])]


def test_same_seed_same_bytes(root, tmp_path):
    again = write_digits(
        tmp_path / 'again', num_train=60, num_val=30, size=64, seed=3)
    assert files(again) == files(root)
    other = write_digits(
        tmp_path / 'other', num_train=60, num_val=30, size=64, seed=4)
    assert files(other) != files(root)


def test_a_smaller_set_is_the_beginning_of_a_larger(root, tmp_path):
    small = write_digits(
        tmp_path / 'small', num_train=5, num_val=5, size=64, seed=3)
    for path in (small / 'train').iterdir():
        assert path.read_bytes() == (root / 'train' / path.name).read_bytes()


def test_train_and_val_images_differ(root):
    assert (root / 'train/000000.png').read_bytes() != (
        root / 'val/000000.png').read_bytes()


def test_what_is_there_is_not_written_again(tmp_path):
    root = write_digits(tmp_path / 'digits', num_train=2, num_val=1, size=32)
    before = {p: p.stat().st_mtime_ns for p in root.rglob('*')}
    assert write_digits(root, num_train=2, num_val=1, size=32) == root
    assert {p: p.stat().st_mtime_ns for p in root.rglob('*')} == before
    with pytest.raises(ValueError, match=r'holds Digits made with .*delete'):
        write_digits(root, num_train=3, num_val=1, size=32)
    assert {p: p.stat().st_mtime_ns for p in root.rglob('*')} == before


def test_a_link_to_an_empty_folder_is_filled(tmp_path):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'digits').symlink_to(tmp_path / 'disk')
    write_digits(tmp_path / 'digits', num_train=1, num_val=1, size=64)
    assert (tmp_path / 'disk/digits.json').is_file()


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / 'thesis.tex').write_text('text')
    with pytest.raises(ValueError, match='exists and holds no Digits'):
        write_digits(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ['thesis.tex']


def test_an_interrupted_run_leaves_no_half_data_set(tmp_path):

    def interrupt(jobs):
        yield jobs[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_digits(
            tmp_path / 'd',
            num_train=2,
            num_val=1,
            size=32,
            progress=interrupt)
    assert not (tmp_path / 'd').exists()
    write_digits(tmp_path / 'd', num_train=2, num_val=1, size=32)
    assert [p.name for p in tmp_path.iterdir()] == ['d']


@pytest.mark.parametrize('bad', [
    dict(num_train=0),
    dict(num_val=-1),
    dict(num_test=-1),
    dict(size=16),
    dict(seed=-1),
    dict(size=96.0)
])
def test_bad_arguments(tmp_path, bad):
    name = next(iter(bad))
    with pytest.raises(ValueError, match=f'{name}=.* is not allowed'):
        write_digits(tmp_path / 'digits', **bad)
    assert not list(tmp_path.iterdir())


def test_without_scikit_learn(tmp_path, monkeypatch):
    """Which nothing else needs: the module is hidden."""
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(
            SystemExit, match=r'^make_digits\.py: .* pip install scikit'):
        make_digits.main([str(tmp_path / 'digits')])
