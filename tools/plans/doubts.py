"""What in a plan is allowed, and hardly meant."""
from __future__ import annotations

from mmengine.config import Config

from agvm_mm.engine.begin import in_warm_up, nothing_measured
from agvm_mm.large_batch.doubts import warm_up_doubts
from agvm_mm.large_batch.plan import Plan
from agvm_mm.large_batch.settings import wrappers_of
from agvm_mm.large_batch.total_batch import fit
from agvm_mm.large_batch.warmup import warm_up_updates

from .agvm import agvm_options, stops_at


def doubts(cfg: Config, plan: Plan) -> list[str]:
    """What a run of a plan would warn of.

    Args:
        cfg (Config): The config.
        plan (Plan): Its plan.
    """
    resolved = fit(cfg, plan.world_size)
    counts = plan.accumulative_counts
    epoch = plan.updates_per_epoch and plan.updates_per_epoch * counts
    found = warm_up_doubts(resolved, plan.updates * counts, plan.epochs or 1)
    for name in wrappers_of(cfg):
        options = agvm_options(cfg, plan, name)
        if options is not None:
            begin = options['begin']
            warm_up = warm_up_updates(resolved, epoch, counts, name)
            found += [
                *in_warm_up(begin, warm_up),
                *nothing_measured(begin, stops_at(plan, options)),
            ]
    return found
