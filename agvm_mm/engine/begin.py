"""When AGVM begins: what ``begin='auto'`` becomes in a run."""
from __future__ import annotations

import logging

from mmengine.config import Config
from mmengine.logging import MessageHub, print_log

from agvm_mm.large_batch.warmup import auto_begin, warm_up_updates

from .clock import Clock


def config_of_run(hub: MessageHub) -> Config | None:
    """The config that a runner has written into its message hub.

    Args:
        hub (MessageHub): The run's.

    Returns:
        Config or None: None if there is none, or none that can be read back.
    """
    text = hub.get_info('cfg')
    if not text:
        return None
    try:
        return Config.fromstring(text, '.py')
    except Exception:  # Whatever a config may hold that has no source text.
        return None


def settle_begin(clock: Clock, cfg: Config | None, hub: MessageHub,
                 name: str | None) -> None:
    """Find out when AGVM begins, tell it, and warn if that is no good time.

    Args:
        clock (Clock): Of the run; its ``begin`` is set if it is 'auto'.
        cfg (Config, optional): The run's.
        hub (MessageHub): The run's.
        name (str, optional): Of the optimizer wrapper in an
            ``OptimWrapperDict``.

    Raises:
        ValueError: If ``begin='auto'`` finds no warm-up, or the run is too
            short for it.
    """
    iterations = clock.iterations or hub.get_info('max_iters')
    automatic = clock.begin == 'auto'
    if automatic and (cfg is None or not iterations):
        raise ValueError(
            "agvm.begin='auto' reads the warm-up from the config of the run, "
            'but no runner has told one here: set agvm.begin to the update at '
            'which the warm-up ends, + 100')
    if cfg is None or not iterations:
        return
    epochs = (cfg.get('train_cfg') or {}).get('max_epochs')
    if automatic:
        clock.begin = auto_begin(cfg, iterations, epochs, clock.micro_batches,
                                 name)
        print_log(
            f'AGVM begins at update {clock.begin}: the end of the warm-up + '
            '100. agvm.begin sets another one.',
            logger='current')
        return
    warm_up = warm_up_updates(cfg, epochs and iterations // epochs,
                              clock.micro_batches, name)
    if warm_up and clock.begin < warm_up and clock.updates == 0:
        _warn(f'agvm.begin={clock.begin} lies inside of the warm-up, which '
              f'ends at update {warm_up}: gradients change too fast there for '
              f'AGVM to follow. Set it to {warm_up + 100}, or leave it out.')


def warn_of_nothing(clock: Clock) -> None:
    """Warn if the run is over before AGVM begins."""
    last = min(clock.total_updates, clock.end)
    if clock.begin != 'auto' and last <= clock.begin:
        _warn(f'AGVM will do nothing: agvm.begin={clock.begin}, but agvm.end '
              f'or the end of the training is {last}.')


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
