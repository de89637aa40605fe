"""Convolutions padded as TensorFlow does, and fast on one thread of a CPU."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight


def same_conv(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """A convolution with the padding 'SAME'.

    An output has a size of the input's over ``stride``, rounded up. Where
    the rows or columns to add are odd in number, the lower or right edge is
    given one more.

    Args:
        x (Tensor): N x C x H x W.
        weight (Tensor): Of a square kernel.
        stride (int): Of rows and columns.
        groups (int): 1, or C for a depthwise convolution.
    """
    if weight.shape[-1] == 5 and groups == len(weight):
        return _Depthwise5.apply(x, weight, stride)
    return _conv(x, weight, stride, groups)


def _conv(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    weight, padding = _even(x, weight, stride)
    # To dilate a kernel of 1 changes nothing but the library: on one thread
    # torch leaves these to BLAS, which takes twice as long as oneDNN.
    dilation = 2 if weight.shape[-2:] == (1, 1) else 1
    return F.conv2d(x, weight, None, stride, padding, dilation, groups)


def _even(x: Tensor, weight: Tensor,
          stride: int) -> tuple[Tensor, tuple[int, int]]:
    """A kernel, and the padding of both edges that makes it 'SAME'.

    A zero before the kernel stands for the row or column that one edge lacks:
    a kernel is smaller than the images to pad.
    """
    rows, columns = _added(x, weight, stride)
    if rows % 2 or columns % 2:
        weight = F.pad(weight, (columns % 2, 0, rows % 2, 0))
    return weight, ((rows + 1) // 2, (columns + 1) // 2)


def _added(x: Tensor, weight: Tensor, stride: int) -> tuple[int, int]:
    """Rows and columns that 'SAME' adds."""
    rows, columns = (
        max((-(-size // stride) - 1) * stride + kernel - size, 0)
        for size, kernel in zip(x.shape[2:], weight.shape[2:]))
    return rows, columns


class _Depthwise5(torch.autograd.Function):
    """A depthwise convolution of 5 x 5.

    Its weights' gradient is that of four kernels of 3 x 3, which overlap in
    the middle: oneDNN has a fast way for these alone, of a tenth of the time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _conv(x, weight, stride, len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        stride, channels = ctx.stride, len(weight)
        even, padding = _even(x, weight, stride)
        grad_x = conv2d_input(x.shape, even, grad, stride, padding, 1,
                              channels)
        rows, columns = _added(x, weight, stride)
        x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2,
                      rows - rows // 2))
        height, width = ((size - 1) * stride + 3 for size in grad.shape[2:])
        grad_weight = torch.empty_like(weight)
        for top in (0, 2):
            for left in (0, 2):
                grad_weight[..., top:top + 3, left:left + 3] = conv2d_weight(
                    x[..., top:top + height, left:left + width],
                    (channels, 1, 3, 3), grad, stride, 0, 1, channels)
        return grad_x, grad_weight, None
