"""What the benchmark counts on real ranks, and whom it compares with.

Apart from test_benchmark.py, because each rank imports this file: it has no
use for what draws and shows the results.
"""
import pytest
import torch
import torch.distributed as dist
from benchmarks.counting import count_messages
from benchmarks.official import OfficialOptimWrapper
from torch.nn.parallel import DistributedDataParallel

from tests.distributed import run_ranks
from tests.toy import ToyDetector, build_wrapper, train


def official(rank, num_ranks):
    """One update by the official scheme and by ours."""
    found = []
    for name in ('official', 'half_batch'):
        model = ToyDetector()
        wrapper = build_wrapper(
            model, begin=0, interval=1, estimator='half_batch')
        if name == 'official':
            wrapper = OfficialOptimWrapper(wrapper.optimizer)
        ddp = DistributedDataParallel(model)
        wrapper.initialize_count_status(ddp, 0, 2)
        with count_messages() as messages:
            train(
                ddp,
                wrapper,
                1,
                range(1),
                rank,
                num_ranks,
                dtype=torch.float32)
        factors = (
            wrapper.scale.tolist() if name == 'official' else list(
                wrapper.modulator.lr_scale.values()))
        found.append(
            (factors, messages, [p.detach() for p in model.parameters()]))
    return found


def test_the_official_scheme_is_the_half_batch_estimator():
    ranks = run_ranks(official, 4, 4)
    for (factors, messages, weights), (ours, few, expected) in ranks:
        assert factors == pytest.approx(ours, rel=1e-5)
        assert factors[1] != 1
        for tensor, other in zip(weights, expected):
            torch.testing.assert_close(tensor, other)
        assert len(few) == 2
        # Each parameter twice, the pair's gather, the broadcast of factors.
        assert len(messages) - 2 * len(weights) in (1, 2)
    gradient = sum(4 * p.numel() for p in ToyDetector().parameters())
    assert sum(ranks[0][0][1]) == pytest.approx(3 * gradient, abs=4 * 5)


def one_message(rank):
    with count_messages() as messages:
        dist.all_reduce(torch.zeros(5, dtype=torch.float64))
        alone = [dist.new_group([r]) for r in range(2)][rank]
        dist.all_reduce(torch.zeros(7), group=alone)
    return messages


def test_messages_are_counted_where_there_is_somebody_to_send_to():
    assert run_ranks(one_message, 2) == [[40], [40]]
