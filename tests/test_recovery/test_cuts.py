"""A process that is killed while it saves; tests/faults tries every step."""
import signal

from agvm_mm.recovery.newest import find_newest
from tests.test_recovery.cuts import CutWriting, train_cut
from tests.test_recovery.runs import files


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
