"""Machines go and come back, and the training is what it would have been.

A slow suite: bash tools/run_tests.sh --faults
"""
from __future__ import annotations

import os
import signal

import pytest
import torch
from command_line.rendezvous import port_in_use

from agvm_mm.recovery.preemption import PREEMPTED
from tests.commands import RETINANET, ROOT, free_port, load, options
from tests.stack import elastic

from .counting import count
from .recording import lines, rates, recorded
from .test_faults import OPTIMIZERS, wait_for
from .training import Training, children, wait_for_the_end

pytestmark = [pytest.mark.faults, elastic]

EPOCHS = 30  # of two updates
# How long a lost machine is waited for, and one that may come.
QUICK = 'keep_alive_interval=2,last_call_timeout=5'


@pytest.fixture(autouse=True)
def _find_the_hook(monkeypatch):
    path = filter(None, [str(ROOT), os.environ.get('PYTHONPATH')])
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(path))


class Machines:
    """The agents of one run, which all meet at the first.

    Each is a launcher in a session of its own, with one rank.
    """

    def __init__(self, work_dir, digits, total, optimizer='sgd', nodes='1:2',
                 epochs=EPOCHS, alone=4, samples=4):
        self.work_dir = work_dir
        work_dir.mkdir(parents=True, exist_ok=True)
        self.config = work_dir / 'config.py'
        self.config.write_text(
            f"_base_ = '{RETINANET}'\n{OPTIMIZERS[optimizer]}\n"
            "custom_imports = dict(imports=['agvm_mm', 'agvm_mm.cpu', "
            "'tests.faults.recording'])\n"
            f"custom_hooks = [dict(type='RecordingHook', alone={alone})]")
        self.settings = options(
            digits, f'train_cfg.max_epochs={epochs}',
            'train_cfg.val_interval=100', f'total_batch_size={total}',
            f'max_samples_per_gpu={samples}',
            'default_hooks.checkpoint.interval=2')
        self.settings.remove('train_dataloader.batch_size=2')
        self.env = dict(NNODES=nodes, PORT=free_port(), RDZV_CONF=QUICK)
        self.agents = []

    def start(self, *arguments, **env):
        """One more of them."""
        self.agents.append(
            Training(self.config, self.work_dir, 1,
                     [*arguments, *self.settings], **self.env, **env))
        return self.agents[-1]

    def train(self, updates, world):
        """Until as many ranks have done some more updates."""
        so_far = self.count(world)
        wait_for(lambda: self.count(world) >= so_far + updates, self.agents[0])

    def count(self, world):
        """The updates that as many ranks have begun."""
        return len({(n, line[0])
                    for n, line in enumerate(lines(self.work_dir, 0))
                    if line[3] == world and line[1] == 0})

    def cut(self, how, who):
        print(f'\ncut {count(f"elastic: {how}")}: {who}')


def lose(agent, number=signal.SIGKILL):
    """The whole machine, at once."""
    ranks = children(agent.process.pid)
    for process in [agent.process.pid, *ranks]:
        os.kill(process, number)
    agent.wait()
    wait_for_the_end(ranks)


def went_back(work_dir):
    """How often an update was done that came before the last one."""
    updates = [line[0] for line in lines(work_dir, 0)]
    return sum(b < a for a, b in zip(updates, updates[1:]))


def whole_run(folder, digits, total, **settings):
    return Machines(folder, digits, total, nodes='1', alone=0,
                    **settings).start(MAX_RESTARTS='0')


def assert_the_same_updates(folder, whole, updates):
    """As one that was never cut, on however many ranks."""
    assert len(recorded(folder)) == updates
    assert recorded(folder) == recorded(whole)
    assert rates(folder) == rates(whole)


def assert_the_same(folder, whole, updates, epochs=EPOCHS):
    """And of the same micro-batches: equal up to rounding."""
    assert_the_same_updates(folder, whole, updates)
    cut, expected = (load(f / f'epoch_{epochs}.pth') for f in (folder, whole))
    assert cut['meta']['updates'] == expected['meta']['updates'] == updates
    assert cut['meta']['epoch'] == expected['meta']['epoch']
    assert cut['optimizer']['agvm']['lr_scale'] == pytest.approx(
        expected['optimizer']['agvm']['lr_scale'], rel=1e-2)
    for name, tensor in expected['state_dict'].items():
        if 'running' not in name and 'num_batches' not in name:
            torch.testing.assert_close(
                cut['state_dict'][name], tensor, rtol=2e-2, atol=1e-3)


