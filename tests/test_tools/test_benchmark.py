"""The benchmark's own parts, and a small run of all of it."""
import json

import benchmark
import pytest
import torch
from benchmarks import options, scale, stopwatch
from benchmarks.counting import peak_memory
from benchmarks.training import backend

from tests.commands import ROOT, run


def parse(arguments):
    return options.parse_args('', benchmark.PARTS, arguments)


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


def test_peak_memory_is_what_was_held_at_once(device):
    kept = torch.zeros(1000, device=device)
    with peak_memory() as peak:
        first = torch.zeros(3000, device=device)
        del first
        second = kept + 1
        third = second * 2
    # A GPU's memory is given out in pieces of 512 bytes.
    assert peak == [12000 if device == 'cpu' else 12288]
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
        options.check(parse(['all', *arguments]))
    options.check(parse(['all']))


@pytest.mark.parametrize('part', ['scale', 'recovery'])
def test_a_part_asks_for_what_it_goes_by(part, tmp_path):
    with pytest.raises(
            SystemExit,
            match=r'^benchmark\.py: there is no overhead to go by: run '
            '"benchmark.py overhead"'):
        benchmark.main([part, '--out', str(tmp_path / 'b.json')])


def test_a_backend_is_for_the_gpus_at_hand(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert [backend(ranks) for ranks in (1, 2, 4)] == ['nccl', 'nccl', 'gloo']
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    assert backend(2) == 'gloo'


@pytest.fixture(name='figures')
def _figures(device, tmp_path):
    """Where a run writes what it found: on a GPU, it is worth keeping."""
    if device == 'cpu':
        return tmp_path
    folder = ROOT / 'work_dirs/gpu'
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_run_of_everything(figures, device):
    """A small one on a CPU; on a GPU, with the models of the docs."""
    out = figures / 'benchmark.json'
    out.unlink(missing_ok=True)
    chosen = [
        '--pipelines', 'faster-rcnn_r18_digits', '--repetitions', 1,
        '--models', 'swin-t_faster-rcnn', '--steps', 1,
        '--checkpoints', 1
    ] if device == 'cpu' else ['--repetitions', 10]
    output = run(
        'python',
        'tools/benchmark.py',
        'all',
        '--out',
        out,
        *chosen,
        '--updates',
        1,
        '--pool',
        32,
        '--draws',
        50,
        timeout=300 if device == 'cpu' else 1800)
    out.with_suffix('.txt').write_text(output)
    results = json.loads(out.read_text())
    logging = results['overhead'].pop('log_line')
    assert logging['scalars'] == 14
    for overhead in results['overhead'].values():
        own = {k: v['median'] for k, v in overhead['own_seconds'].items()}
        assert 0 < own['unmeasured'] < own['replica']
        shares = overhead['share_by_interval']['replica']
        assert 0 < shares['10'] < shares['5'] < shares['1'] < 1
        counted = overhead['counted']
        assert counted['replica']['messages'] == 1
        assert counted['half_batch']['messages'] == 2
        assert counted['official']['messages'] == (
            counted['num_parameters'] + 2)
        gradient = counted['gradient_bytes']
        assert counted['replica']['extra_peak_bytes'] < 0.5 * gradient
        assert counted['half_batch']['extra_peak_bytes'] >= 0.9 * gradient

    # No fused steps on a CPU before torch 2.4.
    step = list(results['step']['swin-t_faster-rcnn'].values())[-1]
    assert step['groups_ours'] < 10 < step['groups_mmengine']
    for recovery in results['recovery'].values():
        assert set(recovery['share']) == {'seeds', 'question', 'writing'}
        assert all(0 < share < 1 for share in recovery['share'].values())
    by_size = results['estimator']['modules']['neck']
    assert list(by_size) == ['2', '4', '8', '16', '32']
    assert all(one['spread_ratio'] > 0 for one in by_size.values())
    for name in results['overhead']:
        modelled = results['scale']['shares'][name]
        assert modelled['replica']['2048'] > modelled['replica']['8'] > 0
    assert out.with_suffix('.png').stat().st_size > 5000
    assert 'scale (a model)' in output
    assert all(goal['name'] in output for goal in results['goals'])
