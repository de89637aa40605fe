"""Write docs/configs.md and configs/metafile.yml from the large-batch configs.

With --check nothing is written: it fails if the files are not up to date.
"""
from __future__ import annotations

import argparse
import sys
from typing import Sequence

from config_page.metafile import metafile
from config_page.page import page
from config_page.rows import ROOT, read_rows


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line; write or check.

    Args:
        argv (Sequence[str], optional): Instead of the command line.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--check', action='store_true', help='only compare, and fail')
    args = parser.parse_args(argv)
    rows = read_rows()
    for name, text in {
            'docs/configs.md': page(rows),
            'configs/metafile.yml': metafile(rows),
    }.items():
        path = ROOT / name
        if args.check:
            if not path.is_file() or path.read_text() != text:
                sys.exit(f'{name} is not up to date: run '
                         'python tools/config_table.py')
        else:
            path.write_text(text)
            print(f'wrote {name}')


if __name__ == '__main__':
    main()