def start_the_host(machines):
    """Alone, or another one might be it."""
    agent = machines.start()
    wait_for(lambda: port_in_use('127.0.0.1', int(machines.env['PORT'])),
             agent)
    return agent


@pytest.mark.parametrize('optimizer', OPTIMIZERS)
def test_machines_go_and_come_back(optimizer, digits, tmp_path):
    whole = whole_run(tmp_path / 'whole', digits, 8, optimizer=optimizer)
    machines = Machines(tmp_path / 'cut', digits, 8, optimizer)
    first, second = start_the_host(machines), machines.start()
    machines.train(5, 2)
    machines.cut('a machine is lost', optimizer)
    lose(second)
    machines.train(2, 1)
    assert went_back(machines.work_dir) <= 1
    machines.cut('it joins again', optimizer)
    second = machines.start()
    machines.train(3, 2)
    assert went_back(machines.work_dir) <= 1
    machines.cut('a rank is killed', optimizer)
    os.kill(children(second.process.pid)[0], signal.SIGKILL)
    machines.train(3, 2)
    back = went_back(machines.work_dir)
    machines.cut('a machine is taken back', optimizer)
    second.process.terminate()
    assert second.wait() == PREEMPTED, second.output()
    machines.train(2, 1)
    machines.cut('it joins again', optimizer)
    second = machines.start()
    machines.train(2, 2)
    # Nothing was lost since.
    assert went_back(machines.work_dir) == back
    assert [agent.wait(600) for agent in (first, second)] == [0, 0]
    assert whole.wait(600) == 0, whole.output()
    assert_the_same(machines.work_dir, tmp_path / 'whole', 2 * EPOCHS)
    output = ''.join(agent.output() for agent in machines.agents)
    for split in ('2 processes x 4 samples x 1 micro-batch',
                  '1 process x 4 samples x 2 micro-batches'):
        assert f'total_batch_size=8: {split}' in output


def test_three_machines_for_sixteen_samples(digits, tmp_path):
    settings = dict(samples=8, epochs=14)  # of one update
    whole = whole_run(tmp_path / 'whole', digits, 16, **settings)
    machines = Machines(
        tmp_path / 'cut', digits, 16, nodes='1:3', alone=1, **settings)
    agents = [start_the_host(machines), machines.start(), machines.start()]
    machines.train(3, 3)
    machines.cut('a machine is lost', '16 samples')
    lose(agents.pop())
    machines.train(2, 2)
    machines.cut('it joins again', '16 samples')
    agents.append(machines.start())
    machines.train(2, 3)
    assert [agent.wait(600) for agent in agents] == [0, 0, 0]
    assert whole.wait(600) == 0, whole.output()
    # Losses are averaged over other micro-batches: weights differ by that.
    assert_the_same_updates(machines.work_dir, tmp_path / 'whole', 14)
    assert ('total_batch_size=16: 1 process x 6 samples + 2 processes x 5 '
            'samples' in ''.join(agent.output() for agent in agents))


def test_what_is_refused_is_not_tried_again(digits, tmp_path):
    machines = Machines(tmp_path, digits, 8, nodes='2')
    machines.settings.append('optim_wrapper.agvm.anchor=bakbone')
    agents = [machines.start(MAX_RESTARTS='3') for _ in range(2)]
    assert [agent.wait() for agent in agents] == [1, 1]
    output = ''.join(agent.output() for agent in agents)
    assert output.count("agvm.anchor='bakbone'") == 1
    assert 'Traceback' not in output


def test_the_machine_at_which_all_meet_is_lost(digits, tmp_path):
    machines = Machines(tmp_path, digits, 8)
    first, second = start_the_host(machines), machines.start()
    machines.train(5, 2)
    lose(first)
    assert second.wait() == 1
    assert 'does not answer: the run ends' in second.output()
    again = Machines(tmp_path, digits, 8, epochs=6, alone=0)
    refused = again.start()
    assert refused.wait() == 1
    assert 'of an earlier run' in refused.output()
    resumed = again.start('--resume')
    assert resumed.wait() == 0, resumed.output()
    assert 'Auto resumed from' in resumed.output()
    assert len(recorded(tmp_path)) == 12
