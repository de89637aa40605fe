"""The benchmark's own parts: what it counts, and whom it compares with."""
import json
import subprocess
import sys

import benchmark
import pytest
import torch
import torch.distributed as dist
from benchmarks import scale, stopwatch
from benchmarks.counting import count_messages, peak_memory
from benchmarks.official import OfficialOptimWrapper
from torch.nn.parallel import DistributedDataParallel

from tests.commands import ROOT
from tests.distributed import run_ranks
from tests.toy import ToyDetector, build_wrapper, train

TOOLS = ROOT / 'tools'


def test_the_stopwatch_runs_in_the_innermost_of_our_lines(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(stopwatch, 'clock', lambda: now[0])

    def spend(seconds):
        now[0] += seconds

    class Ours:

        def step(self):
            spend(1)
            Host().step(self)
            spend(2)

        def hook(self):
            spend(4)

    class Host:

        def step(self, ours):
            spend(100)
            ours.hook()
            spend(200)

    class Context:

        def __enter__(self):
            spend(8)

        def __exit__(self, *error):
            spend(16)

    class Module:

        def context(self):
            return Context()

    watch = stopwatch.Stopwatch()
    watch.mark(Ours, ['step', 'hook'], ours=True)
    watch.mark(Host, ['step'], ours=False)
    watch.mark_context(Module, 'context', ours=True)
    Ours().step()
    assert watch.seconds == 1 + 2 + 4
    with Module().context():
        spend(1000)
    assert watch.seconds == 7 + 8 + 16


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


@pytest.mark.skipif(
    torch.cuda.is_available(), reason='counts what the GPU holds')
def test_peak_memory_is_what_was_held_at_once():
    kept = torch.zeros(1000)
    with peak_memory() as peak:
        first = torch.zeros(3000)
        del first
        second = kept + 1
        third = second * 2
    assert peak == [12000]
    assert third.sum() == 2000


def test_the_cost_of_an_all_reduce():
    network = scale.Network(
        base=1e-5, alpha=1e-6, bandwidth=1e9, iteration=0.1)
    assert network.all_reduce(1e6, 1) == 0
    # Two ranks: the ring sends half of it twice, the tree all of it twice.
    assert network.all_reduce(1e6, 2) == pytest.approx(1e-5 + 2e-6 + 1e-3)
    # Few bytes among many ranks: 2 x 10 hops up and down a tree.
    assert network.all_reduce(0, 1024) == pytest.approx(1e-5 + 20e-6)


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--ranks', '1'], '--ranks 1 is not allowed: it must be 2 or more'),
    (['--pool', '16'], '--pool 16 is not allowed: it must be 32 or more'),
    (['--repetitions', '0'], '--repetitions 0 is not allowed'),
    (['--image-scale', '0'], '--image-scale 0.0 is not allowed'),
    (['--out', 'missing/b.json'], 'there is no folder .*missing; make it'),
])
def test_bad_options_stop_before_measuring(arguments, message):
    with pytest.raises(ValueError, match=message):
        benchmark.check(benchmark.parse_args(['all', *arguments]))
    benchmark.check(benchmark.parse_args(['all']))


def run_benchmark(*arguments):
    return subprocess.run(
        [sys.executable, TOOLS / 'benchmark.py', *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400)


def test_scale_asks_for_what_it_goes_by(tmp_path):
    done = run_benchmark('scale', '--out', tmp_path / 'b.json')
    assert done.returncode == 1
    assert 'holds no overhead to go by: run "benchmark.py overhead"' in (
        done.stdout)
    assert 'Traceback' not in done.stdout


def test_a_small_run_of_everything(tmp_path):
    out = tmp_path / 'benchmark.json'
    done = run_benchmark('all', '--out', out, '--pipelines',
                         'faster-rcnn_r18_digits', '--repetitions', 1,
                         '--models', 'swin-t_faster-rcnn', '--steps', 1,
                         '--updates', 1, '--pool', 32, '--draws', 50)
    assert done.returncode == 0, done.stdout[-3000:]
    results = json.loads(out.read_text())
    overhead = results['overhead']['faster-rcnn_r18_digits']
    own = {k: v['median'] for k, v in overhead['own_seconds'].items()}
    assert 0 < own['unmeasured'] < own['replica']
    shares = overhead['share_by_interval']['replica']
    assert 0 < shares['10'] < shares['5'] < shares['1'] < 1
    counted = overhead['counted']
    assert counted['replica']['messages'] == 1
    assert counted['half_batch']['messages'] == 2
    assert counted['official']['messages'] == counted['num_parameters'] + 2
    gradient = counted['gradient_bytes']
    assert counted['replica']['extra_peak_bytes'] < 0.5 * gradient
    assert counted['half_batch']['extra_peak_bytes'] >= 0.9 * gradient
    assert results['overhead']['log_line']['scalars'] == 13

    step = results['step']['swin-t_faster-rcnn']['fused']
    assert step['groups_ours'] < 10 < step['groups_mmengine']
    by_size = results['estimator']['modules']['neck']
    assert list(by_size) == ['2', '4', '8', '16', '32']
    assert all(one['spread_ratio'] > 0 for one in by_size.values())
    modelled = results['scale']['shares']['faster-rcnn_r18_digits']
    assert modelled['replica']['2048'] > modelled['replica']['8'] > 0
    assert out.with_suffix('.png').stat().st_size > 5000
    assert 'scale (a model)' in done.stdout
    assert all(goal['name'] in done.stdout for goal in results['goals'])
