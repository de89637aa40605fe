"""What pyproject.toml cannot say of the source distribution and pip's -e."""
from __future__ import annotations

from pathlib import Path

from setuptools.command.editable_wheel import editable_wheel
from setuptools.command.sdist import sdist

# The whole checkout: a release is built and tested from it.
SOURCES = """
graft .ci
graft .github
graft configs
graft docs
graft tests
graft tools
include .gitignore
include .pre-commit-config.yaml
global-exclude *.py[cod]
"""


class SourceDistribution(sdist):
    """With the tests and what they read."""

    def make_distribution(self) -> None:
        """Add the files; a MANIFEST.in would be one more at the top level."""
        for line in SOURCES.strip().splitlines():
            self.filelist.process_template_line(line)
        self.filelist.sort()
        self.filelist.remove_duplicates()
        super().make_distribution()


class EditableInstall(editable_wheel):
    """Found by MMEngine and by mim, as an ordinary install is.

    Both look for a package beside its metadata, where an editable install has
    nothing, and then join that place with the first line of top_level.txt: an
    absolute path leads them to the checkout.
    """

    def _ensure_dist_info(self) -> None:
        super()._ensure_dist_info()
        names = Path(self.dist_info_dir, 'top_level.txt')
        package = Path(self.project_dir, 'agvm_mm').resolve()
        names.write_text(f'{package}\nagvm_mm\n')
