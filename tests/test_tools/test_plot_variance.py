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


def test_a_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(
            SystemExit,
            match=r'^plot_variance\.py: .* holds no \*/vis_data/scalars\.json'
    ):
        plot_variance.main([str(tmp_path)])
