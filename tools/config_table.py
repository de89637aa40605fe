"""Write docs/configs.md and configs/metafile.yml from the large-batch configs.

With --check nothing is written: it fails if the files are not up to date.
"""
from __future__ import annotations

import argparse
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Sequence

import yaml
from mmengine.config import Config

from agvm_mm.engine.plan import agvm_options
from agvm_mm.large_batch.plan import Plan, drops, learning_rates, make_plan
from agvm_mm.large_batch.settings import with_agvm

ROOT = Path(__file__).resolve().parent.parent
PAPER = dict(
    Title='Large-batch Optimization for Dense Visual Predictions: Training '
    'Faster R-CNN in 4.2 Minutes',
    URL='https://arxiv.org/abs/2210.11078')
FOLDERS = dict(
    faster_rcnn='Faster R-CNN, COCO',
    mask_rcnn='Mask R-CNN, COCO',
    panoptic_fpn='Panoptic FPN, COCO',
    retinanet='RetinaNet, COCO',
    semantic_fpn='Semantic FPN, ADE20K',
    upernet='UperNet, ADE20K',
    cascade_mask_rcnn='A detector of 1e9 parameters, COCO')
HEAD = """\
<!-- Written by tools/config_table.py from the configs; do not edit. -->
# The large-batch configs

**No result on COCO or ADE20K below was obtained here.** What is reported is
what the paper, or the README of its official code, states for its own
implementation. No weights are provided. Here, the configs marked *small* were
trained for a few updates on a CPU, shrunk and on Digits, by the tests
(`tests/test_ladder.py`; the detector of 1e9 parameters, over FSDP and without
its mixed precision, by `tests/test_tools/test_shards.py`). The others were
built and their plans checked.

```bash
python tools/plan.py configs/FOLDER/NAME.py --gpus 8   # what it will run
bash tools/dist_train.sh configs/FOLDER/NAME.py 8      # runs it
```

Each config states its `total_batch_size`; `tools/train.py` makes it of the
GPUs that there are, by accumulation. Everything below counts parameter
updates, and does not depend on the number of GPUs. The numbers in brackets are
the sources, at the end of the page.

What the configs share: the models are mmdet's and mmseg's own, with SyncBN in
the ResNets; gradients are clipped at norm 1 only within the window given, and
only with AGVM, as in the official code (plain `OptimWrapper` has no such
window). LARS and LAMB come from the library
[pytorch-optimizer](https://pypi.org/project/pytorch-optimizer/), which you
install for them: `pip install 'pytorch-optimizer>=4.1'`. The paper does not
give its learning rates for most rows, nor any setting of LARS and LAMB: those
here are starting points, by the rule given, and were not tuned.
"""
ALSO_SMALL = ('faster-rcnn_r50_fpn_agvm-sgd_16e_bs512_coco',
              'mask-rcnn_r50_fpn_sgd_14e_bs1024_coco',
              'mask-rcnn_r50_fpn_lars_14e_bs1024_coco',
              'mask-rcnn_r50_fpn_lamb_14e_bs1024_coco')
COLUMNS = ('config', 'optimizer', 'batch', 'updates', 'learning rate',
           'warm-up', 'drops', 'AGVM', 'reported', 'run here')


