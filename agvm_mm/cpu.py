"""What MMEngine lacks to train with DDP on CPUs, over gloo.

List it in a config that should also run where no GPU is::

    custom_imports = dict(imports=['agvm_mm', 'agvm_mm.cpu'])
    model_wrapper_cfg = dict(type='CPUDistributedDataParallel')

With a GPU at hand the import does nothing and the wrapper is MMEngine's own.
Without one, MMEngine 0.10 needs four helps:

1. its ``init_dist`` calls CUDA even for gloo, unless there is a process group
   already, so this module makes it when it is imported in a process that
   torchrun, Slurm's srun or Open MPI's mpirun started as one of several;
2. its model wrapper names a CUDA device;
3. SyncBatchNorm has no CPU kernel;
4. gloo's threads can abort a process that exits while DDP still holds its
   reducer.

An accelerator of another kind, which MMEngine would train on, is refused.
"""
from __future__ import annotations

import atexit
import gc
import os
import subprocess
import weakref
from typing import Any

import torch
import torch.distributed as dist
from mmengine import device
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

_live_wrappers: weakref.WeakSet = weakref.WeakSet()


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """MMEngine's DDP wrapper, for models on a CPU as well.

    Args:
        module (nn.Module): The model.
        **kwargs: For ``MMDistributedDataParallel``; ``device_ids``, which
            MMEngine always passes, is taken out where no GPU is.

    Raises:
        ValueError: If MMEngine trains on an accelerator that is not CUDA's.
    """

    def __init__(self, module: nn.Module, **kwargs: Any) -> None:
        if not torch.cuda.is_available():
            _check_device()
            kwargs.pop('device_ids', None)
            module = revert_sync_batchnorm(module)
            _live_wrappers.add(self)
        super().__init__(module, **kwargs)


def wrap_on_cpus(cfg: Config) -> None:
    """Let a config that names no wrapper run on several processes of CPUs.

    Its settings are those of MMEngine's for GPUs.

    Args:
        cfg (Config): With its launcher; it is changed where no GPU is.
    """
    if (cfg.launcher != 'none' and not torch.cuda.is_available()
            and cfg.get('model_wrapper_cfg') is None):
        cfg.model_wrapper_cfg = dict(
            type='CPUDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False))


def _check_device() -> None:
    for name in ('npu', 'mlu', 'mps', 'dipu', 'musa'):
        # MMEngine's releases know different ones.
        if getattr(device, f'is_{name}_available', bool)():
            raise ValueError(
                'agvm_mm.cpu is for CPUs and CUDA devices, but MMEngine '
                f"trains on this machine's {name}: take 'agvm_mm.cpu' out of "
                'custom_imports, and CPUDistributedDataParallel out of '
                'model_wrapper_cfg')


def _take_over_from_slurm() -> None:
    """Tell torch what srun tells, as MMEngine does with a GPU."""
    # Of this very step: the variables of the job stand in its batch script
    # too, which is no rank of anything.
    tasks = int(os.environ.get('SLURM_STEP_NUM_TASKS') or 1)
    if tasks == 1 or 'RANK' in os.environ:
        return
    hosts = subprocess.run(
        ['scontrol', 'show', 'hostnames', os.environ['SLURM_STEP_NODELIST']],
        check=True,
        stdout=subprocess.PIPE,
        text=True).stdout.split()
    os.environ.setdefault('MASTER_ADDR', hosts[0])
    os.environ.setdefault('MASTER_PORT', '29500')
    os.environ.update(
        RANK=os.environ['SLURM_PROCID'],
        LOCAL_RANK=os.environ['SLURM_LOCALID'],
        WORLD_SIZE=str(tasks))


def _take_over_from_mpi() -> None:
    """Tell torch what Open MPI's mpirun tells, as MMEngine does with a GPU."""
    tasks = os.environ.get('OMPI_COMM_WORLD_SIZE') or '1'
    if tasks == '1' or 'RANK' in os.environ:
        return
    if os.environ['OMPI_COMM_WORLD_LOCAL_SIZE'] == tasks:
        os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    os.environ.update(
        RANK=os.environ['OMPI_COMM_WORLD_RANK'],
        LOCAL_RANK=os.environ['OMPI_COMM_WORLD_LOCAL_RANK'],
        WORLD_SIZE=tasks)


def _init_gloo() -> None:
    # First: within a job of Slurm, srun may have started mpirun's daemons.
    _take_over_from_mpi()
    _take_over_from_slurm()
    launched = all(
        name in os.environ
        for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'))
    if launched and not dist.is_initialized():
        _check_device()
        dist.init_process_group('gloo')
        # Last in, first out: before the interpreter takes gloo's threads down.
        atexit.register(_shut_down)


def _shut_down() -> None:
    for wrapper in list(_live_wrappers):
        wrapper.reducer = None
        wrapper.logger = None
    gc.collect()
    if dist.is_initialized():
        dist.destroy_process_group()


if dist.is_available() and not torch.cuda.is_available():
    _init_gloo()
