"""The console that the tools print on."""
from __future__ import annotations

import io
import os
import shutil

from rich.console import Console

NO_WIDTH = 1_000_000  # wider than any line


def new_console() -> Console:
    """A console as wide as the terminal, or as ``COLUMNS`` says.

    A file or a pipe has no width: lines stay whole. Text is printed as it is:
    brackets in it are no markup. What the encoding lacks becomes a '?'.
    """
    console = Console(markup=False, emoji=False)
    if isinstance(console.file, io.TextIOWrapper):
        console.file.reconfigure(errors='replace')
    columns = os.environ.get('COLUMNS', '')
    if columns.isdigit() and int(columns):
        return console
    if not console.file.isatty():
        console.width = NO_WIDTH
    elif columns.isdigit():  # A width of 0 would print nothing.
        console.width = shutil.get_terminal_size().columns
    return console
