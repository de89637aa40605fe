from tests.commands import run


def test_make_digits(tmp_path):
    command = ('python', 'tools/make_digits.py', tmp_path / 'digits',
               '--images', 3, '--val-images', 2, '--size', 32, '--seed', 1)
    assert '3 training, 2 validation and 0 test' in run(*command)
    run(*command)
    output = run('python', 'tools/make_digits.py', tmp_path, status=1)
    assert 'exists and holds no Digits' in output
    assert 'Traceback' not in output
