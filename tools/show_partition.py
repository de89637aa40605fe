"""Print the modules into which AGVM splits a config's model."""
from __future__ import annotations

import argparse
import sys

from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, init_default_scope
from rich.console import Console
from rich.table import Table
from torch import nn

from agvm_mm import partition_parameters
from agvm_mm.algorithm.modulator import find_anchor
from agvm_mm.engine.options import AGVM_OPTIONS


def build_table(model: nn.Module, agvm: dict) -> Table:
    """One row a module, one for what is frozen, and their sum.

    Args:
        model (nn.Module): The model.
        agvm (dict): The config's ``optim_wrapper.agvm``.

    Raises:
        ValueError: If the partition is impossible, or has no anchor.
    """
    parameters = dict(model.named_parameters())
    partition = partition_parameters(model, agvm.get('modules'))
    anchor = find_anchor(
        agvm.get('anchor', AGVM_OPTIONS['anchor']), list(partition))
    rows = {
        f'{module} (anchor)' if module == anchor else module: names
        for module, names in partition.items()
    }
    frozen = [n for n, p in parameters.items() if not p.requires_grad]
    rows['frozen, not stepped'] = frozen

    table = Table(title=f'AGVM modules of {type(model).__name__}')
    table.add_column('module')
    for column in ('tensors', 'parameters', 'share'):
        table.add_column(column, justify='right')
    total = sum(p.numel() for p in parameters.values())
    for module, names in rows.items():
        count = sum(parameters[name].numel() for name in names)
        table.add_row(module, f'{len(names):,}', f'{count:,}',
                      f'{count / total:.1%}')
    table.add_section()
    table.add_row('all', f'{len(parameters):,}', f'{total:,}', '100.0%')
    return table


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='change settings of the config, as '
        'optim_wrapper.agvm.anchor=neck')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = MODELS.build(cfg.model)
    try:
        table = build_table(model, cfg.optim_wrapper.get('agvm', {}))
    except ValueError as error:
        sys.exit(f'{args.config}: {error}')
    Console().print(table)


if __name__ == '__main__':
    main()
