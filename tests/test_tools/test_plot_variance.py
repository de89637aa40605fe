import cv2
import plot_variance
import pytest


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
    assert one.startswith(f'{trained[0].name}: the largest variance of')
    assert other.startswith(f'{work_dir}: the largest variance of')
    assert one.split(': ')[1] == other.split(': ')[1]
    assert wrote == f'wrote {out}'
    image = cv2.imread(str(out))
    height, width, _ = image.shape
    assert min(height, width) > 1200
    halves = image[:, :width // 2], image[:, width // 2:]
    assert all(half.std() > 10 for half in halves)


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
