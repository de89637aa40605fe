"""Keeps the total batch on the processes that the launcher states."""
from __future__ import annotations

import os

from mmengine.config import Config
from mmengine.dist import get_world_size, infer_launcher, is_distributed

from .settings import counts_updates, wrappers_of
from .total_batch import check_lr_of_total, resolve

# Where each launcher tells the number of processes.
WORLD_SIZE = dict(
    pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE')
# What started this very process as one of several: the variable that counts
# them, one that nothing else sets, and the launcher's name. Within a job of
# Slurm, srun may have started the daemons of the others.
STARTED = dict(
    torchrun=('WORLD_SIZE', 'TORCHELASTIC_RUN_ID', 'pytorch'),
    mpirun=('OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK', 'mpi'),
    srun=('SLURM_STEP_NUM_TASKS', 'SLURM_PROCID', 'slurm'))


def processes_told(variable: str) -> int:
    """The processes that a launcher has written into the environment.

    Args:
        variable (str): Its name.

    Returns:
        int: 1 if it is not set, or empty.

    Raises:
        ValueError: If it is no number.
    """
    value = os.environ.get(variable) or '1'
    if not value.isdecimal():
        raise ValueError(f'{variable}={value} in the environment must be the '
                         'number of processes, as a launcher sets it: unset '
                         'it, or start this command with that launcher')
    return int(value)


def world_size(launcher: str | None) -> int:
    """The number of processes, as the launcher tells it.

    Args:
        launcher (str, optional): 'none', 'pytorch', 'slurm' or 'mpi'; None to
            read it from the environment, as MMEngine's FlexibleRunner does.

    Returns:
        int: At least 1.

    Raises:
        ValueError: If the launcher does not tell it, or is none while several
            processes were started: each would train on its own.
    """
    if launcher is None:
        launcher = infer_launcher()
    if launcher == 'none':
        for started_by, (variable, proof, name) in STARTED.items():
            started = processes_told(variable) if proof in os.environ else 1
            if started > 1:
                raise ValueError(
                    f"launcher='none', but {started_by} started {started} "
                    'processes, which would train apart from each other: add '
                    f"--launcher {name}, or set launcher='{name}'")
        return get_world_size()
    if launcher not in WORLD_SIZE:
        raise ValueError(f'launcher={launcher!r} is unknown: it must be none, '
                         f'{", ".join(WORLD_SIZE)}')
    if is_distributed():
        return get_world_size()
    variable = WORLD_SIZE[launcher]
    if not os.environ.get(variable):
        raise ValueError(
            f'launcher={launcher!r} (--launcher) expects {variable} in the '
            'environment: start this command with that launcher, or leave '
            '--launcher out for a single process')
    return processes_told(variable)


def split_by_hand(cfg: Config) -> bool:
    """Whether a config states itself how its batch is split.

    It does where ``accumulative_counts`` is set, by the config or on the
    command line, and no run has set it: its iterations are then its own.

    Args:
        cfg (Config): Of a run.
    """
    return not counts_updates(cfg) and any(
        'accumulative_counts' in wrapper
        for wrapper in wrappers_of(cfg).values())


def refuse_split_by_hand(cfg: Config) -> None:
    """Refuse a config whose total batch no other number can be worked out of.

    Args:
        cfg (Config): Of a run.

    Raises:
        ValueError: If it is one of :func:`split_by_hand`.
    """
    if split_by_hand(cfg):
        raise ValueError(
            'optim_wrapper.accumulative_counts is set, so that the config '
            'runs as it is split by hand, whatever its total_batch_size: '
            'leave it out, because it follows from the number of processes')


def resolve_here(cfg: Config, launcher: str | None) -> Config:
    """:func:`resolve` for the processes that the launcher states.

    Args:
        cfg (Config): It is not changed. One that is split by hand (see
            :func:`split_by_hand`), or that trains nothing, is left as it is.
        launcher (str, optional): See :func:`world_size`.

    Returns:
        Config: For MMEngine's runners.

    Raises:
        ValueError: As :func:`resolve` and :func:`world_size`.
    """
    if cfg.get('train_dataloader') is None or cfg.get('train_cfg') is None:
        return cfg
    if split_by_hand(cfg):
        world_size(launcher)
        if cfg.get('total_batch_size') is not None:
            check_lr_of_total(cfg)
        return cfg
    return resolve(cfg, world_size(launcher))
