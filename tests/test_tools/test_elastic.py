"""The launcher of runs whose machines may change, with ranks of plain Python.

Trainings are in tests/faults/test_elastic.py, and what takes longer here is
run with those: bash tools/run_tests.sh --faults
"""
from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from command_line.rendezvous import (
    check_torch,
    max_restarts,
    node_range,
    port_in_use,
    rendezvous_arguments,
    run_name,
)

from agvm_mm.recovery.preemption import PREEMPTED
from tests.commands import ROOT, call, free_port
from tests.faults.training import children, kill_those_that_run
from tests.stack import elastic

LAUNCH = ROOT / 'tools/command_line/launch.py'


@pytest.mark.parametrize(('nnodes', 'expected'), [
    ('1', (1, 1)), ('4', (4, 4)), ('1:4', (1, 4)), ('12:12', (12, 12))])
def test_numbers_of_machines(nnodes, expected):
    assert node_range(nnodes) == expected


@pytest.mark.parametrize(
    'nnodes', ['', 'a', '0', '4:1', '0:2', '1:', ':2', '1:2:3', '-1', '1.5'])
def test_no_number_of_machines(nnodes):
    with pytest.raises(ValueError, match=f'NNODES={nnodes} must be'):
        node_range(nnodes)


def test_restarts(monkeypatch):
    monkeypatch.delenv('MAX_RESTARTS', raising=False)
    assert [max_restarts(elastic) for elastic in (False, True)] == [0, 3]
    monkeypatch.setenv('MAX_RESTARTS', '7')
    assert [max_restarts(elastic) for elastic in (False, True)] == [7, 7]
    for value in ('-1', 'a', '1.5', ''):
        monkeypatch.setenv('MAX_RESTARTS', value)
        with pytest.raises(ValueError, match=f'MAX_RESTARTS={value} must be'):
            max_restarts(True)


def test_a_torch_whose_agents_do_not_end():
    check_torch('2.4.0+cu121')
    check_torch('2.13.0')
    with pytest.raises(ValueError, match=r'is torch 2\.1\.2: update'):
        check_torch('2.1.2')


@pytest.mark.parametrize(('command', 'expected'), [
    (['configs/a.py', '--launcher', 'pytorch'], 'a'),
    (['a.py', '--launcher', 'pytorch', '--work-dir', '/d/run_7/'], 'run_7'),
    (['a.py', '--work-dir=run_7', '--cfg-options', 'a=1'], 'run_7'),
])
def test_a_run_is_known_by_its_work_dir(command, expected, monkeypatch):
    monkeypatch.delenv('RDZV_ID', raising=False)
    assert run_name(command) == expected
    monkeypatch.setenv('RDZV_ID', 'mine')
    assert run_name(command) == 'mine'


def arguments(address, port):
    args = argparse.Namespace(
        master_addr=address, master_port=port, local_addr=None,
        training_script_args=['a.py'])
    return rendezvous_arguments(args)


def test_where_they_meet(monkeypatch):
    port = free_port()
    monkeypatch.setenv('RDZV_CONF', 'last_call_timeout=5')
    assert arguments('127.0.0.1', int(port)) == [
        '--rdzv_backend=c10d', f'--rdzv_endpoint=127.0.0.1:{port}',
        '--rdzv_id=a', '--rdzv_conf=last_call_timeout=5',
        '--local_addr=127.0.0.1'
    ]


def test_an_unknown_machine():
    with pytest.raises(ValueError, match='MASTER_ADDR=no'):
        arguments('no.such.host.invalid', 29500)


def test_the_port_of_another_program():
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f'port {port} is in use'):
            arguments('127.0.0.1', port)


# Its code is that of its rank. It notes that it was started, and on how many
# ranks; one that waits ends with its agent alone.
RANK = """
import json, os, signal, sys, time
folder, *codes = sys.argv[1:]
rank, world = os.environ['RANK'], os.environ['WORLD_SIZE']
with open(f'{folder}/started_{rank}', 'a') as file:
    file.write(os.environ['ELASTIC_ROUND'] + ' ' + world + ';')
while not os.path.exists(f'{folder}/started_{int(world) - 1}'):
    time.sleep(0.05)
code = codes[int(rank)]
if code == 'refused':
    with open(os.environ['TORCHELASTIC_ERROR_FILE'], 'w') as file:
        json.dump(dict(message='refused: a.py: no', timestamp='0'), file)
    sys.exit('a.py: no')
parent = os.getppid()
while code == 'waits' and os.getppid() == parent:
    time.sleep(0.05)
sys.exit(int(code))
"""


