"""Starts the processes that a benchmark needs."""
from __future__ import annotations

import multiprocessing as processes
import tempfile
from typing import Any, Callable

import torch
from torch.distributed.elastic import multiprocessing
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

# Ranks are forked from a server that has imported these: seconds for each.
processes.set_forkserver_preload(['mmdet.models', 'mmdet.datasets'])


def launch(ranks: int, function: Callable, *args: Any) -> list[Any]:
    """Call a function on new ranks.

    Args:
        ranks (int): Processes.
        function (Callable): To call in each.
        *args: For it.

    Returns:
        list[Any]: What each of them returns.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            run_id='benchmark',
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=ranks,
            rdzv_backend='c10d',
            rdzv_endpoint='localhost:0',
            max_restarts=0,
            # What is forked could not use a GPU that the server asked for.
            start_method='spawn' if torch.cuda.is_available() else
            'forkserver',
            **_logs_in(folder))
        results = elastic_launch(config, function)(*args)
    return [results[rank] for rank in range(ranks)]


def _logs_in(folder: str) -> dict:
    """What keeps the ranks' warnings from the reader; an error comes back."""
    everything = multiprocessing.Std.ALL
    if hasattr(multiprocessing, 'DefaultLogsSpecs'):
        return dict(
            logs_specs=multiprocessing.DefaultLogsSpecs(
                folder, redirects=everything))
    return dict(log_dir=folder, redirects=everything)  # before torch 2.3
