"""The launcher of tools/dist_train.sh and tools/dist_test.sh."""
from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == '__main__':
    # As it is for the scripts in tools/, where this package is found.
    sys.path[0] = str(Path(__file__).parents[1])
    if 'TORCH_CPP_LOG_LEVEL' in os.environ:
        from command_line.torchrun import launch
    else:
        # Or stacks in C++, of a lost connection, bury what is told of it. It
        # is read when torch is imported; the ranks do not inherit it.
        os.environ['TORCH_CPP_LOG_LEVEL'] = 'ERROR'
        from command_line.torchrun import launch
        del os.environ['TORCH_CPP_LOG_LEVEL']

    launch(sys.argv[1:])
