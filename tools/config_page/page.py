"""The page of the docs that lists the large-batch configs."""
from __future__ import annotations

import textwrap
from itertools import groupby

from .metafile import PAPER
from .rows import ROOT, Row, trained_small
from .sources import listed, reported, sources, split_result

HEAD = f"""\
<!-- Written by tools/config_table.py from the configs; do not edit. -->
# The large-batch configs

**No result on COCO or ADE20K below was obtained here.** What is reported is
what the *paper* (arXiv [2210.11078]({PAPER['URL']})), or the README of its
*official* code ([Sense-X/AGVM](https://github.com/Sense-X/AGVM)), states for
its own implementation. No weights are provided. What is named as trained small
here was trained for a few updates on a CPU, shrunk and on Digits, by the tests
(`tests/test_ladder.py`; the detector of 1e9 parameters, over FSDP and without
its mixed precision, by `tests/test_tools/test_shards.py`). The others were
built and their plans checked.

```bash
python tools/plan.py configs/FOLDER/NAME.py --gpus 8   # what it will run
bash tools/dist_train.sh configs/FOLDER/NAME.py 8      # runs it
```

Your own config inherits one by its path or, under our tools and
`mim train agvm_mm`, as `_base_ = 'agvm_mm::FOLDER/NAME.py'`. mmdet's and
mmseg's own tools do not know that name (`mmengine does not support to load
agvm_mm config`). There inherit the parts, by imports:

```python
from mmengine.config import read_base

with read_base():
    from agvm_mm.configs._base_.pipelines.mask_rcnn_r50_fpn_coco import *
    from agvm_mm.configs._base_.schedules.coco_14e_bs512 import *
    from agvm_mm.configs._base_.optimizers.agvm_sgd import *

optim_wrapper.update(
    optimizer=dict(lr=0.32), agvm=dict(begin=560), clip_grad_range=(360, 560))
```

Each config states its `total_batch_size`; `tools/train.py` makes it of the
GPUs that there are, by accumulation. Everything below counts parameter
updates, and does not depend on the number of GPUs.

What the configs share: the models are mmdet's and mmseg's own, with SyncBN in
the ResNets; gradients are clipped at norm 1 only within the window given, and
only with AGVM, as in the official code (plain `OptimWrapper` has no such
window). LARS and LAMB come from the library
[pytorch-optimizer](https://pypi.org/project/pytorch-optimizer/), which you
install for them: `pip install 'pytorch-optimizer>=4.1'`. The paper does not
give its learning rates for most rows, nor any setting of LARS and LAMB: those
here are starting points, by the rule given, and were not tuned. Another
warm-up of a COCO schedule, of N updates, changes two settings of its
`ExponentialLR`: `gamma=1000**(1 / N)` and `end=N + 1`.

Below the tables stands where their numbers are from. What is neither the
paper's nor official is ours, after what is named. Where both report a result,
the official one is in brackets: `36.7 (official 37.1)`.
"""
DIGITS = """
## Digits, run here

`configs/digits/NAME_digits.py` are small pipelines of each kind, with a twin
without AGVM. Digits is a data set that
`python tools/make_digits.py data/digits` writes in seconds: scikit-learn's
handwritten digits on its two photographs, with boxes, masks, panoptic and
semantic labels; no digit of the training images is in the validation images.

| `NAME` | metric | with AGVM | plain twin |
|---|---|---|---|
| `faster-rcnn_r18_fpn_{agvm,sgd}` | box mAP | 31.9 | 30.3 |
| `mask-rcnn_r18_fpn_{agvm,sgd}` | box / mask mAP | 41.7 / 25.7 | 41.2 / 25.3 |
| `retinanet_r18_fpn_{agvm,sgd}` | box mAP | 32.0 | 30.3 |
| `panoptic-fpn_r18_fpn_{agvm,sgd}` | PQ | 45.1 | 43.0 |
| `faster-rcnn_swin-n_fpn_{agvm,adamw}` | box mAP | 39.3 | 40.0 |
| `semantic-fpn_r18_{agvm,sgd}` | mIoU | 38.2 | 37.3 |
| `upernet_r18_{agvm,sgd}` | mIoU | 46.2 | 46.2 |

All from scratch, batch 16 over 2 processes, 512 updates (RetinaNet 768, the
segmentors 1,024), on two CPU cores, seed 0, once each, by

```bash
bash tools/dist_train.sh configs/digits/NAME_digits.py 2
```

which took 4 to 7 minutes a run, beside other work. One seed at batch 16 is no
comparison of methods: the table shows that every pipeline learns, with AGVM
and without. The comparison is the [study](study.md). `configs/demo/` is what
`tools/demo.sh` trains, at batch 128."""
# A pipeline's title, and the unit of what is reported of it.
PIPELINES = {
    'faster-rcnn_r50_fpn': ('Faster R-CNN R50-FPN, COCO', 'box mAP'),
    'faster-rcnn_swin-t_fpn': ('Faster R-CNN Swin-T-FPN, COCO', 'box mAP'),
    'mask-rcnn_r50_fpn': ('Mask R-CNN R50-FPN, COCO', 'mask mAP'),
    'panoptic-fpn_r50_fpn': ('Panoptic FPN R50, COCO', 'PQ'),
    'retinanet_r18_fpn': ('RetinaNet R18-FPN, COCO', 'box mAP'),
    'semantic-fpn_r50': ('Semantic FPN R50, ADE20K', 'mIoU'),
    'upernet_r50': ('UperNet R50, ADE20K', 'mIoU'),
    'upernet_swin-t': ('UperNet Swin-T, ADE20K', 'mIoU'),
    'cascade-mask-rcnn_swin-1b_fpn':
    ('A detector of 1e9 parameters, COCO', 'mAP'),
}


