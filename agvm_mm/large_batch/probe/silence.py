"""Lets nothing be said that a run says by itself."""
from __future__ import annotations

import io
import logging
import warnings
from contextlib import contextmanager, redirect_stdout
from typing import Iterator


@contextmanager
def silently() -> Iterator[None]:
    """Within, nobody says anything: the run itself says it all again."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)
