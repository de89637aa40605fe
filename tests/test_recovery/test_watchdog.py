import importlib
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch.distributed as dist

from agvm_mm.recovery import saving, watch
from agvm_mm.recovery.stack import PHASES, activity
from agvm_mm.recovery.verdict import verdict
from agvm_mm.recovery.watch import Watch
from agvm_mm.recovery.watchdog import WatchdogHook
from tests.commands import ROOT, call, free_port


def run_stuck(how, who, work_dir):
    """Both ranks' exit codes, and what they wrote."""
    port = free_port()
    ranks = [
        subprocess.Popen(
            [
                sys.executable, '-m', 'tests.test_recovery.stuck', how,
                str(who),
                str(work_dir)
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=dict(
                os.environ,
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE='2',
                MASTER_ADDR='127.0.0.1',
                MASTER_PORT=port,
                OMP_NUM_THREADS='1')) for rank in range(2)
    ]
    try:
        others = [
            rank for i, rank in enumerate(ranks)
            if (i, how) != (who, 'stopped')
        ]
        output = ''.join(rank.communicate(timeout=120)[0] for rank in others)
        return [rank.poll() for rank in ranks], output
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


HERE = r'\(.*stuck.py:\d+ in get_stuck\)'


@pytest.mark.parametrize(('how', 'who', 'words'), [
    ('data', 1, f'rank 1 on .* is stuck at update 2, loading data {HERE}'),
    pytest.param(
        'forward',
        0,
        f'rank 0 on .* is stuck at update 2, training {HERE}',
        marks=pytest.mark.faults),
    pytest.param(
        'stopped',
        1,
        'rank 1 on .* gives no sign: .* last seen at update',
        marks=pytest.mark.faults),
    pytest.param(
        'stopped',
        0,
        'rank 0 gives no sign: .* Rank 1 was at update 2, gradient',
        marks=pytest.mark.faults),
])
def test_one_message_says_which_rank_is_stuck(how, who, words, tmp_path):
    codes, output = run_stuck(how, who, tmp_path)
    expected = [1, 1]
    if how == 'stopped':
        expected[who] = None  # stopped for good
    assert codes == expected, output
    assert len(re.findall(words, output)) == 1, output
    assert output.count('gives no sign') + output.count('is stuck') == 1


def test_phases_are_of_modules_that_there_are():
    for module, _ in PHASES:
        importlib.import_module(module)


def test_what_is_saved_by_whom_ever_is_being_saved(tmp_path, monkeypatch):
    """At a signal too, and while a file is read back and gets its name."""
    seen = []
    monkeypatch.setattr(saving, 'put_in_place',
                        lambda path: seen.append(activity('x')['phase']))
    runner = SimpleNamespace(save_checkpoint=lambda *args: None)
    saving.save_whole(runner, str(tmp_path), 'preempted_iter_1.pth')
    assert seen == ['saving']


@pytest.mark.faults
def test_a_rank_that_raises_takes_the_others_down(tmp_path):
    output = call(
        sys.executable,
        ROOT / 'tools/command_line/launch.py',
        '--master_port',
        free_port(),
        '--nproc_per_node',
        2,
        '-m',
        'tests.test_recovery.stuck',
        'raises',
        1,
        tmp_path,
        status=1,
        timeout=120)
    # Its own error comes first, whatever the other one says of it.
    own = output.index('RuntimeError: an error of its own')
    assert 'rank 1 on' in output[own:]
    assert 'Connection closed' not in output[:own]


RECORD = dict(
    host='node', update=5, phase='gradient', place='model.py:3 in forward')


def records(*ranks):
    return {
        rank: dict(RECORD, beat=beat, events=events, waits=waits, seconds=7.)
        for rank, (beat, events, waits) in enumerate(ranks)
    }


@pytest.mark.parametrize(('before', 'now', 'blamed'), [
    # One did fewer iterations; one computes while others wait; all wait.
    ([(1, 9, True), (1, 8, True)], [(4, 9, True), (4, 8, True)], '1'),
    ([(1, 9, True), (1, 9, False)], [(4, 9, True), (4, 9, False)], '1'),
    ([(1, 9, True), (1, 9, True)], [(4, 9, True), (4, 9, True)], '01'),
    # One writes no more, whatever it did.
    ([(1, 9, False), (1, 9, True)], [(4, 9, False), (1, 9, True)], '1'),
    ([(1, 9, True)], [(4, 9, True)], '1'),
])
def test_who_is_blamed(before, now, blamed):
    text = verdict(records(*before), records(*now), 2, 7)
    assert {c for c in '01' if f'rank {c}' in text} == set(blamed)
    assert 'No rank went on for 7 s' in text


class LeftError(Exception):
    """In the place of the end of a process."""


def leave(watch):
    raise LeftError


def look(watch):
    """One look of a rank at the others, as in each of its beats."""
    stopped = iter([False, True])
    watch._stopped = SimpleNamespace(wait=lambda seconds: next(stopped))
    watch._exchange()


def test_a_false_alarm_is_not_the_last(monkeypatch):
    """All move on while one of them looks whom to blame; later, one hangs."""
    store = dist.TCPStore(
        '127.0.0.1', 0, is_master=True, wait_for_workers=False)
    now = records((0, 9, True), (0, 9, True))
    first, second = (
        Watch(store, rank, 2, 6.0, lambda rank=rank: now[rank])
        for rank in now)
    told = []
    monkeypatch.setattr(watch, '_tell', told.append)
    monkeypatch.setattr(Watch, '_leave', leave)

    def both_move(seconds):
        look(second)  # It is late too, but not the one that judges.
        for record in now.values():
            record.update(events=10, seconds=0.0)

    monkeypatch.setattr(watch, 'time', SimpleNamespace(sleep=both_move))
    look(first)
    assert told == []
    now[0].update(seconds=7.0)
    now[1].update(seconds=7.0, waits=False)
    monkeypatch.setattr(watch.time, 'sleep', lambda seconds: look(second))
    with pytest.raises(LeftError):
        look(first)
    text, = told
    assert 'rank 1 on node is stuck at update 5' in text
    assert 'rank 0' not in text


@pytest.mark.parametrize('timeout', [0, -1, 'long', True, None])
def test_a_wrong_timeout(timeout):
    with pytest.raises(ValueError, match=r'WatchdogHook\.timeout='):
        WatchdogHook(timeout)
