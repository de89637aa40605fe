"""docs/troubleshooting.md has every message of the code, and no other."""
import re

import pytest

from tests.test_docs.messages import (
    DEVELOPERS,
    ROOT,
    VARIES,
    Reader,
    files,
    pattern,
    shell_messages,
)

PAGE = (ROOT / 'docs/troubleshooting.md').read_text()
# An item of a list that is one span of code, over several lines perhaps.
ENTRIES = [
    ' '.join(entry.split())
    for entry in re.findall(r'^- `([^`]+)`$', PAGE, re.MULTILINE)
]
# Whose sentences are what the tool is asked for, or a page of their own.
TABLES = ('another_batch.py', 'another_schedule.py', 'charts.py',
          'comparisons.py', 'drawing.py', 'facts.py', 'journal.py',
          'judging.py', 'known.py', 'make_digits.py', 'memory.py', 'noise.py',
          'optimizer_rules.py', 'optimizer_table.py', 'out_of_memory.py',
          'page.py', 'plan.py', 'plot_variance.py', 'pretrain_digits.py',
          'report.py', 'rules.py', 'run.py', 'show_partition.py',
          'verdicts.py', 'worth.py')
NO_MESSAGES = (
    # Of torch, as it is searched for.
    r'GLOBAL (\S+) was not an allowed',
    r'agvm/(variance|noise_scale',
    '^(train|val|test)/',
    r'unsupported GLOBAL (\S+) whose',
    r'(getattr\(.*?\)) is asked for',
    'Weights only load failed',
    'Expected more than 1 value per channel',
    # Of MMEngine, likewise.
    'need at least one array',
    # Files of the operating system.
    '/proc/',
    # A script, whose place in the message is kept short on the page.
    'import sys, torch; c = torch.load(',
    'the only one',
    # Told of what went well, or a part of a warning.
    'Auto resumed from',
    'The report of this run is',
    "max_samples_per_gpu='auto': samples_per_gpu=",
    'this total batch asks for no more',
    f'{VARIES} does not',
    'of up to ',
    'of a size not known',
    'The best checkpoint with',
    f'{VARIES} is published to',
    'last_checkpoint (names',
)


def said_in_shell(paths):
    return set().union(*(shell_messages(path.read_text()) for path in paths))


PYTHON = files('.py')
MESSAGES = sorted(
    Reader([path.read_text()
            for path in PYTHON]).messages() | said_in_shell(files('.sh')))

READER = Reader([p.read_text() for p in PYTHON if p.name not in TABLES])
SENTENCES = sorted(s for s in READER.sentences()
                   if not s.startswith(NO_MESSAGES))


def fits(message, entry):
    """Whether what the page has where a message varies is no prose.

    Or it is a sentence of the code's own, as the reasons in a table.
    """
    found = message.fullmatch(entry)
    return found is not None and not any(
        re.search(r'(\b[a-z]+[,.:;]? ){3}[a-z]+\b', varying) and not any(
            pattern(sentence).search(varying) for sentence in SENTENCES)
        for varying in found.groups())


@pytest.fixture(scope='module', name='meant')
def _meant():
    """Each entry's message: of those that fit, the one that says most."""
    patterns = {message: pattern(message) for message in MESSAGES}
    return {
        entry:
        max((m for m in MESSAGES if fits(patterns[m], entry)),
            key=len,
            default=None)
        for entry in ENTRIES
    }


def test_the_page_may_put_no_words_of_its_own_where_a_message_varies():
    message = pattern(f'it is {VARIES}.')
    assert fits(message, 'it is NAME.')
    assert fits(message, 'it is N. Set it, as the page says it.') is False
    assert fits(message, 'it is there was a single gradient replica.')


def test_every_message_is_on_the_page(meant):
    missing = set(MESSAGES) - set(meant.values())
    assert {message.replace(VARIES, '...') for message in missing} == set()


def test_every_entry_is_a_message_of_the_code(meant):
    assert [entry for entry, message in meant.items() if message is None] == []


def test_no_sentence_of_the_code_is_missed():
    """Whichever way it takes to the user, as in a table of reasons."""
    missed = [
        sentence for sentence in SENTENCES if not any(
            pattern(sentence).search(text) for text in (*ENTRIES, *MESSAGES))
    ]
    assert missed == []


def test_no_entry_is_there_twice():
    assert sorted(set(ENTRIES)) == sorted(ENTRIES)
    assert len(ENTRIES) > 150


def test_the_page_names_the_tools_that_it_leaves_out():
    left_out = [name for name in DEVELOPERS if '.' in name]
    assert left_out
    for name in left_out:
        assert f'`{name}`' in PAGE


SOURCE = '''
import sys, warnings

REASON = 'the reason of a constant'

def _tell(what, where=None):
    print_log(f'We {what} at {where!r}.', level=WARNING)

def doubts(cfg):
    found = [f'the first of {cfg} doubts']
    found.append('another doubt of a list')
    return found

def refusal(name):
    if name:
        return f'{name} is refused by a helper'
    return 'nothing is refused by a helper'

def main(cfg, count):
    """Not a message, though of several words."""
    problem = 'a problem in a name'
    if cfg:
        problem = f'a problem of {cfg}'
    try:
        _tell('tell a thing', where=3)
    except KeyError as error:
        raise ValueError(f'{problem}: mend it, {"s" if count else ""}')
    for doubt in doubts(cfg):
        warnings.warn(doubt)
    parser.add_argument('--a-long-flag', help='not a message of a tool')
    parser.error(str(cfg))
    parser.error(REASON)
    sys.exit(f'tool.py: {refusal(cfg)}')
    table = dict(why='a reason in a table')
'''


def test_messages_are_followed_through_names_and_helpers():
    reader = Reader([SOURCE])
    found = {message.replace(VARIES, '...') for message in reader.messages()}
    assert found == {
        'We tell a thing at ....', 'the first of ... doubts',
        'another doubt of a list', '... is refused by a helper',
        'nothing is refused by a helper', 'a problem in a name: mend it, ...',
        'a problem of ...: mend it, ...', 'the reason of a constant'
    }
    missed = reader.sentences() - reader.messages()
    assert missed == {
        'a reason in a table', 'tell a thing', 'a problem in a name',
        f'a problem of {VARIES}'
    }


def test_messages_of_a_shell_script():
    script = """
die() { printf 'error: %s\\n' "$*" >&2; exit 1; }
[[ $x ]] || die "no ${names// / or } in $(cd "$root" && ls *.txt): set X"
echo "usage: $0 CONFIG" >&2
die 'plain $words'
echo "not an error"
"""
    found = {m.replace(VARIES, '...') for m in shell_messages(script)}
    assert found == {
        'no ... in ...: set X', 'usage: ... CONFIG', 'plain $words'
    }
