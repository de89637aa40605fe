"""What AGVM does in the run that a config plans."""
from __future__ import annotations

from mmengine.config import Config

from agvm_mm.large_batch.plan import Plan
from agvm_mm.large_batch.settings import wrappers_of
from agvm_mm.large_batch.total_batch import fit
from agvm_mm.large_batch.warmup import auto_begin, warm_up_updates

from .options import checked_options


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
    end = plan.updates
    if options['end'] is not None:
        end = min(end, options['end'])
    return len(range(options['begin'], end, options['interval']))


def doubts(cfg: Config, plan: Plan, name: str | None = None) -> list[str]:
    """What in AGVM's options is allowed, and hardly meant.

    Args:
        cfg (Config): The config.
        plan (Plan): Its plan.
        name (str, optional): See :func:`agvm_options`.
    """
    options = agvm_options(cfg, plan, name)
    if options is None:
        return []
    found = []
    begin, counts = options['begin'], plan.accumulative_counts
    warm_up = warm_up_updates(
        fit(cfg, plan.world_size), plan.updates_per_epoch
        and plan.updates_per_epoch * counts, counts, name)
    if warm_up is not None and begin < warm_up:
        found.append(
            f'agvm.begin={begin} lies inside of the warm-up, which ends '
            f"at update {warm_up}: set it to {warm_up + 100}, or to 'auto'")
    if not measured_updates(plan, options):
        found.append(f'AGVM will do nothing: agvm.begin={begin}, but the '
                     f'training ends after {plan.updates} updates')
    return found
