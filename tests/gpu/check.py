"""Says what the GPU suite lacks here, and exits: python -m tests.gpu.check."""
from __future__ import annotations

import sys

import torch


def problem():
    """One sentence; None if the suite can run."""
    if not torch.cuda.is_available():
        built = 'is built without CUDA'
        if torch.version.cuda:
            built = f'is built for CUDA {torch.version.cuda}, but finds none'
        return f'--gpu needs a CUDA device: torch {torch.__version__} {built}'
    from mmcv.ops import get_compiling_cuda_version

    if get_compiling_cuda_version() == 'not available':
        return ("--gpu needs mmcv's CUDA operators, but mmcv was built where "
                f'no CUDA device was seen: remove {sys.prefix} and run '
                'tools/setup.sh here, with nvcc')
    return None


if __name__ == '__main__':
    sys.exit(problem())
