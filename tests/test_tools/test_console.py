"""Tables fit the terminal; a pipe has no width."""
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
from plan import main as plan
from show_partition import main as show_partition

from tests.commands import ROOT

TOOLS = ROOT / 'tools'
PRINT = ('from command_line.console import new_console; '
         "new_console().print('[neck] :smile: ' + 'word ' * 100)")
LARGEST = ('configs/faster_rcnn/'
           'faster-rcnn_r50_fpn_agvm-adamw_12e_bs1536_coco.py')
CONFIGS = [
    ROOT / LARGEST,
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
]


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if k != 'COLUMNS'}
    return dict(kept, PYTHONPATH=str(TOOLS), TERM='xterm', **more)


@pytest.mark.parametrize(('columns', 'more'), [
    (60, {}),
    (80, {}),
    (200, {}),
    # As some containers and editors say where they know none.
    (60, dict(COLUMNS='0')),
])
def test_a_terminal_is_filled(columns, more):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('4H', 24, columns, 0,
                                                        0))
    subprocess.run([sys.executable, '-c', PRINT], check=True, timeout=60,
                   env=environment(**more), stdin=theirs, stdout=theirs,
                   stderr=theirs)
    os.close(theirs)
    shown = os.read(ours, 10000).decode()
    os.close(ours)
    lines = re.sub(r'\x1b\[[\d;]*m', '', shown).split('\r\n')
    assert lines[0].startswith('[neck] :smile: word')
    assert columns - 5 <= max(map(len, lines)) <= columns


@pytest.mark.parametrize('more', [
    {},
    dict(COLUMNS=''),
    dict(COLUMNS='0'),
    dict(FORCE_COLOR='1'),
])
def test_a_pipe_has_no_width(more):
    shown = subprocess.run([sys.executable, '-c', PRINT], check=True,
                           timeout=60, env=environment(**more),
                           stdout=subprocess.PIPE, text=True).stdout
    assert shown.count('word ') == 100
    assert shown.count('\n') == 1


def test_what_an_encoding_lacks_ends_no_tool():
    shown = subprocess.run(
        [sys.executable, '-c', PRINT.replace('word', '\u2026')],
        check=True,
        timeout=60,
        env=environment(PYTHONIOENCODING='ascii', COLUMNS='40'),
        stdout=subprocess.PIPE,
        text=True).stdout
    assert shown.count('? ') > 50


@pytest.mark.parametrize('config', CONFIGS)
@pytest.mark.parametrize('tool', [plan, show_partition])
def test_nothing_is_lost_at_any_width(tool, config, capsys, monkeypatch):
    arguments = [str(config)]
    if tool is plan:
        arguments += [
            '--gpus', '8', '--cfg-options', 'total_batch_size=512',
            'num_train_images=117266'
        ]
    said = {}
    for columns in ('', '200', '80', '60'):
        monkeypatch.setenv('COLUMNS', columns)
        tool(arguments)
        said[columns] = capsys.readouterr().out
        widest = max(len(line) for line in said[columns].splitlines())
        assert widest <= int(columns or 1000)
    whole = re.findall(r'[\w.:/,%]+', said[''])
    assert len(whole) > 20
    for columns, output in said.items():
        assert '…' not in output
        text = re.sub(r'\s', '', output)
        if tool is plan:  # lines are broken, and nothing else
            assert text == re.sub(r'\s', '', said['']), columns
        for word in whole if columns != '60' else ():
            assert word in text, (columns, word)


def test_every_tool_prints_on_this_console():
    makers = [
        path.name for path in TOOLS.rglob('*.py')
        if re.search(r'\bConsole\(', path.read_text())
    ]
    assert makers == ['console.py']
