import re

import pytest

from tests.commands import ROOT, call, run, scalars


@pytest.mark.parametrize('tool', ['setup.sh', 'run_tests.sh'])
@pytest.mark.parametrize('arguments', [['--stack', 'mine'], ['--stack']])
def test_an_unknown_stack(tool, arguments):
    output = call('bash', f'tools/{tool}', *arguments, status=1)
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
