"""EfficientNet-Lite0, of which a package registry has the ImageNet weights.

List it in a config that ``tools/train.py`` trains::

    custom_imports = dict(imports=['studies.efficientnet_lite'])
    model = dict(backbone=dict(type='EfficientNetLite0'))

The network is Google's `EfficientNet-lite
<https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite>`_:
EfficientNet-B0 with ReLU6 and without squeeze-and-excitation. Parameters have
the names of timm's ``tf_efficientnet_lite0``, whose weights load too.
"""
from __future__ import annotations

from typing import Any, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from .remembered import Remembered
from .same_conv import same_conv

STEM = 32
# Of each stage: blocks, kernel, stride, expansion, channels.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40),
          (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))
EPS = 1e-3  # TensorFlow's


@MODELS.register_module()
class EfficientNetLite0(BaseModule):
    """The network without its classifier.

    **BatchNorm's statistics are those of ImageNet, always**, in training too.
    A micro-batch of 8 is too few to estimate them; and who compares batches
    must not change the network with the batch, as running averages would,
    which move once a micro-batch. BatchNorm is then one factor and one shift
    a channel. These are trained with their stage, as in mmdet's ResNet: to
    scale and shift is how pre-trained features come to fit other images.

    Args:
        out_indices (Sequence[int]): Stages whose output is returned, of 0 to
            6. Defaults to the last of each resolution: 24, 40, 112 and 320
            channels at strides 4, 8, 16 and 32.
        frozen_stages (int): How many stages are not trained, and the stem
            with them: 2 for those at strides 2 and 4, 0 for the stem alone,
            -1 for none. Defaults to -1.
        keep_frozen (bool): Keep what the stem and the frozen stages make of
            each image, and compute it once: for data without random changes
            but a few flips, on a CPU. At stride 4 an image takes 6 bytes a
            pixel. Defaults to False.
        init_cfg (dict, optional): Of MMEngine, as ``dict(type='Pretrained',
            checkpoint=...)``. Defaults to None.

    Raises:
        ValueError: If a stage is named that is none; or if there is nothing
            to keep, or what is kept is an output.
    """

    def __init__(self,
                 out_indices: Sequence[int] = (1, 2, 4, 6),
                 frozen_stages: int = -1,
                 keep_frozen: bool = False,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if not out_indices or not set(out_indices) <= set(range(len(STAGES))):
            raise ValueError(f'out_indices={tuple(out_indices)} must be some '
                             f'of the stages 0 to {len(STAGES) - 1}')
        if not -1 <= frozen_stages <= len(STAGES):
            raise ValueError(f'frozen_stages={frozen_stages} must be -1, for '
                             f'none, or how many, up to {len(STAGES)}')
        if keep_frozen and not 0 <= frozen_stages <= min(out_indices):
            raise ValueError(f'keep_frozen=True asks for frozen_stages='
                             f'{frozen_stages} of 0 to {min(out_indices)}, '
                             'the first of out_indices')
        self.out_indices = tuple(out_indices)
        self.conv_stem = nn.Conv2d(3, STEM, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM, EPS)
        stages, width = [], STEM
        for blocks, kernel, stride, expansion, channels in STAGES:
            stage = []
            for index in range(blocks):
                stage.append(
                    Block(width, channels, kernel, 1 if index else stride,
                          expansion))
                width = channels
            stages.append(nn.Sequential(*stage))
        # None behind the last output: DDP would wait for its gradients.
        self.blocks = nn.Sequential(*stages[:max(out_indices) + 1])
        if frozen_stages >= 0:
            for module in (self.conv_stem, self.bn1,
                           self.blocks[:frozen_stages]):
                module.requires_grad_(False)
        self._kept_stages = frozen_stages if keep_frozen else 0
        self._begin = Remembered(self._first) if keep_frozen else self._first

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Set the mode; BatchNorm's stays that of evaluation.

        Args:
            mode (bool): True to train. Defaults to True.
        """
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The chosen stages' outputs.

        Args:
            x (Tensor): RGB, (x - 127) / 128; N x 3 x H x W.

        Returns:
            tuple[Tensor, ...]: One of each of ``out_indices``.
        """
        x = self._begin(x)
        outputs = []
        for index in range(self._kept_stages, len(self.blocks)):
            x = self.blocks[index](x)
            if index in self.out_indices:
                outputs.append(x.contiguous())
        return tuple(outputs)

    def _first(self, x: Tensor) -> Tensor:
        """The stem, and the stages of which the outputs are kept."""
        x = x.contiguous(memory_format=torch.channels_last)  # faster on CPUs
        x = _conv_bn(x, self.conv_stem, self.bn1, relu6=True)
        return self.blocks[:self._kept_stages](x)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Load, and compute anew what was kept of other weights."""
        if isinstance(self._begin, Remembered):
            self._begin.forget()
        super()._load_from_state_dict(*args, **kwargs)


class Block(nn.Module):
    """MobileNet's inverted residual; without expansion, its separable one.

    Args:
        in_channels (int): Of the input.
        out_channels (int): Of the output.
        kernel (int): Of the depthwise convolution.
        stride (int): Of the same.
        expansion (int): How many times more channels it has.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int,
                 stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        convs = dict(
            conv_pw=nn.Conv2d(in_channels, width, 1, bias=False),
            conv_dw=nn.Conv2d(
                width, width, kernel, stride, groups=width, bias=False),
            conv_pwl=nn.Conv2d(width, out_channels, 1, bias=False))
        if expansion == 1:  # named by its place, as timm does
            convs = dict(conv_dw=convs['conv_dw'], conv_pw=convs['conv_pwl'])
        for number, (name, conv) in enumerate(convs.items(), 1):
            self.add_module(name, conv)
            self.add_module(f'bn{number}',
                            nn.BatchNorm2d(conv.out_channels, EPS))
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Expand, filter each channel, and project.

        Args:
            x (Tensor): N x in_channels x H x W.
        """
        convs = list(self.children())
        y = x
        for conv, norm in zip(convs[:-2:2], convs[1:-2:2]):
            y = _conv_bn(y, conv, norm, relu6=True)
        y = _conv_bn(y, *convs[-2:], relu6=False)  # a linear bottleneck
        return x + y if self.residual else y


def _conv_bn(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d,
             relu6: bool) -> Tensor:
    """A convolution, BatchNorm by its running statistics, and ReLU6.

    BatchNorm's factor is applied to the weights, which are fewer than the
    activations: the same to rounding, and faster.
    """
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = conv.weight * scale.view(-1, 1, 1, 1)
    y = same_conv(x, weight, conv.stride[0], conv.groups)
    y += (norm.bias - norm.running_mean * scale).view(-1, 1, 1)
    return F.relu6(y, inplace=True) if relu6 else y
