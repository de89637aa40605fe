"""Print the modules into which AGVM splits a config's model.

With --table it writes those of well-known models, as docs/modules.md.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Sequence

from command_line.configs import Options, load_config
from command_line.console import new_console
from command_line.refusals import one_line
from mmengine.config import Config
from partitions.models import build_model
from partitions.page import build_page
from rich.table import Table
from torch import nn

from agvm_mm import partition_parameters
from agvm_mm.algorithm.modulator import find_anchor
from agvm_mm.algorithm.partition import named_parameters
from agvm_mm.engine.options import checked_options
from agvm_mm.large_batch.probe.silence import silently
from agvm_mm.large_batch.settings import wrappers_of


def build_table(model: nn.Module, agvm: dict) -> Table:
    """One row a module, one for what is frozen, and their sum.

    Args:
        model (nn.Module): The model.
        agvm (dict): The config's ``optim_wrapper.agvm``.

    Raises:
        ValueError: If an option is wrong, or the partition is impossible, or
            has no anchor.
    """
    options = checked_options(agvm)
    parameters = dict(named_parameters(model))
    partition = partition_parameters(model, options['modules'])
    anchor = find_anchor(options['anchor'], list(partition))
    rows = {
        f'{module} (anchor)' if module == anchor else module: names
        for module, names in partition.items()
    }
    frozen = [n for n, p in parameters.items() if not p.requires_grad]
    rows['frozen, not stepped'] = frozen

    table = Table()
    table.add_column('module', overflow='fold')
    for column in ('tensors', 'parameters', 'share'):
        table.add_column(column, justify='right', no_wrap=True)
    total = sum(p.numel() for p in parameters.values())
    for module, names in rows.items():
        count = sum(parameters[name].numel() for name in names)
        table.add_row(module, f'{len(names):,}', f'{count:,}',
                      f'{count / total:.1%}')
    table.add_section()
    table.add_row('all', f'{len(parameters):,}', f'{total:,}', '100.0%')
    return table


def model_of(cfg: Config, name: str) -> nn.Module:
    """The model of a config.

    Args:
        cfg (Config): The config.
        name (str): Its own, for the message.

    Raises:
        ValueError: If it has none, or one that cannot be built.
    """
    if not cfg.get('model'):
        raise ValueError(f'{name} states no model: name the config of a '
                         'training')
    try:
        with silently():
            return build_model(cfg)
    except Exception as error:
        # Whatever a model of another library raises.
        told = ' '.join(str(error).split())
        raise ValueError(f'the model of {name} cannot be built: '
                         f'{type(error).__name__}: {told}') from error


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line; print, or write the page.

    Args:
        argv (Sequence[str], optional): The command line. Defaults to None,
            that of the process.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        'config',
        nargs='?',
        help="config file, or the name of a package's, as "
        'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change settings of the config, as '
        'optim_wrapper.agvm.anchor=neck')
    parser.add_argument(
        '--table',
        type=Path,
        metavar='FILE',
        help='write the modules of well-known models: docs/modules.md')
    args = parser.parse_args(argv)
    if (args.config is None) == (args.table is None):
        parser.error('give a config, or --table FILE')
    if args.table is not None:
        args.table.write_text(build_page())
        return
    with one_line('show_partition.py'):
        cfg = load_config(args.config, args.cfg_options)
        model = model_of(cfg, args.config)
        tables = {
            name: build_table(model, wrapper.get('agvm', {}))
            for name, wrapper in (wrappers_of(cfg) or {None: {}}).items()
        }
    console = new_console()
    for name, table in tables.items():
        beside = f', by optim_wrapper.{name}' if name else ''
        console.print(f'AGVM modules of {type(model).__name__}{beside}')
        console.print(table)


if __name__ == '__main__':
    main()
