"""Which rank the others wait for, by what each of them wrote."""
from __future__ import annotations


def verdict(before: dict[int, dict], now: dict[int, dict], world_size: int,
            timeout: float) -> str:
    """Which ranks the others wait for.

    Args:
        before (dict[int, dict]): What each rank wrote.
        now (dict[int, dict]): The same, some beats later.
        world_size (int): Of all ranks.
        timeout (float): Seconds, as set.

    Returns:
        str: A sentence for each of those ranks.
    """
    silent = [
        rank for rank in range(world_size)
        if rank not in now or before.get(rank, {}).get('beat') == now[rank]
        ['beat']
    ]
    if silent:
        found = [
            f'rank {rank}{_host(now.get(rank))} gives no sign: its process or '
            'its machine has ended or stopped' +
            (f', last seen at {doing(now[rank])}' if rank in now else '')
            for rank in silent
        ]
    else:
        fewest = min(record['events'] for record in now.values())
        behind = {r: v for r, v in now.items() if v['events'] == fewest}
        # One that computes holds up those that wait.
        busy = {r: v for r, v in behind.items() if not v['waits']}
        found = [
            f'rank {rank}{_host(record)} is stuck at {doing(record)}, for '
            f'{record["seconds"]:.0f} s' for rank, record in sorted((
                busy or behind).items())
        ]
    return (f'{"; ".join(found)}. No rank went on for {timeout:g} s '
            '(WatchdogHook.timeout), so all end here')


def _host(record: dict | None) -> str:
    return f' on {record["host"]}' if record else ''


def doing(record: dict) -> str:
    """Where a rank is.

    Args:
        record (dict): That it wrote.
    """
    return f'update {record["update"]}, {record["phase"]} ({record["place"]})'
