"""The console that the tools print on."""
from __future__ import annotations

import os

from rich.console import Console

NO_WIDTH = 1_000_000  # wider than any line


def new_console() -> Console:
    """A console as wide as the terminal, or as ``COLUMNS`` says.

    A file or a pipe has no width: lines stay whole. Text is printed as it is:
    brackets in it are no markup.
    """
    console = Console(markup=False, emoji=False)
    columns = os.environ.get('COLUMNS', '')
    if not console.file.isatty() and not columns.isdigit():
        console.width = NO_WIDTH
    return console
