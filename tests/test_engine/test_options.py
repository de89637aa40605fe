import pytest

from agvm_mm.engine.clipping import check_clipping
from agvm_mm.engine.options import AGVM_OPTIONS, checked_options

BAD = [
    (dict(begin=-1), 'agvm.begin=-1 .* int >= 0'),
    (dict(begin=1.5), 'agvm.begin=1.5 .* int >= 0'),
    (dict(begin=True), 'agvm.begin=True .* int >= 0'),
    (dict(begin='560'), "agvm.begin='560' .* int >= 0"),
    (dict(begin=1, end=-1), 'agvm.end=-1 .* None or an int >= 0'),
    (dict(begin=1, end=2.0), 'agvm.end=2.0 .* None or an int >= 0'),
    (dict(begin=1, interval=0), 'agvm.interval=0 .* int >= 1'),
    (dict(begin=1, interval=2.5), 'agvm.interval=2.5 .* int >= 1'),
    (dict(begin=1, momentum=1.0), r'agvm.momentum=1.0 .* \[0, 1\)'),
    (dict(begin=1, momentum=-0.1), r'agvm.momentum=-0.1 .* \[0, 1\)'),
    (dict(begin=1, momentum='high'), r"agvm.momentum='high' .* \[0, 1\)"),
    (dict(begin=1, momentum=float('nan')), r'agvm.momentum=nan .* \[0, 1\)'),
    (dict(begin=1, anchor=1), "agvm.anchor=1 .* a module's name"),
    (dict(begin=1, estimator='half'), r"agvm.estimator='half' .*one of \("),
    (dict(begin=1, ratio_range=(2, 1)), r'agvm.ratio_range=\(2, 1\) .*low'),
    (dict(begin=1, ratio_range=(0, 1)), r'agvm.ratio_range=\(0, 1\) .*low'),
    (dict(begin=1, ratio_range=3), 'agvm.ratio_range=3 .*low'),
    (dict(begin=1, ratio_range=(1, )), r'agvm.ratio_range=\(1,\) .*low'),
    (dict(begin=1, ratio_range=(1, float('inf'))), 'agvm.ratio_range=.*low'),
    (dict(begin=1, intervall=5), "agvm.intervall .*did you mean 'interval'"),
    (dict(begin=1, zzz=5), 'agvm.zzz is no option .*options are begin, end'),
    ([560], r'agvm must be a dict .* but got \[560\]'),
    (None, 'agvm must be a dict .* but got None'),
]


@pytest.mark.parametrize(('agvm', 'message'), BAD, ids=lambda v: repr(v)[:40])
def test_bad_options(agvm, message):
    with pytest.raises(ValueError, match=message):
        checked_options(agvm)


def test_defaults():
    assert checked_options(dict(begin=0)) == {**AGVM_OPTIONS, 'begin': 0}
    assert checked_options(dict(begin=0,
                                ratio_range=[1, 2]))['ratio_range'] == [1, 2]


@pytest.mark.parametrize('value', [(2, 1), (1, 1), (-1, 2), 5, (1, ), 'ab'])
def test_bad_clip_grad_range(value):
    with pytest.raises(ValueError, match=r'clip_grad_range=.* 0 <= first'):
        check_clipping(dict(max_norm=1), value, None)


def test_clip_grad_range_without_clip_grad():
    with pytest.raises(ValueError, match='without clip_grad'):
        check_clipping(None, (1, 2), None)
    check_clipping(None, None, None)
    check_clipping(dict(max_norm=1), [1, 2], None)
