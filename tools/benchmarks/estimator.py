"""How far the two estimators of Phi spread, on real gradients.

A small Faster R-CNN is trained for a while, its weights are then held, and
the gradients of many small batches are taken: a pool of replicas. From it,
random sets of n replicas are drawn, and both estimators see each set.
"""
from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Callable

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import Tensor

from agvm_mm import partition_parameters
from agvm_mm.algorithm.variance import half_batch_variance, replica_variance
from agvm_mm.datasets import write_digits

CONFIG = (
    Path(__file__).parents[2] /
    'configs/digits/faster-rcnn_r18_fpn_sgd_digits.py')
NUM_REPLICAS = (2, 4, 8, 16, 32)
BATCH = 16  # of an update of the training
REPLICA = 2  # samples of a replica


def measure(*, updates: int, pool: int, draws: int,
            on_progress: Callable[[str], None]) -> dict:
    """Compare the estimators.

    Args:
        updates (int): Of the training, before the weights are held.
        pool (int): Replicas to draw from, at least 32.
        draws (int): Sets drawn for each n.
        on_progress (Callable[[str], None]): Told what is being done.

    Returns:
        dict: By module and n, the mean of each estimator, the quotient of the
        means, and the quotient of the standard deviations.
    """
    torch.manual_seed(0)
    MMLogger.get_instance('benchmark', log_level='WARNING')
    cfg = Config.fromfile(CONFIG)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    with tempfile.TemporaryDirectory() as folder:
        root = write_digits(
            Path(folder) / 'digits', num_train=REPLICA * pool, num_val=1)
        cfg.train_dataloader.dataset.data_root = str(root)
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        data = [dataset[i] for i in range(len(dataset))]

    wrapper = build_optim_wrapper(
        model,
        dict(type='OptimWrapper', optimizer=cfg.optim_wrapper.optimizer))
    for update in range(updates):
        on_progress(f'training {update + 1}/{updates}')
        chosen = torch.randint(len(data), (BATCH, )).tolist()
        model.train_step(_batch([data[i] for i in chosen]), wrapper)
    coordinates = _coordinates(model, data, pool, on_progress)

    results: dict = dict(
        updates=updates,
        pool=pool,
        draws=draws,
        samples_per_replica=REPLICA,
        modules={})
    for module, vectors in coordinates.items():
        on_progress(f'drawing from {module}')
        results['modules'][module] = {
            str(n): _compare(vectors, n, draws)
            for n in NUM_REPLICAS
        }
    return results


def _batch(data: list[dict]) -> dict:
    return {
        'inputs': [one['inputs'] for one in data],
        'data_samples': [one['data_samples'].clone() for one in data]
    }


def _coordinates(model: torch.nn.Module, data: list[dict], pool: int,
                 on_progress: Callable[[str], None]) -> dict[str, Tensor]:
    """The pool's gradients by module, as vectors of ``pool`` dimensions.

    Replicas span no more, so the square root of their products gives vectors
    with the same lengths and angles, which are as good and far smaller.
    """
    parameters = dict(model.named_parameters())
    partition = partition_parameters(model)
    gradients = []
    for i in range(pool):
        on_progress(f'gradient {i + 1}/{pool}')
        model.zero_grad()
        batch = model.data_preprocessor(
            _batch(data[i * REPLICA:(i + 1) * REPLICA]), training=True)
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
        loss.backward()
        gradients.append({
            module:
            torch.cat([parameters[n].grad.flatten() for n in names])
            for module, names in partition.items()
        })
    coordinates = {}
    for module in partition:
        vectors = torch.stack([g.pop(module) for g in gradients]).double()
        values, axes = torch.linalg.eigh(vectors @ vectors.T)
        coordinates[module] = axes * values.clamp(min=0).sqrt()
    return coordinates


def _compare(vectors: Tensor, n: int, draws: int) -> dict[str, float]:
    both = []
    for _ in range(draws):
        chosen = vectors[torch.randperm(len(vectors))[:n]]
        first, second = chosen[:n // 2].mean(0), chosen[n // 2:].mean(0)
        both.append(
            torch.stack([
                replica_variance(chosen.square().sum(),
                                 chosen.mean(0).square().sum(), n),
                half_batch_variance(first, second)
            ]))
    mean = torch.stack(both).mean(0)
    spread = torch.stack(both).std(0)
    return dict(
        mean_replica=mean[0].item(),
        mean_half_batch=mean[1].item(),
        mean_ratio=(mean[0] / mean[1]).item(),
        spread_ratio=(spread[0] / spread[1]).item())
