import cv2
import plot_variance
import pytest

from tests.test_tools.report_runs import training, write_process


def test_plot(trained, tmp_path):
    out = tmp_path / 'agvm.png'
    plot_variance.main([str(trained[0]), '--out', str(out)])
    image = cv2.imread(str(out))
    assert image.shape[0] > 600
    assert image.shape[1] > 600
    assert image.std() > 10  # not a blank page
    plot_variance.main([str(trained[0])])
    assert (trained[0] / 'agvm.png').is_file()


def test_runs_side_by_side(trained, tmp_path, capsys):
    out = tmp_path / 'both.png'
    work_dir = str(trained[0])
    plot_variance.main([work_dir, work_dir, '--out', str(out)])
    one, other, wrote = capsys.readouterr().out.splitlines()
    assert one.startswith(f'{work_dir}: the largest variance of')
    assert other.startswith(f'{work_dir} again: the largest variance of')
    assert one.split(': ')[1] == other.split(': ')[1]
    assert wrote == f'wrote {out}'
    image = cv2.imread(str(out))
    height, width, _ = image.shape
    assert min(height, width) > 1200
    halves = image[:, :width // 2], image[:, width // 2:]
    assert all(half.std() > 10 for half in halves)


def test_the_legend_has_the_modules_of_all_runs(tmp_path, monkeypatch):
    rows = [{
        key.replace('bbox_head', 'decode_head'): value
        for key, value in row.items()
    } for row in training(1, 10)]
    runs = [
        str(write_process(tmp_path / 'detector', '1', training(1, 10))),
        str(write_process(tmp_path / 'segmentor', '1', rows))
    ]
    told = []
    monkeypatch.setattr('matplotlib.figure.Figure.legend',
                        lambda self, handles, labels, **_: told.extend(labels))
    plot_variance.main([*runs, '--out', str(tmp_path / 'both.png')])
    assert told == ['backbone', 'neck', 'bbox_head', 'decode_head']


def test_a_run_that_could_not_be_measured(tmp_path):
    rows = [{'step': 1, 'loss': float('nan'), 'agvm/skipped': 1}]
    with pytest.raises(SystemExit, match=r'^plot_variance\.py: .* none of'):
        plot_variance.main([str(write_process(tmp_path, '1', rows))])


@pytest.mark.parametrize(('out', 'message'), [
    ('gone/agvm.png', 'gone/agvm.png cannot be written'),
    ('agvm.html', 'must end in .png, or in another of'),
    ('agvm', 'must end in .png, or in another of'),
])
def test_a_picture_that_cannot_be_written(out, message, tmp_path):
    run = str(write_process(tmp_path / 'run', '1', training(1, 10)))
    with pytest.raises(SystemExit, match=rf'^plot_variance\.py: .*{message}'):
        plot_variance.main([run, '--out', str(tmp_path / out)])


def test_the_spread_is_of_the_medians():
    rows = [{
        'update': update,
        'agvm/variance/neck': variance,
        'agvm/lr_scale/neck': 2,
        'agvm/variance/backbone': 0.6,
        'agvm/lr_scale/backbone': 1,
    } for update, variance in enumerate((0.2, 0.3, 100))]
    assert plot_variance.spread(rows) == pytest.approx(0.3 * 2**2 / 0.6)


def test_a_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(
            SystemExit,
            match=r'^plot_variance\.py: .* holds no \*/vis_data/scalars\.json'
    ):
        plot_variance.main([str(tmp_path)])
