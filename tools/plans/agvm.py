"""What AGVM does in the run that a config plans."""
from __future__ import annotations

from mmengine.config import Config

from agvm_mm.engine.options import checked_options
from agvm_mm.large_batch.plan import Plan
from agvm_mm.large_batch.settings import wrappers_of
from agvm_mm.large_batch.total_batch import fit
from agvm_mm.large_batch.warmup import auto_begin


def agvm_options(cfg: Config,
                 plan: Plan,
                 name: str | None = None) -> dict | None:
    """AGVM's options in a plan, with their defaults.

    Args:
        cfg (Config): The config.
        plan (Plan): Its plan.
        name (str, optional): Of one of several optimizer wrappers. Defaults
            to None, the only one.

    Returns:
        dict or None: None without AGVM, or with ``end=0``. ``begin`` is an
        update, whatever the config states.

    Raises:
        ValueError: If an option is wrong, or ``begin`` cannot be worked out.
    """
    wrapper = wrappers_of(cfg)[name]
    if 'agvm' not in wrapper:
        return None
    options = checked_options(wrapper['agvm'])
    if options['end'] == 0:
        return None
    if options['begin'] == 'auto':
        options['begin'] = auto_begin(
            fit(cfg, plan.world_size), plan.updates * plan.accumulative_counts,
            plan.epochs, plan.accumulative_counts, name)
    return options


def measured_updates(plan: Plan, options: dict) -> int:
    """The updates of a plan that AGVM measures.

    Args:
        plan (Plan): The plan.
        options (dict): From :func:`agvm_options`.
    """
    return len(
        range(options['begin'], stops_at(plan, options), options['interval']))


def stops_at(plan: Plan, options: dict) -> int:
    """The first update that AGVM leaves alone again.

    Args:
        plan (Plan): The plan.
        options (dict): From :func:`agvm_options`.
    """
    if options['end'] is None:
        return plan.updates
    return min(plan.updates, options['end'])
