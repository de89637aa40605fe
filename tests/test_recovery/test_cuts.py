"""A process that is killed while it saves; tests/faults tries every step."""
import signal

import pytest

from agvm_mm.recovery.newest import find_newest
from tests.test_recovery.cuts import CutWriting, train_cut
from tests.test_recovery.runs import files


@pytest.fixture(scope='module', name='steps')
def _steps(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    assert train_cut(folder) == 0
    return (folder / 'events.txt').read_text().splitlines()


def test_in_the_middle_of_a_write(tmp_path):
    hook = CutWriting(epoch=2, size=100_000)
    assert train_cut(tmp_path, hook) == -signal.SIGXFSZ
    begun = tmp_path / '.epoch_2.pth.writing'
    assert begun.stat().st_size == 100_000
    assert find_newest(tmp_path) == (str(tmp_path / 'epoch_1.pth'), [])
    assert train_cut(tmp_path, resume=True) == 0
    assert files(tmp_path) == {
        'epoch_3.pth', 'best_loss_epoch_3.pth', 'last_checkpoint',
        'events.txt'
    }


@pytest.mark.parametrize(('step', 'newest'), [
    ('os.rename epoch_2.pth', 'epoch_1.pth'),
    ('os.rename last_checkpoint', 'epoch_1.pth'),
    ('os.remove epoch_1.pth', 'epoch_2.pth'),
])
def test_before_a_step(tmp_path, steps, step, newest):
    assert train_cut(tmp_path, cut=steps.index(step)) == -signal.SIGKILL
    path, passed_over = find_newest(tmp_path)
    assert path == str(tmp_path / newest)
    missing = step == 'os.rename last_checkpoint'
    assert passed_over == ['last_checkpoint (missing)'] * missing
