import re

import pytest
import torch.distributed as dist
from show_partition import main

from tests.commands import FASTER, RETINANET, ROOT, run

DETR = ['backbone', 'neck', 'bbox_head', 'encoder', 'decoder']


def rows_of(output):
    """Module to the number of its tensors, in the order printed."""
    return dict(
        re.findall(r'│ (\S+).*? │\s+(\d+) │\s+[\d,]+ │\s+[\d.]+% │', output))


@pytest.mark.parametrize(('config', 'modules'), [
    ('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', DETR),
    ('mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py', [
        'backbone', 'decode_head.pixel_decoder',
        'decode_head.transformer_decoder'
    ]),
])
def test_modules_as_the_papers_draw_them(config, modules, capsys):
    main([config])
    rows = rows_of(capsys.readouterr().out)
    assert list(rows) == [*modules, 'frozen,', 'all']


def test_mmcvs_batch_norm_asks_for_its_ranks(capsys):
    """One, where there is no process group; afterwards there is none again."""
    assert not dist.is_initialized()
    main(['mmdet::strong_baselines/mask-rcnn_r50_fpn_rpn-2conv_4conv1fc_'
          'syncbn-all_lsj-100e_coco.py'])
    assert 'roi_head.mask_head' in rows_of(capsys.readouterr().out)
    assert not dist.is_initialized()


def test_the_table_of_modules_is_up_to_date(tmp_path):
    page = tmp_path / 'modules.md'
    main(['--table', str(page)])
    assert page.read_text() == (ROOT / 'docs/modules.md').read_text(), (
        'run python tools/show_partition.py --table docs/modules.md')


@pytest.mark.parametrize('arguments', [
    [], ['configs/digits/mask-rcnn_r18_fpn_agvm_digits.py', '--table', 'x.md']
])
def test_a_config_or_the_table(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert 'give a config, or --table FILE' in capsys.readouterr().err


def test_show_partition():
    output = run('python', 'tools/show_partition.py',
                 'configs/digits/mask-rcnn_r18_fpn_agvm_digits.py')
    rows = rows_of(output)
    assert rows['roi_head.mask_head'] == '8'
    assert set(rows) >= {'backbone', 'neck', 'rpn_head', 'frozen,', 'all'}


def test_what_is_frozen(capsys):
    main([str(FASTER), '--cfg-options', 'model.backbone.frozen_stages=1'])
    assert re.search(r'frozen, not stepped │\s+15 │', capsys.readouterr().out)


@pytest.mark.parametrize(('option', 'message'), [
    ('model.type=Gone', 'the model of .* cannot be built: KeyError: .*Gone'),
    ('model.backbone.depth=7', 'cannot be built: .*invalid depth 7'),
    ('model=None', 'states no model: name the config of a training'),
    ('optim_wrapper.agvm=3', 'optim_wrapper.agvm must be a dict'),
    ('optim_wrapper.agvm.ancor=neck', 'agvm.ancor is no option'),
    ('optim_wrapper.agvm.anchor=bakbone', "agvm.anchor='bakbone'"),
])
def test_what_it_refuses(option, message):
    with pytest.raises(SystemExit, match=rf'^show_partition\.py: .*{message}'):
        main([str(RETINANET), '--cfg-options', option])


def test_each_of_several_optimizers_has_a_table(capsys, tmp_path):
    (tmp_path / 'config.py').write_text(
        f"_base_ = '{RETINANET}'\n"
        'one = dict(optimizer=dict(type="SGD"), agvm=dict(anchor="neck"))\n'
        'optim_wrapper = dict(_delete_=True, constructor="Own", a=one, b=one)')
    main([str(tmp_path / 'config.py')])
    told = capsys.readouterr().out
    assert told.count('neck (anchor)') == 2
    assert 'by optim_wrapper.a' in told
    assert 'by optim_wrapper.b' in told


def test_a_config_without_an_optimizer(capsys):
    main([str(RETINANET), '--cfg-options', 'optim_wrapper=None'])
    assert 'backbone (anchor)' in capsys.readouterr().out
