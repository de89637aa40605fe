"""Write the Digits data set: 1,280 small images, in seconds."""
from __future__ import annotations

import argparse
import sys
from typing import Sequence

from rich.progress import track

from agvm_mm.datasets import write_digits


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write.

    Args:
        argv (Sequence[str], optional): Instead of the command line.
    """
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('root', help='folder to write, data/digits usually')
    parser.add_argument(
        '--images',
        type=int,
        default=1024,
        metavar='N',
        help='training images')
    parser.add_argument(
        '--val-images',
        type=int,
        default=256,
        metavar='N',
        help='validation images')
    parser.add_argument(
        '--test-images',
        type=int,
        default=0,
        metavar='N',
        help='test images, of digits that are in no other')
    parser.add_argument(
        '--size',
        type=int,
        default=96,
        metavar='S',
        help='height and width in pixels')
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        metavar='K',
        help='of the random choices')
    args = parser.parse_args(argv)
    try:
        root = write_digits(
            args.root,
            num_train=args.images,
            num_val=args.val_images,
            num_test=args.test_images,
            size=args.size,
            seed=args.seed,
            progress=lambda jobs: track(jobs, description='Digits'))
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f'make_digits.py: {error}')
    print(f'Digits: {args.images} training, {args.val_images} validation and '
          f'{args.test_images} test images in {root}')


if __name__ == '__main__':
    main()
