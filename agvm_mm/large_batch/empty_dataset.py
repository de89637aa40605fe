"""A dataset that finds nothing, told in a sentence."""
from __future__ import annotations

import contextlib
from typing import Iterator


@contextlib.contextmanager
def explain_empty(loader: str) -> Iterator[None]:
    """Say what a dataset without an image lacks, where MMEngine does not.

    Args:
        loader (str): The config's field of the loader, 'train_dataloader' or
            another.

    Raises:
        ValueError: If a dataset that is built inside finds no image.
    """
    try:
        yield
    except ValueError as error:
        # MMEngine's, which has nothing to put together.
        if 'need at least one array' not in str(error):
            raise
        raise ValueError(
            f'{loader}.dataset finds no image with a label: its '
            'metainfo.classes must be the names in its annotations, letter by '
            'letter, its data_prefix their folder, and in mmseg its '
            "img_suffix the end of their names, as '.png'") from error
