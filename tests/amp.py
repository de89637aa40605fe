"""Mixed precision on a CPU too, where MMEngine's asks for a GPU."""
from __future__ import annotations

import mmengine.optim.optimizer.amp_optimizer_wrapper as amp_module
import mmengine.runner.amp as autocast_module
import pytest
import torch
from mmengine.optim import build_optim_wrapper

from agvm_mm import AGVMAmpOptimWrapper
from tests.toy import OPTIMIZERS, UPDATES

DTYPES = ('float16', 'bfloat16')


def allow(device, setattr=setattr):
    """Let MMEngine's AmpOptimWrapper run on a device; skip if none can.

    On a CPU the two names by which it knows a GPU are replaced, and its
    autocast, which there knows bfloat16 alone. The scaler that then runs is
    torch's own.
    """
    if device == 'cuda':
        return
    if not hasattr(torch.amp, 'GradScaler'):
        pytest.skip('a GradScaler on a CPU needs torch 2.3 or newer')
    setattr(amp_module, 'is_cuda_available', lambda: True)
    setattr(amp_module, 'GradScaler',
            lambda **kwargs: torch.amp.GradScaler('cpu', **kwargs))
    setattr(autocast_module, 'autocast',
            lambda dtype: torch.autocast('cpu', dtype=dtype))


def needs_autocast(device, dtype):
    """Skip where torch casts nothing to a type."""
    dtype = getattr(torch, dtype)
    matrix = torch.ones(2, 2, device=device)
    with torch.autocast(device, dtype=dtype):
        if (matrix @ matrix).dtype != dtype:
            pytest.skip(f'this torch has no autocast to {dtype} on {device}')


def amp_wrapper(model,
                loss_scale=1024.0,
                dtype='bfloat16',
                optimizer='momentum',
                accumulative_counts=2,
                clip_grad=None,
                **agvm):
    """As toy.build_wrapper, in mixed precision, and ready to train."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='AGVMAmpOptimWrapper',
            constructor='AGVMOptimWrapperConstructor',
            optimizer=dict(
                optimizer if isinstance(optimizer, dict) else
                OPTIMIZERS[optimizer]),
            accumulative_counts=accumulative_counts,
            clip_grad=clip_grad,
            loss_scale=loss_scale,
            dtype=dtype,
            agvm=dict(dict(begin=0, interval=1), **agvm)))
    assert isinstance(wrapper, AGVMAmpOptimWrapper)
    wrapper.initialize_count_status(model, 0, UPDATES * accumulative_counts)
    return wrapper
