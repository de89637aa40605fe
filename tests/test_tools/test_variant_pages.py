"""Changes of AGVM in a study: their runs, and their tables apart."""
import pytest
import yaml
from studies.grid import expand, missing, read_study
from studies.pages import write_pages
from studies.processes import write_result
from studies.protocol import Protocol
from studies.run_config import build_config
from studies.target_claims import target_claims

from tests.commands import ROOT

from .protocol_study import ENTRIES, SETTINGS, curve, write_protocol
from .study_results import measured, result, trained

VARIANT = 'agvm-sgd-mean1'
WRAPPER = dict(
    type='AGVMMeanOneOptimWrapper',
    constructor='AGVMOptimWrapperConstructor',
    optimizer=dict(type='SGD', momentum=0.9),
    agvm=dict(momentum=0.94))


def with_variant(path):
    """A study with a protocol, to which a change of AGVM is added at 32."""
    more = [dict(ENTRIES[i], method=VARIANT, batch=32) for i in (0, 1)]
    rates = {**SETTINGS['rate'], VARIANT: [0.01, 0.16]}
    write_protocol(path, *ENTRIES, *more, rate=rates)
    study = yaml.safe_load(path.read_text())
    study['methods'] = {VARIANT: WRAPPER}
    study['variants'] = {'agvm-sgd': [VARIANT], 'sgd': [VARIANT]}
    path.write_text(yaml.safe_dump(study))
    return path


def all_results(study):
    """Trials and final runs; the change is better than both others."""
    last = {'sgd': 0.5, 'agvm-sgd': 0.5, VARIANT: 0.55}
    results = []
    while todo := missing(study, results):
        for run in todo:
            value = 0.5 if run.split == 'val' else last.get(run.method, 0.5)
            results.append(
                trained(run, curve(value * (1 + 0.001 * run.seed))))
    return results


def test_variants_are_tables_of_their_own(tmp_path):
    plain = read_study(write_protocol(tmp_path / 'plain.yaml'))
    path = with_variant(tmp_path / 'digits.yaml')
    study = read_study(path)
    results = all_results(study)
    assert len(results) == len(list(expand(study, results))) == 27
    claims = [
        list(target_claims(Protocol(of, results), 'faster-rcnn'))
        for of in (plain, study)
    ]
    assert claims[0] == claims[1]
    for one in results:
        write_result(one, tmp_path / 'results')
    *_, page, tables = write_pages(str(path), None, tmp_path)
    before, after = page.read_text().split('### Changes of AGVM')
    assert VARIANT not in before
    for rival in ('agvm-sgd', 'sgd'):
        of_rival = after.split(f'Against {rival}:')[1].split('\n\n')[1]
        assert of_rival.count('at batch 32 agvm-sgd-mean1 ') == 2
        assert f'{VARIANT} ends better than {rival} | ' in of_rival
    assert '| agvm-sgd-mean1 | 54.1 ± 0.0, at' in after
    assert 'batch 8' not in after
    assert VARIANT in tables.read_text()


def test_the_page_without_a_result_of_a_variant(tmp_path):
    path = with_variant(tmp_path / 'digits.yaml')
    for one in all_results(read_study(path)):
        if one['run']['method'] != VARIANT:
            write_result(one, tmp_path / 'results')
    *_, page, _ = write_pages(str(path), None, tmp_path)
    assert 'Changes of AGVM' not in page.read_text()
    assert f'| {VARIANT} | - |  | trials 3, final 2 |' in page.read_text()


def test_the_page_of_variants_on_digits(tmp_path):
    path = ROOT / 'docs/study/variants.yaml'
    study = read_study(path)
    with pytest.raises(ValueError, match='there is no result in'):
        list(write_pages(str(path), tmp_path / 'none', tmp_path))
    done = []
    while todo := missing(study, done):
        for run in todo:
            value = 0.3 if run.method.endswith('debiased') else 0.2
            value += 0.001 * run.seed * (1 if '-noise' in run.method else 2)
            done.append(
                result(run, value, agvm=measured(backbone=0.5, neck=0.1)))
    assert len(done) == 116
    for one in done:
        write_result(one, tmp_path / 'results')
    page, = write_pages(str(path), tmp_path / 'results', tmp_path)
    said = page.read_text()
    assert page.name == 'study-variants.md'
    for rival in ('agvm-sgd', 'sgd', 'agvm-adamw', 'adamw'):
        claims = said.split(f'Against {rival}:')[1].split('\n\n')[1]
        assert claims.count(f' ends better than {rival} |') == 3
        # Of 0.001 to 0.005 less, with p = 0.0132, and nothing to correct.
        assert '20.3 against 20.6: -0.3 (5 pairs) | 0.013 | no |' in claims
        assert '30.6 against 20.6: +10.0 (5 pairs) | < 0.001 | yes' in claims
        assert '20.6 against 20.6: +0.0 (5 pairs) | 1.000 | undecided' in (
            claims)


@pytest.mark.parametrize('name', ['bccd-variants', 'variants'])
def test_a_variant_has_the_runs_of_agvm(name):
    study = read_study(ROOT / f'docs/study/{name}.yaml')
    for rival, variants in study.variants.items():
        assert len(variants) == 3
        for method in variants:
            assert method.startswith(f'agvm-{rival.split("-")[-1]}-')
            ours, theirs = study.methods[method], study.methods[rival]
            assert ours.optimizer == theirs.optimizer
            assert ours.agvm == study.methods['agvm-sgd'].agvm
    run = next(r for r in expand(study, []) if r.method in variants and r.lr)
    cfg = build_config(study, run)
    assert cfg.optim_wrapper.type == 'AGVMMeanOneOptimWrapper'
    assert 'studies.agvm_variants' in cfg.custom_imports.imports


def test_a_variant_must_be_a_method(tmp_path):
    path = with_variant(tmp_path / 'digits.yaml')
    said = path.read_text()
    path.write_text(said.replace(f'- {VARIANT}\n  sgd:', '- x\n  sgd:'))
    with pytest.raises(
            ValueError,
            match=r"variants name 'x', which is none of the methods; there"):
        read_study(path)