class Agents:
    """Launchers of one rank each, which meet on this machine."""

    def __init__(self, folder, *codes, nodes='2', restarts='2'):
        self.script = script = folder / 'rank.py'
        script.write_text(RANK)
        self.folder = folder
        self.port = free_port()
        self.command = [str(script), str(folder), *codes]
        self.options = dict(MAX_RESTARTS=restarts)
        self.nodes = nodes
        self.agents = []

    def start(self):
        self.agents.append(
            subprocess.Popen(
                [
                    sys.executable,
                    str(LAUNCH), f'--nnodes={self.nodes}',
                    '--master_addr=127.0.0.1', f'--master_port={self.port}',
                    '--nproc_per_node=1', *self.command
                ],
                stderr=subprocess.PIPE,
                text=True,
                env=dict(os.environ, OMP_NUM_THREADS='1', **self.options)))

    def wait_for(self, condition):
        while not condition():
            assert self.agents[0].poll() is None
            time.sleep(0.05)

    def end(self):
        """The code of each, and the last line that it wrote."""
        lines = [
            agent.communicate(timeout=120)[1].splitlines()
            for agent in self.agents
        ]
        return ([agent.returncode for agent in self.agents],
                [line[-1] if line else '' for line in lines])

    def kill(self):
        """Whatever is left of them."""
        for agent in self.agents:
            agent.kill()
            agent.wait()
        kill_those_that_run(self.script)

    def started(self, rank):
        """The round and the number of ranks, of each time."""
        return (self.folder /
                f'started_{rank}').read_text().split(';')[:-1]


@pytest.fixture(name='meet')
def _meet(tmp_path):
    """Call it for agents; a failed test leaves none of them."""
    with contextlib.ExitStack() as stack:

        def meet(*codes, **settings):
            agents = Agents(tmp_path, *codes, **settings)
            stack.callback(agents.kill)
            return agents

        yield meet


@elastic
def test_a_rank_that_fails_is_started_again(meet):
    agents = meet('3', nodes='1')
    agents.start()
    codes, (line, ) = agents.end()
    assert codes == [3]
    assert line.startswith('rank 0 on ')
    assert agents.started(0) == ['0 1', '1 1', '2 1']


@elastic
@pytest.mark.faults
def test_restarts_are_used_up_on_all_agents(meet):
    agents = meet('3', 'waits', restarts='1')
    agents.start()
    agents.start()
    codes, lines = agents.end()
    assert codes == [3, 3]
    assert [line.startswith('rank ') for line in lines].count(True) == 1
    assert 'the run has ended on ' in ''.join(lines)
    assert agents.started(0) == agents.started(1) == ['0 2', '1 2']


@elastic
@pytest.mark.parametrize(('code', 'expected'), [
    ('refused', 1), (str(PREEMPTED), PREEMPTED)])
def test_what_is_not_tried_again_ends_all_agents(code, expected, meet):
    agents = meet(code, 'waits')
    agents.start()
    agents.start()
    codes, lines = agents.end()
    assert codes == [expected, expected]
    assert f'with exit code {expected}' in ''.join(lines)
    assert agents.started(0) == agents.started(1) == ['0 2']


@elastic
@pytest.mark.faults
def test_agents_end_with_the_one_at_which_they_meet(meet, tmp_path):
    agents = meet('waits', 'waits')
    agents.start()
    agents.wait_for(lambda: port_in_use('127.0.0.1', int(agents.port)))
    agents.start()
    agents.wait_for((tmp_path / 'started_1').exists)
    agents.agents[0].send_signal(signal.SIGKILL)
    codes, lines = agents.end()
    assert codes == [-signal.SIGKILL, 1]
    assert 'does not answer' in lines[1]


@elastic
@pytest.mark.faults
def test_a_machine_that_stands_still_is_left_behind(meet, tmp_path):
    agents = meet('waits', 'waits', nodes='1:2')
    agents.options['RDZV_CONF'] = 'keep_alive_interval=1,last_call_timeout=5'
    agents.start()
    agents.wait_for(lambda: port_in_use('127.0.0.1', int(agents.port)))
    agents.start()
    agents.wait_for((tmp_path / 'started_1').exists)
    rank, = children(agents.agents[1].pid)
    for process in (agents.agents[1].pid, rank):
        os.kill(process, signal.SIGSTOP)
    alone = f'{int(agents.started(1)[0].split()[0]) + 1} 1'
    agents.wait_for(lambda: agents.started(0)[-1] == alone)
    for process in (rank, *(agent.pid for agent in agents.agents)):
        os.kill(process, signal.SIGKILL)
    agents.end()


@elastic
@pytest.mark.parametrize(('variables', 'told'), [
    (dict(NNODES='4:1'), 'NNODES=4:1 must be'),
    (dict(NNODES='a'), 'NNODES=a must be'),
    (dict(NNODES='1:2', MAX_RESTARTS='-1'), 'MAX_RESTARTS=-1 must be'),
])
def test_one_line_of_what_is_wrong(variables, told):
    output = call('bash', 'tools/dist_train.sh', 'a.py', 1, status=1,
                  timeout=60, **variables)
    line, = output.splitlines()
    assert line.startswith(told)
