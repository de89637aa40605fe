"""What this stack lacks, as on a CPU, and marks for tests that need it."""
from __future__ import annotations

import importlib.util
import shutil

import mmengine
import pytest
import torch
from mmengine.utils import digit_version

# 0.10.3, the oldest, keeps frozen parameters in its groups in any case.
LEAVES_OUT = digit_version(mmengine.__version__) > digit_version('0.10.3')
TORCH = digit_version(torch.__version__)
OLD_FSDP = digit_version('2.4') > TORCH and not torch.cuda.is_available()
OLD_LOADER = not hasattr(torch.serialization, 'add_safe_globals')

fsdp = pytest.mark.skipif(
    OLD_FSDP, reason='FSDP on a CPU needs torch 2.4 or newer')
safe_loader = pytest.mark.skipif(
    OLD_LOADER,
    reason="torch's safe loader can be told of MMEngine's classes "
    'from torch 2.4 on')
gloo_takes_bfloat16 = pytest.mark.skipif(
    digit_version('2.4') > TORCH, reason='gloo takes bfloat16 from torch 2.4')
elastic = pytest.mark.skipif(
    digit_version('2.4') > TORCH,
    reason='elastic runs need torch 2.4 or newer')
lars = pytest.mark.skipif(
    not hasattr(torch, '_foreach_copy_'),
    reason="pytorch-optimizer's LARS needs torch 2.1 or newer")
frozen_left_out = pytest.mark.skipif(
    not LEAVES_OUT,
    reason='MMEngine 0.10.3 leaves no frozen parameter out of its groups')
PLOTLY = importlib.util.find_spec('plotly')
plotly = pytest.mark.skipif(
    not PLOTLY, reason='needs plotly, by which a report is drawn')
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
browser = pytest.mark.skipif(
    not (CHROMIUM and PLOTLY and importlib.util.find_spec('playwright')),
    reason='needs Chromium (apt-get install chromium), playwright and plotly')


def lars_marked(paths):
    """Configs as parameters of a test that builds their optimizers."""
    return [
        pytest.param(path, marks=[lars] if '_lars_' in str(path) else [])
        for path in paths
    ]


def read(file):
    """What torch saved, by its safe loader where there is one."""
    return torch.load(file, weights_only=not OLD_LOADER)


def trains(dtype):
    """Whether the CPU multiplies matrices of a type, and gloo sends them."""
    if dtype == torch.bfloat16 and digit_version('2.4') > TORCH:
        return False
    matrix = torch.ones(2, 2, dtype=dtype)
    try:
        torch.nn.functional.linear(matrix, matrix, matrix[0])
    except RuntimeError:
        return False
    return True
