"""AGVM's part of a checkpoint: its state by the modules' names."""
from __future__ import annotations

import logging

from mmengine.logging import print_log

from agvm_mm.algorithm.modulator import Modulator
from agvm_mm.algorithm.variance import NoiseScale

from .skipped import SkippedMeasurements


def agvm_state(modulator: Modulator, noise_scale: NoiseScale,
               skipped: SkippedMeasurements) -> dict:
    """What a checkpoint holds in ``['optimizer']['agvm']``.

    Args:
        modulator (Modulator): With the factors.
        noise_scale (NoiseScale): With its running sums.
        skipped (SkippedMeasurements): Their count.
    """
    return dict(
        lr_scale=modulator.state_dict(),
        noise_scale=noise_scale.state_dict(),
        skipped=skipped.count)


def load_agvm_state(state: dict | None, modulator: Modulator,
                    noise_scale: NoiseScale,
                    skipped: SkippedMeasurements) -> None:
    """Take over the state of the modules that both runs know.

    Warns of the modules that only one of them has.

    Args:
        state (dict, optional): From :func:`agvm_state`; None if the checkpoint
            was written without AGVM.
        modulator (Modulator): To be loaded.
        noise_scale (NoiseScale): To be loaded.
        skipped (SkippedMeasurements): To be loaded.
    """
    if state is None:
        _warn('The checkpoint holds no state of AGVM: every lr_scale starts '
              'at 1.')
        return
    modulator.load_state_dict(state['lr_scale'])
    noise_scale.load_state_dict(state['noise_scale'])
    skipped.count = state['skipped']
    ours = modulator.modules
    new = [m for m in ours if m not in state['lr_scale']]
    gone = [m for m in state['lr_scale'] if m not in ours]
    if new or gone:
        _warn('The checkpoint was written with other AGVM modules: '
              f'{", ".join(new) or "none"} start(s) at lr_scale 1, and the '
              f'state of {", ".join(gone) or "none"} is dropped.')


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
