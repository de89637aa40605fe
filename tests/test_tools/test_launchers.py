"""Testing over several processes; training is in test_docs/test_clusters."""
import pytest
from mmengine.config import Config

from tests.commands import RETINANET, free_port, options, run


def test_test_tools(train, digits, tmp_path):
    from test import main  # tools/test.py
    train(
        RETINANET,
        *options(digits, 'train_cfg.max_epochs=1',
                 'train_cfg.val_interval=10'),
        work_dir=tmp_path / 'trained')
    checkpoint = tmp_path / 'trained/epoch_1.pth'
    out = tmp_path / 'predictions.pkl'
    # A total batch that no process can run is for the training to refuse, and
    # its data are not needed; a config is dumped as it was resumed.
    main([
        str(RETINANET),
        str(checkpoint), '--work-dir',
        str(tmp_path), '--out',
        str(out), *options(digits, f'visualizer.name={tmp_path.name}-test',
                           'total_batch_size=1', 'resume=True',
                           'train_dataloader.dataset.data_root=gone')
    ])
    log, = tmp_path.glob('*/*.log')
    assert 'Epoch(test) [1/1]' in log.read_text()
    assert out.stat().st_size > 0
    # As a config for GPUs, which says nothing of CPUs.
    cfg = Config.fromfile(RETINANET)
    cfg.pop('model_wrapper_cfg')
    cfg.dump(tmp_path / 'config.py')
    output = run(
        'bash',
        'tools/dist_test.sh',
        tmp_path / 'config.py',
        checkpoint,
        2,
        '--work-dir',
        tmp_path,
        *options(digits),
        PORT=free_port())
    assert 'Epoch(test) [1/1]' in output


@pytest.mark.parametrize(
    'tool',
    ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_launchers_tell_their_usage(tool):
    assert 'usage: ' in run('bash', f'tools/{tool}', status=2)
