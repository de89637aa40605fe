"""One optimizer step: MMEngine's parameter groups against ours.

Both optimizers hold the same parameters and gradients and take turns, so that
only the groups differ: MMEngine makes one for each parameter as soon as a
``paramwise_cfg`` is given.
"""
from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.utils import get_installed_path
from torch.optim import Optimizer

from .stopwatch import clock, summary
from .training import build_model

ROOT = Path(__file__).parents[2] / 'configs'
MODEL_CONFIGS = {
    'swin-t_faster-rcnn':
    ROOT / 'faster_rcnn/faster-rcnn_swin-t_fpn_adamw_12e_bs512_coco.py',
    'vit-b_upernet':
    Path(get_installed_path('mmseg')) /
    '.mim/configs/vit/vit_vit-b16-ln_mln_upernet_8xb2-160k_ade20k-512x512.py',
}
VARIANTS = {'torch default': {}, 'fused': dict(fused=True)}


def measure(name: str, *, repetitions: int) -> dict[str, dict]:
    """Time the steps of one model's AdamW with its own ``paramwise_cfg``.

    Args:
        name (str): One of ``MODEL_CONFIGS``.
        repetitions (int): Timed steps of each optimizer.

    Returns:
        dict[str, dict]: By variant of AdamW, the numbers of groups, seconds,
        and how many times faster ours is, repetition by repetition.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    cfg = Config.fromfile(MODEL_CONFIGS[name])
    init_default_scope(cfg.default_scope)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model = build_model(cfg).to(device)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn_like(parameter)
    results = {}
    for variant, options in VARIANTS.items():
        if options and not _is_fused_on(device):
            continue
        cfg.optim_wrapper.optimizer.pop('fused', None)
        cfg.optim_wrapper.optimizer.update(options)
        theirs = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
        ours = _ours(model, cfg)
        sides = (theirs, ours)
        for optimizer in sides:
            optimizer.step()  # makes its state
        seconds: list[tuple[float, ...]] = []
        for repetition in range(repetitions):
            # Each goes first as often: the second finds warmer caches.
            order = (0, 1) if repetition % 2 else (1, 0)
            took = {side: _step(sides[side]) for side in order}
            seconds.append((took[0], took[1]))
        results[variant] = dict(
            groups_mmengine=len(theirs.param_groups),
            groups_ours=len(ours.param_groups),
            seconds_mmengine=summary([a for a, _ in seconds]),
            seconds_ours=summary([b for _, b in seconds]),
            speedup=summary([a / b for a, b in seconds]))
    return results


def _ours(model: torch.nn.Module, cfg: Config) -> Optimizer:
    wrapper = dict(cfg.optim_wrapper)
    base = wrapper.pop('constructor', 'DefaultOptimWrapperConstructor')
    wrapper.update(
        type='AGVMOptimWrapper',
        constructor='AGVMOptimWrapperConstructor',
        agvm=dict(begin=0, base_constructor=base))
    return build_optim_wrapper(model, wrapper).optimizer


def _step(optimizer: Optimizer) -> float:
    start = clock()
    optimizer.step()
    return clock() - start


def _is_fused_on(device: str) -> bool:
    """Whether torch steps there in one kernel: on a CPU from 2.4 on."""
    try:
        torch.optim.AdamW([torch.ones(1, device=device)], fused=True)
    except RuntimeError:
        return False
    return True
