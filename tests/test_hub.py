"""agvm_mm:: names, by MMEngine's own look-up."""
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.hub import get_config

import agvm_mm

NAME = 'agvm_mm::digits/retinanet_r18_fpn_agvm_digits.py'
FILE = (Path(agvm_mm.__file__).parent / '.mim/configs' /
        NAME.partition('::')[2])


@pytest.fixture(autouse=True)
def _registered():
    with mock.patch.dict(MODULE2PACKAGE):
        MODULE2PACKAGE.pop('agvm_mm', None)
        agvm_mm.register_configs()
        yield


@pytest.mark.parametrize('name', [
    NAME,
    # In the model index, and a base.
    'agvm_mm::retinanet/retinanet_r18_fpn_agvm-adamw_12e_bs4096_coco.py',
    'agvm_mm::_base_/schedules/coco_12e_bs512.py',
])
def test_a_config_is_found_by_its_name(name):
    cfg = get_config(name)
    file = FILE.parents[1] / name.partition('::')[2]
    assert Path(cfg.filename).samefile(file)
    assert cfg.to_dict() == Config.fromfile(file).to_dict()


def test_a_config_inherits_by_name(tmp_path):
    mine = tmp_path / 'mine.py'
    mine.write_text(f"_base_ = '{NAME}'\ntotal_batch_size = 8\n")
    cfg = Config.fromfile(mine)
    assert cfg.total_batch_size == 8
    assert cfg.optim_wrapper.type == 'AGVMOptimWrapper'


def test_a_config_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError):
        get_config('agvm_mm::digits/no_such_config.py')
