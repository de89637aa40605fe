import re

from tests.commands import run

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
