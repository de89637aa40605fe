"""What the benchmark found, as tables, and beside the goals."""
from __future__ import annotations

from typing import Iterator, NamedTuple

from rich.table import Table

from .overhead import INTERVALS, READ
from .scale import PAPER
from .training import MEASURED, PIPELINES, UNMEASURED

# A tensor counts as gradient-sized from this share of the gradient on.
SIZED = 0.5


class Goal(NamedTuple):
    """Something to be reached.

    Attributes:
        name (str): What.
        value (float): What was found.
        limit (float): What is wanted, at most; at least for a speedup.
        met (bool): Whether it is.
    """
    name: str
    value: float
    limit: float
    met: bool


def goals(results: dict) -> list[Goal]:
    """The goals that these results can tell of.

    Args:
        results (dict): By part.
    """
    found = []
    for name, one in results.get('overhead', {}).items():
        if name not in PIPELINES:
            continue
        counted = one['counted']
        gradient = counted['gradient_bytes']
        limits = {
            'AGVM at interval 10, share of the time':
            (one['share_by_interval']['replica']['10'], PAPER),
            'an update that is not measured, share of the time':
            (one['unmeasured_share'], 0.0002),
            'a measurement, in reads of the gradient':
            (one['own_in_reads']['replica'], 3.0),
        }
        for scheme, allowed in (('replica', 0), ('half_batch', 1)):
            limits[f'{scheme}: gradients sent'] = (
                counted[scheme]['message_bytes'] / gradient, allowed + SIZED)
            limits[f'{scheme}: gradients kept'] = (
                counted[scheme]['extra_peak_bytes'] / gradient,
                allowed + SIZED)
        found.extend(
            Goal(f'{name}: {what}', value, limit, value <= limit)
            for what, (value, limit) in limits.items())
    for name, one in results.get('recovery', {}).items():
        found.extend(
            Goal(f'{name}: {what}, share of the time', share, 0.001, share <=
                 0.001) for what, share in one['share'].items()
            if name in PIPELINES)
    on_gpu = results.get('machine', {}).get('gpu') is not None
    # On a CPU 'never slower': the work is equal, and timed to some 5%.
    least = 3.0 if on_gpu else 0.95
    for name, variants in results.get('step', {}).items():
        for variant, one in variants.items():
            value = one['speedup']['median']
            found.append(
                Goal(f'{name}: step, {variant}, times faster', value, least,
                     value >= least))
    return found


def tables(results: dict) -> Iterator[Table]:
    """A table for each question.

    Args:
        results (dict): By part.
    """
    for name, one in results.get('overhead', {}).items():
        if name != 'log_line':
            yield _overhead(name, one)
            yield _counted(name, one['counted'])
    if 'step' in results:
        yield _step(results['step'])
    if 'recovery' in results:
        yield _recovery(results['recovery'])
    if 'estimator' in results:
        yield _estimator(results['estimator'])
    for name, shares in results.get('scale', {}).get('shares', {}).items():
        yield _scale(name, shares, results['scale'])
    table = _table('goals', 'goal', 'found', 'limit', '')
    for goal in goals(results):
        table.add_row(goal.name, f'{goal.value:.3g}', f'{goal.limit:.3g}',
                      'met' if goal.met else 'MISSED')
    yield table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify='left')
    for index, column in enumerate(columns):
        table.add_column(column, justify='right' if index else 'left')
    return table


def _spread(values: dict[str, float], scale: float = 1.0) -> str:
    median, least, most = (
        values[key] * scale for key in ('median', 'min', 'max'))
    return f'{median:.3g} ({least:.3g} to {most:.3g})'


def _overhead(name: str, one: dict) -> Table:
    width, height = one['image_size']
    seconds = one['iteration_seconds']['plain']['median']
    table = _table(
        f'overhead: {name}, {one["ranks"]} ranks over {one["backend"]} x '
        f'{one["images_per_rank"]} images of {width} x {height}, '
        f'{seconds:.3g} s an iteration', 'way',
        'own ms', 'in reads', 'of them local ms', 'iteration / plain',
        *(f'share at {k}' for k in INTERVALS))
    for way in (UNMEASURED, *MEASURED):
        shares = one['share_by_interval'].get(way)
        if shares is None:
            cells = [f'{one["unmeasured_share"]:.4%}']
        else:
            cells = [f'{shares[str(k)]:.4%}' for k in INTERVALS]
        reads = one['own_in_reads'].get(way)
        table.add_row(way, _spread(one['own_seconds'][way], 1e3),
                      '' if reads is None else f'{reads:.2f}',
                      _spread(one['local_seconds'][way], 1e3),
                      _spread(one['iteration_ratio'][way]), *cells)
    table.add_row(READ, _spread(one['read_seconds'], 1e3), '1')
    return table


def _counted(name: str, counted: dict) -> Table:
    gradient = counted['gradient_bytes']
    table = _table(
        f'counted: {name}, one measurement on {counted["ranks"]} ranks; the '
        f'gradient has {gradient / 2**20:.0f} MiB', 'way', 'messages',
        'bytes sent', '/ gradient', 'extra peak', '/ gradient')
    for way in MEASURED:
        one = counted[way]
        sent, kept = one['message_bytes'], one['extra_peak_bytes']
        table.add_row(way, f'{one["messages"]:,}', f'{sent:,}',
                      f'{sent / gradient:.2f}', f'{kept:,}',
                      f'{kept / gradient:.2f}')
    return table


def _step(results: dict) -> Table:
    table = _table("step: AdamW with the config's paramwise_cfg", 'model',
                   'AdamW', "groups: MMEngine's", 'ours', 'ours, ms',
                   'times faster')
    for name, variants in results.items():
        for variant, one in variants.items():
            table.add_row(name, variant, str(one['groups_mmengine']),
                          str(one['groups_ours']),
                          _spread(one['seconds_ours'], 1e3),
                          _spread(one['speedup']))
    return table


def _recovery(results: dict) -> Table:
    table = _table('recovery', 'model', 'what', 'own ms', 'in', 'share')
    for name, one in results.items():
        for what, seconds in one['own_seconds'].items():
            updates = one['updates'] if what == 'writing' else 1
            table.add_row(name, what, _spread(seconds, 1e3),
                          f'{updates} x {one["iteration_seconds"]:.3g} s',
                          f'{one["share"][what]:.4%}')
    return table


def _estimator(results: dict) -> Table:
    modules = results['modules']
    sizes = list(next(iter(modules.values())))
    table = _table(
        'estimator: replica / half_batch, spread (mean), over '
        f'{results["draws"]:,} sets of n replicas of '
        f'{results["samples_per_replica"]} images', 'module',
        *(f'n = {n}' for n in sizes))
    for module, by_size in modules.items():
        table.add_row(
            module,
            *(f'{one["spread_ratio"]:.2f} ({one["mean_ratio"]:.2f})'
              for one in by_size.values()))
    return table


def _scale(name: str, shares: dict, scale: dict) -> Table:
    sizes = list(next(iter(shares.values())))
    table = _table(
        f'scale (a model): {name}, share of the time at interval '
        f'{scale["interval"]}', 'GPUs', *shares)
    for size in sizes:
        table.add_row(f'{int(size):,}',
                      *(f'{by_size[size]:.4%}' for by_size in shares.values()))
    return table
