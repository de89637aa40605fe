"""What earlier results choose for later runs, where there is no protocol."""
from __future__ import annotations

import statistics
from typing import Sequence

from .cells import BASELINE, best_rate


def best_lr(results: Sequence[dict], like: dict) -> float | None:
    """The best learning rate on the validation split.

    Args:
        results (Sequence[dict]): Of runs.
        like (dict): Names the pipeline, method and batch.

    Returns:
        float or None: None if no such run is done.
    """
    found = _like(results, like, 'val')
    return best_rate(found) if found else None


def constant_scale(results: Sequence[dict], like: dict) -> dict | None:
    """Settings that multiply each module's lr by what AGVM found.

    Args:
        results (Sequence[dict]): Of runs.
        like (dict): Names the pipeline, method and batch.

    Returns:
        dict or None: None if no such run on the test split is done.
    """
    found = _like(results, like, 'test', BASELINE)
    if not found:
        return None
    modules = found[0]['agvm']['lr_scale']
    keys = {}
    for module in modules:
        values = [
            value for result in found
            for _, value in result['agvm']['lr_scale'][module]
        ]
        keys[module] = dict(lr_mult=round(statistics.fmean(values), 3))
    return {'optim_wrapper.paramwise_cfg': dict(custom_keys=keys)}


def _like(results: Sequence[dict],
          like: dict,
          split: str,
          tag: str = '') -> list[dict]:
    """Results of one pipeline, method and batch."""
    return [
        result for result in results
        if result['run']['split'] == split and result['run']['tag'] == tag
        and all(result['run'][key] == like[key]
                for key in ('pipeline', 'method', 'batch'))
    ]
