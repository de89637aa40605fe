"""The final runs of a protocol by cell: what they reached, and when."""
from __future__ import annotations

import math
import statistics
from typing import Dict, List, Sequence

from .cells import MEASURED, Cell, updates_to

Finals = Dict[Cell, List[dict]]


def plain(finals: Finals) -> Finals:
    """The cells that are compared: no controls, and none that only measures.

    Args:
        finals (dict): Final runs by cell.
    """
    return {
        cell: of_cell
        for cell, of_cell in finals.items()
        if not cell.tag and not cell.method.endswith(MEASURED)
    }


def of_method(finals: Finals, method: str) -> dict[int, list[dict]]:
    """A method's final runs by batch, without controls.

    Args:
        finals (dict): Final runs by cell.
        method (str): One.
    """
    return {
        cell.batch: of_cell
        for cell, of_cell in finals.items()
        if cell.method == method and not cell.tag
    }


def reached(of_cell: Sequence[dict], target: float) -> list[float]:
    """The updates to a target of those runs that reached it."""
    found = [updates_to(result, target) for result in of_cell]
    return [updates for updates in found if math.isfinite(updates)]


def mean_updates(of_cell: Sequence[dict], target: float) -> float | None:
    """Updates to a target, the geometric mean over seeds.

    Args:
        of_cell (Sequence[dict]): Final runs.
        target (float): Of the metric.

    Returns:
        float or None: None if a run did not reach it.
    """
    found = reached(of_cell, target)
    if len(found) < len(of_cell):
        return None
    return statistics.geometric_mean(found)


def with_variances(of_batches: dict[int, list[dict]]) -> dict[int, list[dict]]:
    """Those of a method's final runs in which AGVM measured something.

    Args:
        of_batches (dict[int, list[dict]]): By batch, of :func:`of_method`.
    """
    found = {
        batch: [r for r in of_cell if r['agvm'].get('variance')]
        for batch, of_cell in of_batches.items()
    }
    return {batch: of_cell for batch, of_cell in found.items() if of_cell}


def measured_finals(finals: Finals, pipeline: str, optimizer: str,
                    with_agvm: str) -> dict[Cell, dict]:
    """A run without and with AGVM, at the smallest and the largest batch.

    Args:
        finals (dict): Final runs by cell.
        pipeline (str): What they trained.
        optimizer (str): Whose runs were measured.
        with_agvm (str): The method with AGVM.

    Returns:
        dict[Cell, dict]: The first seed's result, without AGVM first; empty
        if no run without it was measured.
    """
    methods = optimizer + MEASURED, with_agvm
    without, after = (
        with_variances(of_method(finals, method)) for method in methods)
    shown = dict.fromkeys(sorted(without)[:1] + sorted(without)[-1:])
    return {
        Cell(pipeline, method, batch): of_batches[batch][0]
        for method, of_batches in zip(methods, (without, after))
        for batch in shown if batch in of_batches
    }
