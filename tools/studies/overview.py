"""The study in one page, from stored results and a hand-written answer."""
from __future__ import annotations

from pathlib import Path
from typing import Iterator, Sequence

from .report import hours, write_page
from .short_claims import COLUMNS, short_claims
from .tables import table

QUESTION = """\
# Study: what is AGVM worth?

## The question

A detector or segmentor is to be trained with a large batch, because there are
many GPUs or little time. Do the gradient variances of its modules then fall
apart, as the paper says? Does AGVM align them? And is the model better for it
than with the same optimizer alone, each at the best learning rate that was
found for it?
"""
CLAIMS = """\
## The paper's claims

Those on Faster R-CNN, then a row for each of the other pipelines. First of the
variances: the largest module's over the smallest's, in the first half of a
training, where within twice is aligned. Then of mAP, PQ or mIoU in percent:
AGVM with SGD against sgd, lars and lamb, AGVM with AdamW against adamw, with
the p-value of a paired t-test over seeds in brackets, corrected for the number
of tests of the pipeline by Holm's method, those of a claim on AGVM's own
settings apart from the others; 0.05 or more is undecided. Rates are the best
ones, if none is named; 36 epochs have three times the updates. Behind ± stands
the deviation over seeds.
"""
HOW = """\
## How it was made

On Digits: {count} trainings of small detectors and segmentors on images of 64
pixels, {hours:.1f} hours in all, each on one CPU core. Every batch sees as
many images. Learning rates were chosen on a validation split; what is compared
is the test split, with other seeds. The files in [docs/study](study) state the
runs, and [docs/study/results](study/results) has one small file of each, from
which every number and figure is drawn:

```bash
# All pages and figures again
python tools/study.py report
# Six trainings again, 22 minutes on one core
python tools/study.py run docs/study/quick.yaml
# What has no result yet; where all have one, nothing
python tools/study.py run docs/study/mask-rcnn.yaml
```
"""


def write_overview(results: Sequence[dict], folder: Path) -> Iterator[Path]:
    """Write the one page that is read first.

    Args:
        results (Sequence[dict]): Of runs on Digits.
        folder (Path): For study.md. It begins with study/short-summary.md in
            it, if that is there, and ends with the pages named study-*.md.

    Yields:
        Path: The page, once it is written.
    """
    answer = folder / 'study/short-summary.md'
    yield from write_page(
        folder / 'study.md',
        [
            QUESTION,
            *([answer.read_text()] if answer.is_file() else []),
            CLAIMS,
            table(COLUMNS, short_claims(results)),
            '\n' + HOW.format(count=len(results), hours=hours(results)),
            '## All numbers\n',
            *_pages(folder),
        ])


def _pages(folder: Path) -> Iterator[str]:
    """A list of the pages behind this one, by their titles."""
    for page in sorted(folder.glob('study-*.md'), key=lambda page: page.stem):
        title = page.read_text().partition('\n')[0]
        yield f'- [{title.lstrip("# ")}]({page.name})'
