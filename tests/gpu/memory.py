"""What tensors hold."""
from __future__ import annotations

import gc

import torch


def held(device):
    """Bytes of all tensors on a device."""
    gc.collect()
    if device == 'cuda':
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()
    return sum(t.numel() * t.element_size() for t in gc.get_objects()
               if issubclass(type(t), torch.Tensor))
