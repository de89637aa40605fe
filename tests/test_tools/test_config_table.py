import re
from types import SimpleNamespace

import config_table
import pytest
from config_page.page import schedules
from config_page.sources import split_result, told

from tests.commands import ROOT


def test_the_table_of_configs_is_up_to_date():
    config_table.main(['--check'])


def test_the_table_of_configs_is_narrow():
    page = (ROOT / 'docs/configs.md').read_text()
    rows = re.findall(r'^\|.*', page, re.M)
    # As it is shown: without the addresses of links.
    shown = [re.sub(r'\[(.+?)\]\(.+?\)', r'\1', row) for row in rows]
    assert len(re.findall(r'^\| \[', page, re.M)) == 113
    assert max(map(len, shown)) < 80
    assert max(map(len, rows)) < 170


def fake(optimizer, batch, source, agvm=False):
    method = ('agvm-' if agvm else '') + optimizer.lower()
    return SimpleNamespace(
        path=f'{method}_{batch}',
        name=f'{method}_bs{batch}',
        optimizer=optimizer,
        batch=str(batch),
        source=source)


@pytest.mark.parametrize(('rows', 'line'), [
    ([('SGD', 8, 'paper'), ('LARS', 8, 'paper')], 'paper'),
    ([('SGD', 8, 'paper'),
      ('LARS', 8, 'ours: a guess')], 'SGD: paper; LARS: a guess'),
    ([('SGD', 8, 'paper'), ('LARS', 8, 'paper'),
      ('SGD', 9, 'x')], 'at 8: paper; at 9: x'),
    ([('SGD', 8, 'a'), ('LARS', 8, 'b'), ('SGD', 9, 'b'), ('LARS', 9, 'b'),
      ('SGD', 10, 'a')], 'SGD at 8 and 10: a; LARS, SGD at 9: b'),
    ([('SGD', 8, 'a'),
      ('SGD', 8, 'b', True)], 'SGD at sgd_bs8: a; SGD at agvm-sgd_bs8: b'),
    ([], None),
])
def test_a_source_names_whose_it_is(rows, line):
    """By the optimizer, by the batch, by both, or one by one."""
    rows = [fake(*row) for row in rows]
    found = list(told('lr', rows, lambda row: row.source))
    assert found == ([] if line is None else [f'**lr**: {line}'])


@pytest.mark.parametrize(('value', 'unit', 'parts'), [
    ('36.7 box mAP', 'box mAP', ('36.7', '')),
    ('36.7 box mAP; best rival 35.3', 'box mAP', ('36.7', 'best rival 35.3')),
    ('36.6 box mAP, in 4.2 min on 768 A100', 'box mAP',
     ('36.6', 'in 4.2 min on 768 A100')),
    ('34.4 mask mAP, 16 epochs', 'mask mAP', ('34.4', '16 epochs')),
    ('62.2 box, 53.4 mask mAP (UniNet-G)', 'mAP',
     ('62.2 box, 53.4 mask', '(UniNet-G)')),
    ('NaN (UniNet-G)', 'mAP', ('NaN', '(UniNet-G)')),
])
def test_a_result_is_told_from_what_stands_beside_it(value, unit, parts):
    assert split_result(value, unit) == parts


def test_two_configs_of_a_schedule_must_agree():
    row = dict(schedule='12e_bs8', warm_up='1', agvm=None, path='one.py')
    rows = [SimpleNamespace(**row, drops=drops) for drops in ('8', '9')]
    assert schedules(rows[:1]) == ['| 12e_bs8 | 1 | 8 | - | - | - |']
    with pytest.raises(ValueError, match=r'one\.py'):
        schedules(rows)
