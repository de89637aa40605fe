"""Runs a function on several real gloo processes."""
from __future__ import annotations

import gc
import multiprocessing
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# Ranks are forked from a server that has imported these, and run nothing.
multiprocessing.set_forkserver_preload(['torch', 'tests.toy'])


def run_ranks(function, num_ranks, *args):
    """Call ``function(rank, *args)`` on each rank; return what each returns.

    Raises:
        Exception: If any rank raises, or ends with an exit code that is not 0.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            _run, (function, num_ranks, folder, args),
            nprocs=num_ranks,
            start_method='forkserver')
        return [
            torch.load(Path(folder) / f'{rank}.pth', weights_only=False)
            for rank in range(num_ranks)
        ]


def _run(rank, function, num_ranks, folder, args):
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method=f'file://{folder}/store',
        rank=rank,
        world_size=num_ranks)
    torch.save(function(rank, *args), Path(folder) / f'{rank}.pth')
    dist.barrier()
    # DDP's reducer must be gone before gloo's threads are.
    gc.collect()
    dist.destroy_process_group()
