"""What stands in the fenced blocks of a page of docs/."""
from __future__ import annotations

import re

from tests.commands import ROOT


def blocks(page: str, language: str) -> list[str]:
    """Each fenced block of a language, in the page's order.

    Args:
        page (str): Its name, as 'clusters.md'.
        language (str): As 'bash', 'python' or 'text'.
    """
    return re.findall(rf'^```{language}\n(.*?)^```$',
                      (ROOT / 'docs' / page).read_text(), re.M | re.S)


def command(page: str, pattern: str) -> str:
    """The one line of the page's commands that begins so.

    Args:
        page (str): Its name.
        pattern (str): A regular expression.
    """
    lines = '\n'.join(blocks(page, 'bash')).splitlines()
    line, = [line for line in lines if re.match(pattern, line)]
    return line
