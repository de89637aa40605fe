import make_digits
import pytest


def test_make_digits(tmp_path, capsys):
    command = [
        f'{tmp_path}/digits', '--images', '3', '--val-images', '2', '--size',
        '32', '--seed', '1'
    ]
    make_digits.main(command)
    assert '3 training, 2 validation and 0 test' in capsys.readouterr().out
    make_digits.main(command)
    with pytest.raises(
            SystemExit,
            match=r'^make_digits\.py: .*exists and holds no Digits'):
        make_digits.main([str(tmp_path)])
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match=r'^make_digits\.py: .*directory'):
        make_digits.main([f'{tmp_path}/file/digits'])