class Sources:
    """Numbers the sources in the order in which they are first named."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def mark(self, *names: str) -> str:
        """The bracketed numbers of some sources."""
        for name in names:
            if name not in self.names:
                self.names.append(name)
        numbers = (self.names.index(name) + 1 for name in names)
        return f'[{", ".join(map(str, dict.fromkeys(numbers)))}]'


def trained_small(paths: list[Path]) -> set[Path]:
    """The configs that the tests train.

    Of each pipeline, backbone and optimizer the largest batch with AGVM, and
    :data:`ALSO_SMALL`.
    """
    largest: dict[str, tuple[int, Path]] = {}
    for path in paths:
        found = re.match(r'(.+_agvm-[a-z]+)_.*_bs(\d+)_', path.name)
        if found:
            stem, batch = found.group(1), int(found.group(2))
            largest[stem] = max((batch, path), largest.get(stem, (0, path)))
    also = {path for path in paths if path.stem in ALSO_SMALL}
    return also.union(path for _, path in largest.values())


def read(path: Path) -> tuple[Config, Plan, list[float]]:
    """A config, what it runs, and the learning rate of each update."""
    cfg = Config.fromfile(path)
    plan = make_plan(cfg, 1)
    return cfg, plan, learning_rates(cfg, plan)


def describe_row(path: Path, cfg: Config, plan: Plan, rates: list[float],
                 small: bool, sources: Sources) -> tuple[str, ...]:
    """One row of a table, a cell for each of :data:`COLUMNS`."""
    peak = max(rates)
    options = agvm_options(cfg, plan)
    optimizer = cfg.optim_wrapper.optimizer
    method = ('' if options is None else 'AGVM + ') + optimizer.type
    updates = f'{plan.updates:,}'
    if plan.epochs is not None:
        updates += f', {plan.epochs} epochs'
    rule = cfg.lr_source.by
    if 'lr' in cfg.lr_source:
        rule = (f'by the square-root rule from {cfg.lr_source.lr:g} at '
                f'{cfg.lr_source.batch:,} ({rule})')
    falls = [f'{u:,}' for u in drops(rates)] or ['polynomial']
    agvm = '-'
    if options is not None:
        agvm = (f'from {options["begin"]:,} '
                f'{sources.mark(cfg.agvm_source.begin)}, each '
                f'{options["interval"]} {sources.mark("paper")}')
        if 'clip_grad_range' in cfg.optim_wrapper:
            first, last = cfg.optim_wrapper.clip_grad_range
            agvm += (f', clip {first:,}-{last:,} '
                     f'{sources.mark(cfg.agvm_source.clip)}')
    reported = '; '.join(f'{value} ({who})'
                         for who, value in cfg.get('reported', {}).items())
    name = path.relative_to(ROOT)
    return (
        f'[{path.stem}](../{name})',
        f'{method}, decay {optimizer.weight_decay:g} '
        f'{sources.mark(cfg.optimizer_source)}',
        f'{cfg.total_batch_size:,}',
        f'{updates} {sources.mark(cfg.schedule_source.epochs)}',
        f'{peak:.4g} {sources.mark(rule)}',
        f'{rates.index(peak):,} {sources.mark(cfg.schedule_source.warmup)}',
        f'{", ".join(falls)} {sources.mark(cfg.schedule_source.drops)}',
        agvm,
        reported or '-',
        'small' if small else '-',
    )


def index_entry(path: Path, cfg: Config, plan: Plan) -> dict:
    """One model in OpenMMLab's model index."""
    optimizer = cfg.optim_wrapper.optimizer.type
    techniques = ['AGVM', optimizer] if with_agvm(cfg) else [optimizer]
    entry = {
        'Name': path.stem,
        'In Collection': 'AGVM',
        'Config': str(path.relative_to(ROOT)),
        'Metadata': {
            'Training Data':
            'COCO' if path.name.endswith('coco.py') else 'ADE20K',
            'Training Techniques': techniques,
            'Batch Size': plan.total_batch_size,
            'Iterations': plan.updates,
        },
    }
    if plan.epochs is not None:
        entry['Metadata']['Epochs'] = plan.epochs
    # Results are left out: none was obtained with these configs.
    return entry


def build() -> dict[Path, str]:
    """The text of each file that this tool writes."""
    sources = Sources()
    sources.mark('paper', 'official')
    paths = sorted((path for folder in FOLDERS
                    for path in (ROOT / 'configs' / folder).glob('*.py')),
                   key=order)
    small = trained_small(paths)
    with ProcessPoolExecutor() as pool:
        found = dict(zip(paths, pool.map(read, paths)))
    text, models = [HEAD], []
    for folder, title in FOLDERS.items():
        text.append(f'\n## {title}\n')
        text.append(f'| {" | ".join(COLUMNS)} |')
        text.append(f'|{"---|" * len(COLUMNS)}')
        for path in paths:
            if path.parent.name != folder:
                continue
            cfg, plan, rates = found[path]
            row = describe_row(path, cfg, plan, rates, path in small, sources)
            text.append(f'| {" | ".join(row)} |')
            models.append(index_entry(path, cfg, plan))
    text.append('\n## Sources\n')
    text += [
        f'{number}. {explain(name)}'
        for number, name in enumerate(sources.names, 1)
    ]
    collection = {
        'Name': 'AGVM',
        'Paper': PAPER,
        'README': 'docs/configs.md',
        'Metadata': {
            'Training Techniques': ['AGVM']
        },
    }
    index = yaml.safe_dump(
        dict(Collections=[collection], Models=models), sort_keys=False)
    return {
        ROOT / 'docs/configs.md':
        '\n'.join(text) + '\n',
        ROOT / 'configs/metafile.yml':
        '# Written by tools/config_table.py; do not edit.\n' + index,
    }


def explain(source: str) -> str:
    """A source as the page names it; what is nobody's is ours."""
    if source == 'official':
        return ("official: the configs of the paper's code, "
                '[Sense-X/AGVM](https://github.com/Sense-X/AGVM)')
    if source == 'paper':
        return f'paper: [{PAPER["Title"]}]({PAPER["URL"]})'
    own = source.startswith(('paper', 'ours: '))
    return source if own else f'ours: {source}'


def order(path: Path) -> tuple:
    """By folder, backbone, batch, then AGVM, its twin, and the others."""
    stem, batch = re.fullmatch(r'(.+)_bs(\d+)_.+', path.stem).groups()
    method = re.search('agvm-(?:sgd|adamw)|sgd|adamw|lars|lamb', stem).group()
    backbone = stem.partition(f'_{method}')[0]
    schedule = stem.rpartition('_')[2] if stem.endswith('e') else ''
    rank = (not method.startswith('agvm'), method in ('lars', 'lamb'), method)
    return path.parent.name, backbone, schedule, int(batch), rank


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line; write or check.

    Args:
        argv (Sequence[str], optional): Instead of the command line.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--check', action='store_true', help='only compare, and fail')
    args = parser.parse_args(argv)
    for path, text in build().items():
        if args.check:
            if not path.is_file() or path.read_text() != text:
                sys.exit(f'{path.relative_to(ROOT)} is not up to date: run '
                         'python tools/config_table.py')
        else:
            path.write_text(text)
            print(f'wrote {path.relative_to(ROOT)}')


if __name__ == '__main__':
    main()
