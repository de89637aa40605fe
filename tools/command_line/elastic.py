"""torchrun's agent for a run whose machines may go, and come back."""
from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any

from torch.distributed.elastic.agent.server.api import (
    DEFAULT_ROLE,
    RunResult,
    WorkerState,
)
from torch.distributed.elastic.rendezvous.api import RendezvousError

from .agents import (
    PREEMPTED,
    ROUND,
    SignallingAgent,
    exit_code,
    grace_seconds,
    is_refused,
)
from .ends import EndedError, LeavesError, why

# Of torch 2.4: without it the run is closed for all.
IS_RESTART = 'is_restart'
# Agents read what others did once a second: rendezvous' own cache.
NEWS_SECONDS = 3
# In which the others take note of the end, before the store goes with us.
HEARD_SECONDS = 10


class ElasticAgent(SignallingAgent):
    """torchrun's agent, which knows what is to be tried again.

    When a machine joins or leaves, ranks have ``GRACE_SECONDS`` to save, and
    end with the code ``PREEMPTED`` for that. Neither this nor the loss of a
    machine counts as a failure. What is refused, and what has saved and
    stopped by a signal to a rank, is not tried again, and the agents of all
    machines end. At a signal to this agent it leaves, and the others go on.

    Attributes:
        last_code (int): Of its ranks, when they ended last.
    """

    last_code = 0
    _leaves = False
    _stopping = False
    _failed = False
    _ranks: set[int] = frozenset()  # type: ignore

    def run(self, role: str = DEFAULT_ROLE) -> RunResult:
        """As torchrun's own, and tell the others if it is the end.

        Args:
            role (str): Of the ranks.

        Raises:
            EndedError: If the run ends because of another machine.
            LeavesError: If this machine leaves the run.
        """
        try:
            result = super().run(role)
        except RendezvousError as error:
            self._check_end()
            self._end_without_others(why(error))
        if result is None:  # A spare one, which was not needed.
            return RunResult(state=WorkerState.SUCCEEDED)
        if result.is_failed():
            self._tell_end(exit_code(result.failures))
        else:
            self._let_spares_go()
        return result

    def _start_workers(self, worker_group: Any) -> dict[int, int]:
        handler = worker_group.spec.rdzv_handler
        os.environ[ROUND] = str(handler._state_holder.state.round)
        return super()._start_workers(worker_group)

    def _stop_workers(self, worker_group: Any, *args: Any,
                      **kwargs: Any) -> None:
        if not self._leaves:  # Or they have been told: twice ends them.
            self._send(signal.SIGTERM)
        self._stopping = True
        if self._pcontext is not None:
            result = self._pcontext.wait(grace_seconds(), 0.1)
            if result is None:
                self._send(signal.SIGKILL)
                self.last_code = 128 + signal.SIGKILL
            elif result.is_failed():
                self.last_code = exit_code(result.failures)
        super()._stop_workers(worker_group, *args, **kwargs)
        self._ranks = set()
        self._stopping = False

    def _initialize_workers(self, worker_group: Any) -> None:
        if self._leaves:
            raise LeavesError(self.last_code)
        super()._initialize_workers(worker_group)

    def _shutdown(self, *args: Any, **kwargs: Any) -> None:
        if self._leaves and IS_RESTART in inspect.signature(
                super()._shutdown).parameters:
            kwargs[IS_RESTART] = True
        super()._shutdown(*args, **kwargs)

    def _monitor_workers(self, worker_group: Any) -> RunResult:
        self._check_end()
        result = super()._monitor_workers(worker_group)
        if result.state == WorkerState.HEALTHY:
            if not self._leaves and self._misses_one(worker_group):
                _say('a machine gives no sign any more: the run is formed '
                     'anew without it')
                self._restart_workers(worker_group)
            return result
        if result.state != WorkerState.FAILED:
            return result
        self.last_code = exit_code(result.failures)
        if self._leaves:
            raise LeavesError(self.last_code)
        if is_refused(result.failures):
            self._remaining_restarts = 0
        elif self._others_change(worker_group):
            self._restart_workers(worker_group)
            return RunResult(state=WorkerState.HEALTHY)
        elif self.last_code == PREEMPTED:
            self._remaining_restarts = 0
        elif self._remaining_restarts:
            self._failed = True
            _say(f'ranks ended with exit code {self.last_code}: the run is '
                 'formed anew')
        return result

    def _restart_workers(self, worker_group: Any) -> None:
        before = worker_group.group_world_size
        super()._restart_workers(worker_group)
        machines = worker_group.group_world_size
        if self._failed and machines < before:
            self._remaining_restarts += 1  # They failed as it was lost.
        self._failed = False
        _say(f'the run goes on with {machines} machines in the place of '
             f'{before}, and may fail {self._remaining_restarts} times more '
             '(MAX_RESTARTS)')

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._leaves = True
        if self._stopping:
            return  # They are told already, and none is started after them.
        if not self._ranks:  # It waits for other machines.
            raise LeavesError(PREEMPTED)
        super()._pass_on(number, frame)
        try:
            self._worker_group.store.add('leaves', 1)
        except RuntimeError:
            return  # Its ranks know, and the others will miss it.

    def _others_change(self, worker_group: Any) -> bool:
        """Whether ranks ended because machines join or leave."""
        end = time.monotonic() + NEWS_SECONDS
        try:
            while time.monotonic() < end:
                self._check_end()
                if (worker_group.spec.rdzv_handler.num_nodes_waiting()
                        or worker_group.store.add('leaves', 0)):
                    return True
                time.sleep(0.1)
        except (RendezvousError, RuntimeError):
            pass  # Nobody is there to form a run with.
        return False

    def _misses_one(self, worker_group: Any) -> bool:
        """Whether another agent has sent no sign of life for 15 seconds."""
        state = worker_group.spec.rdzv_handler._state_holder.state
        return len(state.participants) < worker_group.group_world_size

    def _check_end(self) -> None:
        """End as another machine did, if it has.

        Raises:
            EndedError: With its code.
        """
        store = self._worker_group.store
        try:
            if store is None or not store.add('ended', 0):
                return
            code, host = json.loads(store.get('end'))
        except RuntimeError as error:
            self._end_without_others(why(error))
        self._stop_workers(self._worker_group)
        self._wait_until_heard()
        raise EndedError(
            f'the run has ended on {host}, with exit code {code}', code)

    def _end_without_others(self, told: str) -> None:
        self._stop_workers(self._worker_group)
        raise EndedError(
            told, PREEMPTED if self.last_code == PREEMPTED else 1)

    def _tell_end(self, code: int) -> None:
        try:
            store = self._worker_group.store
            store.set('end', json.dumps([code, socket.gethostname()]))
            store.add('ended', 1)  # To ask for it, check is of torch 2.1.
            self._worker_group.spec.rdzv_handler.set_closed()
            self._wait_until_heard()
        except (RendezvousError, RuntimeError):
            return  # The machine at which all meet is gone.

    def _let_spares_go(self) -> None:
        """Close the run before its store goes with us: they ask for that."""
        handler = self._worker_group.spec.rdzv_handler
        state = handler._state_holder.state
        if state.wait_list or getattr(state, 'redundancy_list', None):
            handler.set_closed()
            time.sleep(NEWS_SECONDS)

    def _wait_until_heard(self) -> None:
        """The store goes with the agent that hosts it: let all read it."""
        store, end = self._worker_group.store, time.monotonic() + HEARD_SECONDS
        with contextlib.suppress(RuntimeError):  # The host has heard all.
            store.add('heard', 1)
            while (store.add('heard', 0) < self._worker_group.group_world_size
                   and time.monotonic() < end):
                time.sleep(0.1)


def _say(what: str) -> None:
    sys.stderr.write(f'{socket.gethostname()}: {what}\n')
