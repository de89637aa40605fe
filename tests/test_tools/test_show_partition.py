import re

import pytest
from show_partition import main

from tests.commands import RETINANET, ROOT, run

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
def test_modules_as_the_papers_draw_them(config, modules):
    rows = rows_of(run('python', 'tools/show_partition.py', config))
    assert list(rows) == [*modules, 'frozen,', 'all']


def test_the_table_of_modules_is_up_to_date(tmp_path):
    page = tmp_path / 'modules.md'
    run('python', 'tools/show_partition.py', '--table', page)
    assert page.read_text() == (ROOT / 'docs/modules.md').read_text(), (
        'run python tools/show_partition.py --table docs/modules.md')


def test_a_config_or_the_table():
    config = ('configs/digits/mask-rcnn_r18_fpn_agvm_digits.py', )
    for arguments in ((), (*config, '--table', 'modules.md')):
        output = run('python', 'tools/show_partition.py', *arguments, status=2)
        assert 'give a config, or --table FILE' in output


def test_show_partition():
    output = run('python', 'tools/show_partition.py',
                 'configs/digits/mask-rcnn_r18_fpn_agvm_digits.py')
    rows = rows_of(output)
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


@pytest.mark.parametrize(('option', 'message'), [
    ('model.type=Gone', 'the model of .* cannot be built: KeyError: .*Gone'),
    ('model.backbone.depth=7', 'cannot be built: .*invalid depth 7'),
    ('model=None', 'states no model: name the config of a training'),
    ('optim_wrapper.agvm=3', 'optim_wrapper.agvm must be a dict'),
    ('optim_wrapper.agvm.ancor=neck', 'agvm.ancor is no option'),
])
def test_what_it_refuses(option, message):
    with pytest.raises(SystemExit, match=rf'^show_partition\.py: .*{message}'):
        main([str(RETINANET), '--cfg-options', option])


def test_a_config_without_an_optimizer(capsys):
    main([str(RETINANET), '--cfg-options', 'optim_wrapper=None'])
    assert 'backbone (anchor)' in capsys.readouterr().out