def page(rows: list[Row]) -> str:
    """The text of docs/configs.md.

    Args:
        rows (list[Row]): The configs, in the order of the page.
    """
    small = [row.path for row in trained_small(rows)]
    text = [HEAD]
    for (pipeline, epochs), found in groupby(
            rows, lambda row: (row.part('pipeline'), row.plan.epochs)):
        own = list(found)
        title, unit = PIPELINES[pipeline]
        if epochs is not None:
            title += f', {epochs} epochs'
        first = own[0].path.relative_to(ROOT)
        data = own[0].part('data')
        text += [
            f'\n## {title}\n',
            f'`NAME` is `{first.parent}/{pipeline}_NAME_{data}.py`.\n',
            *table('NAME', 'batch', 'updates', 'lr', f'{unit} reported'),
            *(line(row, unit) for row in own),
            '',
            *table('schedule', 'warm-up', 'lr drops at', 'AGVM from', 'every',
                   'clips in'),
            *schedules(own),
            '',
        ]
        notes = [*sources(own), *reported(own, unit)]
        trained = [row.name for row in own if row.path in small]
        if trained:
            notes.append(f'**trained small here**: {listed(trained)}')
        text += [
            textwrap.fill(
                f'- {note}',
                100,
                subsequent_indent='  ',
                break_long_words=False,
                break_on_hyphens=False) for note in notes
        ]
    return '\n'.join([*text, DIGITS]) + '\n'


def table(*columns: str) -> tuple[str, str]:
    """The head of a table."""
    return f'| {" | ".join(columns)} |', f'|{"---|" * len(columns)}'


def line(row: Row, unit: str) -> str:
    """A config's line in its pipeline's table."""
    results = {
        who: split_result(value, unit)[0]
        for who, value in row.cfg.get('reported', {}).items()
    }
    cell = results.pop('paper', '')
    for who, result in results.items():
        cell = f'{cell} ({who} {result})' if cell else f'{result} ({who})'
    return (f'| [{row.name}](../{row.path.relative_to(ROOT)}) | {row.batch} | '
            f'{row.plan.updates:,} | {max(row.rates):.4g} | '
            f'{cell or "-"} |')


def schedules(rows: list[Row]) -> list[str]:
    """The lines of the table of a pipeline's schedules.

    Raises:
        ValueError: If two configs of one schedule differ in it.
    """
    lines: dict[str, str] = {}
    for row in rows:
        rates = f'| {row.schedule} | {row.warm_up} | {row.drops} |'
        before = lines.get(row.schedule, f'{rates} - | - | - |')
        found = f'{rates} {agvm(row)} |' if row.agvm else before
        if not before.startswith(rates) or (before != found
                                            and not before.endswith('- |')):
            raise ValueError(f'{row.path}: {found}, but another: {before}')
        lines[row.schedule] = found
    return list(lines.values())


def agvm(row: Row) -> str:
    """When AGVM begins, measures and clips."""
    clip = row.cfg.optim_wrapper.get('clip_grad_range')
    clips = f'{clip[0]:,}-{clip[1]:,}' if clip else '-'
    return f'{row.agvm["begin"]:,} | {row.agvm["interval"]} | {clips}'
