import cv2

from tests.commands import run


def test_plot(trained, tmp_path):
    out = tmp_path / 'agvm.png'
    run('python', 'tools/plot_variance.py', trained[0], '--out', out)
    image = cv2.imread(str(out))
    assert image.shape[0] > 600
    assert image.shape[1] > 600
    assert image.std() > 10  # not a blank page
    run('python', 'tools/plot_variance.py', trained[0])
    assert (trained[0] / 'agvm.png').is_file()
    output = run('python', 'tools/plot_variance.py', tmp_path, status=1)
    assert 'holds no */vis_data/scalars.json' in output
    assert 'Traceback' not in output
