import re

from tests.commands import RETINANET, run


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
