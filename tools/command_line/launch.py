"""The launcher of tools/dist_train.sh and tools/dist_test.sh."""
from __future__ import annotations

import sys
from pathlib import Path

if __name__ == '__main__':
    # As it is for the scripts in tools/, where this package is found.
    sys.path[0] = str(Path(__file__).parents[1])
    from command_line.torchrun import launch

    launch(sys.argv[1:])
