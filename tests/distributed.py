"""Runs a function on several real processes: gloo's, or NCCL's on GPUs."""
from __future__ import annotations

import contextlib
import gc
import multiprocessing
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from . import once

# Ranks are forked from a server that has imported these, and run nothing.
# An optimizer imports torch._dynamo, and a runner matplotlib: seconds each.
multiprocessing.set_forkserver_preload([
    'torch', 'torch._dynamo', 'matplotlib.figure',
    'matplotlib.backends.backend_agg', 'tests.toy'
])


# By which Python sends between ranks; of DDP's reducer, which is not Python,
# nothing is seen. Newer torch has names that older torch lacks.
COLLECTIVES = ('all_gather', 'all_gather_into_tensor', 'all_gather_object',
               'all_gather_single', 'all_reduce', 'all_reduce_coalesced',
               'all_to_all', 'all_to_all_single', 'barrier',
               'batch_isend_irecv', 'broadcast', 'broadcast_object_list',
               'gather', 'gather_object', 'irecv', 'isend', 'recv', 'reduce',
               'reduce_scatter', 'reduce_scatter_single',
               'reduce_scatter_tensor', 'scatter', 'scatter_object_list',
               'send')


@contextlib.contextmanager
def collectives():
    """A list of what is called within: each name, and its elements."""
    sent = []

    def noting(function, *args, **kwargs):
        sizes = [
            arg.numel() for arg in (*args, *kwargs.values())
            if isinstance(arg, torch.Tensor)
        ]
        sent.append((function.__name__, max(sizes, default=0)))
        return function(*args, **kwargs)

    with contextlib.ExitStack() as stack:
        for name in filter(partial(hasattr, dist), COLLECTIVES):
            stack.enter_context(
                mock.patch.object(dist, name,
                                  partial(noting, getattr(dist, name))))
        yield sent


def run_ranks(function, num_ranks, *args, device='cpu'):
    """Call ``function(rank, *args)`` on each rank; return what each returns.

    On 'cuda' each rank has a GPU of its own, or the test is skipped. Tensors
    come back to the CPU.

    Raises:
        Exception: If any rank raises, or ends with an exit code that is not 0.
    """
    if device == 'cuda' and torch.cuda.device_count() < num_ranks:
        pytest.skip(f'{num_ranks} ranks over NCCL need {num_ranks} GPUs')
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            _run, (function, num_ranks, folder, device, args),
            nprocs=num_ranks,
            # The server asks for GPUs when it imports torch; what is forked
            # from it could not use them.
            start_method='spawn' if device == 'cuda' else 'forkserver')
        return [
            torch.load(
                Path(folder) / f'{rank}.pth',
                map_location='cpu',
                weights_only=False)
            for rank in range(num_ranks)
        ]


def _run(rank, function, num_ranks, folder, device, args):
    once.patch(setattr)
    torch.set_num_threads(1)
    if device == 'cuda':
        torch.cuda.set_device(rank)
    dist.init_process_group(
        'nccl' if device == 'cuda' else 'gloo',
        init_method=f'file://{folder}/store',
        rank=rank,
        world_size=num_ranks)
    torch.save(function(rank, *args), Path(folder) / f'{rank}.pth')
    dist.barrier()
    # DDP's reducer must be gone before gloo's threads are.
    gc.collect()
    dist.destroy_process_group()
