"""Write agvm_mm/configs/, the bundled bases as new-style Python configs.

MMEngine's new style inherits by imports, from any package. The files are made
from configs/_base_/ and from those of mmdet's and mmseg's bases that it names.

With --check nothing is written: it fails if the files are not up to date.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Sequence

from new_style.files import CLASSIC, ROOT, bases_of, relative, twin_of
from new_style.writer import Writer

TARGET = ROOT / 'agvm_mm/configs'
HEAD = """\
\"\"\"The bundled bases in MMEngine's new style, for any train.py.

A config inherits from them by imports::

    from mmengine.config import read_base

    with read_base():
        from agvm_mm.configs._base_.pipelines.mask_rcnn_r50_fpn_coco import *
        from agvm_mm.configs._base_.schedules.coco_14e_bs512 import *
        from agvm_mm.configs._base_.optimizers.agvm_sgd import *

    optim_wrapper.update(
        optimizer=dict(lr=0.32),
        agvm=dict(begin=560),
        clip_grad_range=(360, 560))

``tools/python_configs.py`` writes them from ``configs/_base_/``, where the
sources of the numbers are told, and from mmdet's and mmseg's bases.
\"\"\"
"""


def build() -> dict[Path, str]:
    """The text of each file that this tool writes."""
    todo = sorted((CLASSIC / '_base_').rglob('*.py'))
    texts: dict[Path, str] = {}
    for path in todo:
        target = TARGET / twin_of(path)
        if target in texts:
            continue
        texts[target] = Writer(path).write()
        for base in bases_of(path):
            if f'from {relative(path, base)} import' in texts[target]:
                todo.append(base)
    for folder in {parent for path in texts for parent in path.parents}:
        if TARGET in [folder, *folder.parents]:
            texts[folder / '__init__.py'] = ''
    texts[TARGET / '__init__.py'] = HEAD
    return texts


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line; write or check.

    Args:
        argv (Sequence[str], optional): Instead of the command line.
    """
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--check', action='store_true', help='only compare, and fail')
    args = parser.parse_args(argv)
    texts = build()
    stale = set(TARGET.rglob('*.py')) - set(texts)
    changed = {
        path
        for path, text in texts.items()
        if not path.is_file() or path.read_text() != text
    }
    if args.check and (stale or changed):
        first = min(stale | changed).relative_to(ROOT)
        sys.exit(f'{first} is not up to date: run '
                 'python tools/python_configs.py')
    for path in stale:
        path.unlink()
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path])
    print(f'{len(texts)} files, of which {len(changed)} were written')


if __name__ == '__main__':
    main()
