"""What a training is doing, told from the stack of its main thread."""
from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Iterator

# By the module of a frame, or of those around it, from the inside out.
PHASES = (
    ('agvm_mm.measuring', 'measuring'),
    ('mmengine.runner.checkpoint', 'saving'),
    ('mmengine.hooks.checkpoint_hook', 'saving'),
    ('agvm_mm.recovery.saving', 'saving'),
    ('torch.utils.data', 'loading data'),
    ('torch.autograd', 'gradient'),
    ('mmengine.evaluator', 'evaluating'),
)
# Where a rank waits for others: DDP's reducer runs in the backward pass.
WAITING = ('torch.distributed', 'torch.autograd')


def activity(otherwise: str) -> dict:
    """What the main thread of this process is doing.

    Args:
        otherwise (str): The phase, where the stack does not tell.

    Returns:
        dict: Its 'phase', in a word or two; its 'place', as ``FILE:LINE in
        FUNCTION``, the innermost outside of torch; and whether it 'waits', or
        may, for other ranks.
    """
    frame = sys._current_frames().get(threading.main_thread().ident)
    modules = [(_module(f), f) for f in _outwards(frame)]
    names = [module for module, _ in modules]
    phase = next((phase for name in names for start, phase in PHASES
                  if _within(name, start)), otherwise)
    place = next((f'{f.f_code.co_filename}:{f.f_lineno} in {f.f_code.co_name}'
                  for module, f in modules if not _within(module, 'torch')),
                 'unknown')
    waits = any(_within(name, start) for name in names for start in WAITING)
    return dict(phase=phase, place=place, waits=waits)


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get('__name__', ''))


def _within(module: str, package: str) -> bool:
    return f'{module}.'.startswith(f'{package}.')
