import pytest

from tests.commands import RETINANET, train_two_processes


@pytest.fixture(scope='session', name='trained')
def _trained(digits, tmp_path_factory):
    """Work dir of a RetinaNet, two epochs over two processes, and its log."""
    work_dir = tmp_path_factory.mktemp('work_dirs') / 'whole'
    return work_dir, train_two_processes(RETINANET, work_dir, 2, digits)
