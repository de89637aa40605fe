"""Which batches a run's logged noise scales say are worth running."""
from __future__ import annotations

from pathlib import Path

from reports.logs import read_log
from reports.series import noise_scales
from reports.worth import measured_range
from rich.table import Table

from agvm_mm.large_batch.plan import Plan


def noise_table(work_dir: Path, plan: Plan) -> tuple[Table, str]:
    """What the noise scales of a run say of this plan's batch.

    McCandlish et al. (2018): at batch B a module whose noise scale is B_i
    makes 1 / (1 + B_i / B) of the progress that an update can make at most,
    and takes 1 + B / B_i times the images that it needs at least.

    Args:
        work_dir (Path): Of a run with AGVM.
        plan (Plan): Its batch is judged.

    Returns:
        tuple[Table, str]: A row for each module, and the range of total
        batches worth running, with what it is worth.

    Raises:
        ValueError: If the run logged no noise scale.
    """
    rows = read_log(work_dir)
    scales = noise_scales(rows, fewest=1)
    table = Table()
    table.add_column('module', overflow='fold')
    for column in ('gains little beyond',
                   f'progress at {plan.total_batch_size:,}'):
        table.add_column(column, justify='right')
    for module, scale in scales.items():
        if scale is None:
            table.add_row(module, 'no signal above the noise', '')
            continue
        progress = 1 / (1 + scale / plan.total_batch_size)
        table.add_row(module, f'{scale:,.0f}', f'{progress:.0%}')
    known = [scale for scale in scales.values() if scale is not None]
    if not known:
        why = 'its second half never showed a signal above the noise'
        if any(row.get('agvm/num_samples') == 0 for row in rows):
            why = ("its model's inputs are of a kind whose samples AGVM "
                   'cannot count, as its log warns')
        raise ValueError(f'{work_dir} logged no agvm/noise_scale: {why}')
    # To whole samples of each process, or it could not run.
    low, high = (
        max(1, round(scale / plan.world_size)) * plan.world_size
        for scale in (min(known), max(known)))
    return table, (
        f'worth running on {plan.world_size} GPUs: total batches from {low:,} '
        f'(up to it every module gains) to {high:,} (beyond it none gains '
        f'much)\n{measured_range(min(known))}')
