"""What is read from text logs."""
import inspect

from reports.journal import STOPPED, read_journal

from agvm_mm.recovery import preemption, watch
from tests.test_tools.report_runs import lines, told, write_process, write_run

FIRST, SECOND, THIRD = ('20261129_090000', '20261129_092000',
                        '20261129_093000')
COUNTS = {FIRST: 2, SECOND: 2, THIRD: 2}


def test_a_run_that_was_cut(tmp_path):
    journal = read_journal(write_run(tmp_path), COUNTS)
    assert [(event.update, event.kind)
            for event in journal.events] == [(20, 'preempted'),
                                             (20, 'resumed'), (33, 'cut off'),
                                             (30, 'resumed')]
    assert journal.events[0].time == '2026/11/29 09:20:00'
    assert journal.events[0].text.endswith('(exit code 75)')
    assert journal.epoch == 10
    assert journal.iterations is None
    assert journal.machine == {
        'PyTorch': '2.13.0+cpu',
        'MMEngine': '0.10.7',
        'seed': '3',
        'GPU number': '2'
    }
    assert journal.started == '2026/11/29 09:00:00'
    # The times of the processes, and not those between them.
    assert journal.seconds == 60 * (20 + 33 + 50)


def test_a_run_that_began_anew_forgets_what_was_before(tmp_path):
    write_run(tmp_path)
    write_process(tmp_path, '20261130_090000', [], lines(1, 3))
    # A refusal before the training is none, nor is a test.
    write_process(tmp_path, '20261201_090000', [], [told(1, 'no training')])
    journal = read_journal(tmp_path, {'20261130_090000': 2})
    assert journal.events == []
    assert journal.seconds == 180


def test_a_training_by_iteration(tmp_path):
    text = 'Iter(train) [  50/8000]  lr: 1.0000e-02'
    write_process(tmp_path, FIRST, [], [told(1, text)])
    journal = read_journal(tmp_path, COUNTS)
    assert (journal.epoch, journal.iterations) == (None, 8000)


def test_warnings_and_errors(tmp_path):
    why = ('AGVM could not measure the last 10 updates that were due: the '
           'anchor, backbone, has a gradient that is not finite. '
           'Learning-rate factors stay as they are meanwhile.')
    write_process(tmp_path, FIRST, [], [
        told(1, 'AGVM begins at update 7: the end of the warm-up + 100.'),
        *lines(1, 2),
        told(2, why, 'WARNING'),
        told(2, 'something of another', 'WARNING'),
        told(3, 'rank 1 is stuck. (WatchdogHook.timeout)', 'ERROR'),
    ])
    journal = read_journal(tmp_path, COUNTS)
    assert [event[::2] for event in journal.events] == [(2, 'warning'),
                                                        (2, 'error')]
    assert journal.begin == 7


def test_no_text_log(tmp_path):
    journal = read_journal(write_process(tmp_path, FIRST, []), {})
    assert (journal.seconds, journal.events) == (0, [])


def test_the_lines_are_those_that_recovery_writes():
    assert ": stopped after iteration '" in inspect.getsource(preemption)
    assert STOPPED.match('SIGUSR1: stopped after iteration 4 of 8, which')
    assert 'logging.ERROR' in inspect.getsource(watch)
