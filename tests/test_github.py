"""The files of .github/, which only a git host reads."""
import os
import re

import pytest
import yaml

from tests.commands import ROOT, call

GITHUB = ROOT / '.github'
FORMS = sorted(GITHUB.glob('ISSUE_TEMPLATE/[!c]*.yml'))
# What GitHub takes in a form, and what each part must say.
NEEDED = dict(
    markdown='value', textarea='label', input='label', checkboxes='label')


def read(path):
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize('path', FORMS, ids=lambda path: path.stem)
def test_a_form(path):
    form = read(path)
    assert set(form) == {'name', 'description', 'labels', 'body'}
    for part in form['body']:
        assert set(part) <= {'type', 'id', 'attributes', 'validations'}
        assert part['attributes'][NEEDED[part['type']]]
    ids = [part['id'] for part in form['body'] if part['type'] != 'markdown']
    assert len(set(ids)) == len(ids)
    # A form that asks for nothing is refused there.
    assert ids


def test_there_is_a_form_for_each_kind():
    assert [path.stem for path in FORMS] == ['bug', 'feature', 'question']
    assert read(GITHUB / 'ISSUE_TEMPLATE/config.yml')


def test_what_a_bug_is_asked_for_can_be_told():
    fields = {part.get('id'): part for part in read(FORMS[0])['body']}
    asked = fields['versions']['attributes']['description']
    environment, packages = re.findall(r'^`(.+)`$', asked, re.M)
    seen = call('bash', '-c', environment, timeout=120)
    assert re.search(r"\('PyTorch', '\d", seen)
    assert re.search(r"\('MMEngine', '\d", seen)
    seen = call('bash', '-c', packages, timeout=120)
    assert re.search(r'^torch +\d', seen, re.M)


def test_the_workflow_runs_what_ci_runs():
    workflow = read(GITHUB / 'workflows/ci.yml')
    job = workflow['jobs']['tests']
    assert job['timeout-minutes'] == 90
    assert all('uses' in s or 'run' in s for s in job['steps'])
    command, = (s['run'] for s in job['steps'] if 'run' in s)
    assert command == '.ci/run'
    assert os.access(ROOT / command, os.X_OK)
    cache, = (s['with'] for s in job['steps'] if 'cache' in s.get('uses', ''))
    kept = '${XDG_CACHE_HOME:-$HOME/.cache}/agvm_mm'
    assert kept in (ROOT / 'tools/setup.sh').read_text()
    assert cache['path'] == '~/.cache/agvm_mm'
    for file in re.findall("'(tools/[^']+)'", cache['key']):
        assert (ROOT / file).is_file()


def test_the_citation():
    citation = read(GITHUB / 'CITATION.cff')
    assert citation['cff-version'] == '1.2.0'
    assert citation['preferred-citation']['url'].endswith('2210.11078')


def test_what_contributing_runs_is_there():
    page = (GITHUB / 'CONTRIBUTING.md').read_text()
    commands = '\n'.join(re.findall(r'```bash\n(.*?)```', page, re.S))
    files = re.findall(r'(?:tools|tests|configs)/\S+', commands)
    assert len(files) > 8
    assert [file for file in files if not (ROOT / file).exists()] == []
