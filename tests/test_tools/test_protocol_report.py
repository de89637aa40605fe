"""The pages of a study with a protocol, from made-up results."""
import pytest
from studies.grid import missing, read_study
from studies.pages import write_pages
from studies.processes import write_result
from studies.protocol import Protocol
from studies.target_claims import target_claims

from .protocol_study import curve, trials_done, write_protocol
from .study_results import measured, trained


@pytest.fixture(name='path')
def _path(tmp_path):
    return write_protocol(tmp_path / 'digits.yaml')


@pytest.fixture(name='study')
def _study(path):
    return read_study(path)


@pytest.fixture(name='trials')
def _trials(study):
    """All of them, with a target of 0.45."""
    first = trials_done(study, 8, [0.5, 0.4, 0.4] * 2)
    return [*first, *trials_done(study, 32, [0.5, 0.4, 0.4] * 2)]


def finals(study, results, last):
    """Every final run; ``last`` tells a method's metric at a batch and seed.

    The horizon is the same for all, so that updates are as 1 / metric.
    """
    return [
        trained(
            run,
            curve(last(run.method, run.batch, run.seed)),
            agvm={} if run.method == 'sgd' else measured(
                backbone=0.5, neck=0.4 if run.batch == 8 else 0.1))
        for run in missing(study, results)
    ]


def with_small_gain(method, batch, seed):
    """AGVM gains a tenth at batch 32, to the same deviation, and else none."""
    value = 0.6 if batch == 8 else 0.5
    if method == 'agvm-sgd' and batch == 32:
        value *= 1.1
    return value * (1 + 0.001 * seed * (1 if method == 'sgd' else -1))


def test_claims(study, trials):
    results = [*trials, *finals(study, trials, with_small_gain)]
    said = {c.text: c for c in target_claims(
        Protocol(study, results), 'faster-rcnn')}  # yapf: disable
    fewer = said['at batch 32 agvm-sgd needs fewer updates than sgd to 45.0']
    # 0.45 of 0.5 is 0.9 of 90 updates; of 0.55, a tenth less.
    assert fewer.found == '74 against 81: 0.91 times (2 pairs)'
    assert (fewer.verdict, fewer.visible) == ('yes', '')
    ends = said['at batch 32 agvm-sgd ends better than sgd']
    assert ends.found == '53.9 against 49.1: +4.8 (2 pairs)'
    assert float(ends.p_value) < 0.05
    same = said['at batch 8 agvm-sgd ends better than sgd']
    assert same.verdict == 'undecided'
    # Differences of -0.0012 and -0.0024: a deviation of 0.085 points, of
    # which (12.71 + 1.376) / sqrt(2) could have been seen.
    assert same.visible == '0.8 points'
    assert said['variances are aligned at a small batch (sgd)'].verdict == (
        'yes')
    assert said['they are misaligned at a large batch (sgd)'].verdict == 'yes'


def test_a_target_that_not_all_reach_is_not_tested(study, trials):

    def last(method, batch, seed):
        if (method, batch, seed) == ('agvm-sgd', 32, 2):
            return 0.3
        return 0.4 if (method, batch) == ('sgd', 8) else 0.5

    results = [*trials, *finals(study, trials, last)]
    said = {c.text: c for c in target_claims(
        Protocol(study, results), 'faster-rcnn')}  # yapf: disable
    # Of those to the lower one, where some did not reach that either.
    updates = said['at batch 32 agvm-sgd needs fewer updates than sgd to 37.5']
    assert updates == (updates.text, 'reached by 1 of 2 and by 2 of 2', '',
                       'not tested', '')
    # To the lower one where a run did not reach the upper.
    assert 'at batch 8 agvm-sgd needs fewer updates than sgd to 37.5' in said


def test_while_runs_are_missing_pairs_alone_are_told_of(study, trials):
    of_seeds = dict(zip((1, 2), (0.5, 0.4)))
    results = [
        *trials,
        *(result for result in finals(
            study, trials, lambda method, batch, seed: of_seeds[seed])
          if (result['run']['method'], result['run']['seed']) !=
          ('agvm-sgd', 2))
    ]  # yapf: disable
    said = {c.text: c for c in target_claims(
        Protocol(study, results), 'faster-rcnn')}  # yapf: disable
    ends = said['at batch 8 agvm-sgd ends better than sgd']
    assert ends.found == '49.0 against 49.0: +0.0 (1 pairs)'


def test_pages(path, study, trials, tmp_path):
    results = [*trials, *finals(study, trials, with_small_gain)]
    for result in results[:-1]:  # All but one.
        write_result(result, tmp_path / 'results')
    (tmp_path / 'study').mkdir()
    (tmp_path / 'study/digits-summary.md').write_text('In short: a little.\n')
    *figures, page, tables = write_pages(str(path), None, tmp_path)
    assert [figure.name for figure in figures] == [
        'digits-faster-rcnn_updates.png', 'digits-faster-rcnn_images.png',
        'digits-faster-rcnn_curves.png', 'digits-faster-rcnn_variance-sgd.png'
    ]
    assert all(figure.stat().st_size > 300 for figure in figures)
    said = page.read_text()
    assert 'In short: a little.' in said
    assert '90% of the best bbox mAP that a trial at batch 8' in said
    assert '| faster-rcnn | sgd-measured | - |  | final 1 |' in said
    assert 'The targets are 45.0 and 37.5.' in said
    # 0.45 of 0.6009 is 172.24 of 230 updates, and of 0.50075 80.88 of 90.
    assert '| sgd | 172 (1,378 images) | 81 (2,588 images, 53%) |' in said
    assert '| agvm-sgd | 58.9 ± 0.0, at 0.0154 and 230 updates |' in said
    listed = tables.read_text()
    assert '| sgd | 8 | 0.0154 | 230 | **50.0** | 207 |' in listed
    # A lower target is reached earlier: 0.375 of 0.501 is 67 of 90.
    assert '| sgd | 32 | - | 2 | 0.0308 | 90 | 50.1 | 49.1 | 81 | 67 |' in (
        listed)
    assert '| agvm-sgd | 32 | neck | 0.1 / 0.1 | 1 / 2 |' in listed


@pytest.mark.parametrize(('count', 'told'), [
    (3, 'Its trials at batch 8 are not all done: there is no target yet.'),
    (8, 'No final run is done yet.'),
])
def test_pages_of_the_first_trials(path, trials, tmp_path, count, told):
    for result in trials[:count]:
        write_result(result, tmp_path / 'results')
    page, tables = write_pages(str(path), None, tmp_path)
    assert told in page.read_text()
    missing = {3: 'trials 3, final 2', 8: 'trials 1, final 2'}[count]
    assert f'| faster-rcnn | sgd | - | final 2 | {missing} |' in (
        page.read_text())
    assert 'below are not the last ones' in page.read_text()
    assert 'not run yet' in tables.read_text()


def test_pages_of_trials_that_learned_nothing(path, study, tmp_path):
    for result in trials_done(study, 8, [0.0] * 6):
        write_result(result, tmp_path / 'results')
    page, tables = write_pages(str(path), None, tmp_path)
    assert 'No trial at batch 8 learned anything' in page.read_text()
    assert '| sgd | 8 | 0.0154 | 230 | **0.0** | never |' in (
        tables.read_text())


def test_pages_need_a_protocol_and_results(path, tmp_path):
    with pytest.raises(ValueError, match=r'there is no result in .*/results'):
        list(write_pages(str(path), None, tmp_path))
    with pytest.raises(ValueError, match=r'quick\.yaml has no protocol'):
        list(write_pages('docs/study/quick.yaml', None, tmp_path))
