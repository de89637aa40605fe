"""The photographs and weights of a study, which somebody else publishes."""
from __future__ import annotations

from pathlib import Path
from typing import Iterable

from rich.console import Console

from .lite_weights import HAD, convert
from .processes import ROOT

SPLITS = ('train', 'val', 'test')


def prepare_voc(root: Path, used: Iterable[str], weights: Path | None,
                console: Console) -> None:
    """Look for the data and the weights, and convert the latter.

    Args:
        root (Path): Folder of the data.
        used (Iterable[str]): Places of weights that the runs name.
        weights (Path, optional): File of the package of weights.
        console (Console): Shows what is made.

    Raises:
        FileNotFoundError: If something is missing; it says where it is had.
        ValueError: If ``weights`` holds something else, or the data names a
            file outside of its folder.
    """
    check_voc(root)
    for place in sorted(set(used)):
        if weights is not None:
            convert(weights, ROOT / place)
            console.print(
                f'{place}: converted from {weights}', soft_wrap=True)
        elif not (ROOT / place).is_file():
            raise FileNotFoundError(f'{place} does not exist; {HAD}')


def check_voc(root: Path) -> None:
    """Look for every image of every split.

    Args:
        root (Path): Folder of PASCAL VOC's layout.

    Raises:
        FileNotFoundError: If there is no list, image or annotation.
        ValueError: If a list names a file outside of the folder.
    """
    for split in SPLITS:
        files = [root / f'ImageSets/Main/{split}.txt']
        if files[0].is_file():
            for name in files[0].read_text().split():
                if Path(name).is_absolute() or '..' in Path(name).parts:
                    raise ValueError(
                        f'{files[0]} names {name!r}, which lies outside of '
                        f'{root}: take the line out')
                files += [
                    root / f'JPEGImages/{name}.jpg',
                    root / f'Annotations/{name}.xml'
                ]
        for file in files:
            if not file.is_file():
                raise FileNotFoundError(
                    f'{file} does not exist; the photographs are had with: '
                    'git clone https://github.com/Shenggan/BCCD_Dataset, and '
                    'named by: study.py run ... --data BCCD_Dataset/BCCD')
