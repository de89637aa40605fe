"""Write docs/optimizers.md from the table of optimizers in the code.

With --check nothing is written: it fails if the file is not up to date.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Sequence

from agvm_mm.measuring.optimizer_table import NOT_RUN, TABLE, Treatment

PAGE = Path(__file__).resolve().parent.parent / 'docs/optimizers.md'
# As they are installed with pip.
PACKAGES = dict(
    torch='PyTorch (`torch.optim`)',
    pytorch_optimizer='pytorch-optimizer',
    bitsandbytes='bitsandbytes',
    apex='apex',
    transformers='transformers',
    dadaptation='dadaptation',
    prodigyopt='prodigyopt',
    lion_pytorch='lion-pytorch',
    sophia_opt='sophia-opt',
    Sophia='Sophia (the module that MMEngine looks for)',
    schedulefree='schedulefree')
HEAD = """\
<!-- Written by tools/optimizer_table.py; do not edit. -->
# Optimizers

AGVM multiplies the learning rate of each module, and compares modules by their
*update directions*. Both must have a meaning for the optimizer at hand. Of the
{total} optimizers that AGVM knows

- **{exact} are exact**: a step in which the module's rate is three times as
  large is three times as long, weight decay included, and what is compared is
  what this optimizer makes of a gradient: the gradient itself, or the gradient
  over what its state held *before* this update;
- **{raw} are measured by the raw gradient**, as SGD is, with one warning: the
  step is in proportion to the rate, but the optimizer is no division element
  by element;
- **{refused} are refused** when the wrapper is built, with one sentence that
  says why.

An optimizer that is not listed is measured by its raw gradient, with one
warning. It is refused if its groups have no number in `lr`, if it wraps
another optimizer, needs a closure, has `train()` and `eval()`, estimates one
rate for all groups (`d0`, `d_coef`) or makes its own (`relative_step=True`). A
subclass of a listed optimizer is treated as that. AdamW's `amsgrad`,
`foreach`, `fused`, `maximize` and rates that are tensors change nothing.

`tests/test_measuring/test_optimizer_table.py` holds each row of what is
installed: it steps all that are not refused, and those that are refused for
their step or for a single rate; the others are refused by their class. In the
test environment are torch 2.13.0, pytorch-optimizer 4.1.0, dadaptation 3.2,
prodigyopt 1.1.2 and lion-pytorch 0.2.5; with bitsandbytes 0.50.2 (on a CPU),
transformers 5.24.0, schedulefree 1.4.1 and sophia-opt 0.2.2 it was run once
beside them. A star marks what was entered by its source and not run, as there
is no such package, or it does not step on a CPU.

"""
TAIL = """\
## What else to know

**AdamW's weight decay is scaled with the rate.** It is decoupled: each step
takes `lr * weight_decay` off a weight. AGVM scales `lr`, so a module of factor
2 decays twice as fast, as in the official code.

**Before the first step** the Adam family has no second moments: an update that
is measured there tells nothing and is counted in `agvm/skipped`. RAdam's
gradients are divided in its first few updates too, in which it does not divide
them itself. Bias corrections are left out: they are the same for all modules.

**By the raw gradient** means: how much the replicas of a module disagree is
told, but not in the metric of the optimizer. LARS and LAMB scale each tensor
by norms of this very update, Lion takes signs, Muon and Shampoo multiply by
matrices.

**The optimizer is built twice.** First by `base_constructor`, which settles
the options of each parameter, and once more, with a group for each module:
what an optimizer makes for each group when it is built is then right. What a
constructor of your own does to the finished optimizer beside its groups (a
hook on its step, an attribute) is lost, and a warning names it: do it once the
wrapper is built.

**Precisions and sparse gradients.** A module may hold parameters of several
precisions (half to double) and parameters without elements, and its embeddings
may have sparse gradients (`nn.Embedding(sparse=True)`): these are measured as
dense ones, which takes the memory of a dense gradient in a measured update.
Complex parameters are refused.

**Hooks that change `.grad`.** AGVM compares the replicas' own gradients, as
autograd finds them, with the mean that stands in `.grad` at the step. A hook
that changes `.grad` after it was accumulated
(`register_post_accumulate_grad_hook`, or your own lines between `backward` and
`step`) makes these two disagree: if it shrinks the gradient, Phi is near 2 for
every module, and if it enlarges it, 0. Change the gradient with
`Tensor.register_hook`, before AGVM sees it, or by `clip_grad`, which comes
after the measurement.
"""
TITLES = dict(
    exact=('Exact', 'divides the gradient by'),
    raw=('By the raw gradient', 'because'),
    refused=('Refused', 'because'))


def build_page() -> str:
    """The page's text."""
    counts = dict.fromkeys(TITLES, 0)
    for treatments in TABLE.values():
        for treatment, names in treatments.items():
            counts[treatment.kind] += len(names.split())
    lines = [HEAD.format(total=sum(counts.values()), **counts)]
    for kind, (title, column) in TITLES.items():
        lines += [f'## {title}\n', f'| {column} | optimizers |', '|---|---|']
        lines += [
            f'| {treatment.why} | {"<br>".join(of_packages)} |'
            for treatment, of_packages in _rows(kind).items()
        ]
        lines.append('')
    return '\n'.join(lines) + '\n' + TAIL


def _rows(kind: str) -> dict[Treatment, list[str]]:
    """By treatment: what each package has of it."""
    rows: dict[Treatment, list[str]] = {}
    for package, treatments in TABLE.items():
        for treatment, names in treatments.items():
            if treatment.kind == kind:
                listed = ', '.join(
                    f'`{name}`{_star(package, name)}'
                    for name in sorted(names.split(), key=str.lower))
                rows.setdefault(treatment, []).append(
                    f'{PACKAGES[package]}: {listed}')
    return rows


def _star(package: str, name: str) -> str:
    run = {f'{package}.*', f'{package}.{name}'}.isdisjoint(NOT_RUN)
    return '' if run else '\\*'


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line; write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--check', action='store_true', help='write nothing, compare')
    args = parser.parse_args(arguments)
    page = build_page()
    if not args.check:
        PAGE.write_text(page)
    elif not PAGE.is_file() or PAGE.read_text() != page:
        sys.exit('docs/optimizers.md is not up to date: run python '
                 'tools/optimizer_table.py')


if __name__ == '__main__':
    main()
