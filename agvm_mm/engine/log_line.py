"""The training line that a person reads: of AGVM, the factors alone.

MMEngine's ``LogProcessor`` prints every scalar that it hands to the
visualizer, of which AGVM has some thirteen: no terminal is as wide. Which of
them are printed is no setting of it. So the run's logger gets a filter, as
MMEngine's own logger has one of repeated warnings. It sees the text alone: the
JSON log and the visualizer keep all scalars.
"""
from __future__ import annotations

import logging
import re

from mmengine.logging import MessageHub, MMLogger

from agvm_mm.large_batch.settings import type_name

from .run_config import config_of_run

SEPARATOR = '  '  # between two items of a line, as LogProcessor writes it
TRAINING = ('Epoch(train)', 'Iter(train)')
# Skipped measurements are shown from the first one on.
UNPRINTED = re.compile(
    r'agvm/(variance|noise_scale|num_replicas|num_samples)(/.+)?: .+|'
    r'agvm/skipped(/.+)?: 0(\.0*)?')


def shorten_training_lines(hub: MessageHub) -> None:
    """Print no more of AGVM than its factors, from now on.

    A log processor of the user's own, of whatever other type, prints what it
    prints.

    Args:
        hub (MessageHub): The run's, into which a runner writes its config.
    """
    cfg = config_of_run(hub) or {}
    if type_name(cfg.get('log_processor')) in ('', 'LogProcessor'):
        # Added once, however often.
        MMLogger.get_current_instance().addFilter(factors_only)


def factors_only(record: logging.LogRecord) -> bool:
    """A filter of a logger, that takes AGVM's other scalars out of a line.

    Args:
        record (logging.LogRecord): It is changed if it is a training line.

    Returns:
        bool: True: it is logged.
    """
    line = record.msg
    if isinstance(line, str) and line.startswith(TRAINING):
        record.msg = SEPARATOR.join(
            item for item in line.split(SEPARATOR)
            if not UNPRINTED.fullmatch(item))
    return True
