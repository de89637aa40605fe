"""The report in a browser: it draws, it shows values, it asks for nothing."""
import pytest
import report

from tests.stack import CHROMIUM, browser
from tests.test_tools.report_runs import write_run

pytestmark = browser

DESK = dict(width=1280, height=900)
PHONE = dict(width=390, height=844)


@pytest.fixture(scope='module', name='file')
def _file(tmp_path_factory):
    folder = tmp_path_factory.mktemp('report')
    out = folder / 'report.html'
    runs = [
        str(write_run(folder / name, scale=scale))
        for name, scale in (('without-agvm', 0.0), ('with-agvm', 1.0))
    ]
    report.main([*runs, '--out', str(out)])
    return out


@pytest.fixture(scope='module', name='chromium')
def _chromium():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as driver:
        # Its sandbox does not start for root, as in a container.
        yield driver.chromium.launch(
            executable_path=CHROMIUM, args=['--no-sandbox'])


@pytest.fixture(name='opened')
def _opened(chromium, file):
    """Opens the report; what is amiss with it is told at the end."""
    amiss, asked = [], []
    contexts = []

    def opened(**options):
        contexts.append(chromium.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.on('console', lambda message: amiss.append(message.text))
        page.on('pageerror', lambda error: amiss.append(str(error)))
        page.on('request', lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_function(
            "charts.every(c => c.querySelector('.scatterlayer path'))")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert amiss == []
    # No request left the machine, nor was there another file.
    assert asked == [file.as_uri()] * len(contexts)


def test_every_chart_is_drawn(opened):
    page = opened(viewport=DESK)
    charts = page.locator('.chart')
    assert charts.count() == 15
    for index in range(charts.count()):
        chart = charts.nth(index)
        lines = chart.locator('.scatterlayer .trace path.js-line')
        assert lines.count() >= 1
        assert lines.first.get_attribute('d').startswith('M')
        assert chart.bounding_box()['width'] > 400
    # Side by side, at the same height.
    left, right = (charts.nth(index).bounding_box() for index in (2, 3))
    assert left['y'] == right['y']
    assert left['x'] + left['width'] < right['x']


def test_hovering_shows_values(opened):
    page = opened(viewport=DESK)
    chart = page.locator('.chart').nth(7)  # the factors with AGVM
    chart.scroll_into_view_if_needed()
    box = chart.locator('.nsewdrag').first.bounding_box()
    page.mouse.move(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
    chart.locator('.hoverlayer text').last.wait_for()
    shown = chart.locator('.hoverlayer text').all_text_contents()
    assert shown == [shown[0], 'backbone : 1', 'neck : 1.5', 'bbox_head : 2']


def colour_of(page):
    return page.locator('.chart .xtitle').first.evaluate(
        'title => getComputedStyle(title).fill')


def test_it_follows_the_readers_colours(opened):
    page = opened(viewport=DESK, color_scheme='light')
    assert colour_of(page) == 'rgb(29, 35, 42)'
    page.emulate_media(color_scheme='dark')
    page.wait_for_function(
        "getComputedStyle(document.querySelector('.chart .xtitle')).fill"
        " == 'rgb(228, 232, 236)'")
    assert page.evaluate(
        'getComputedStyle(document.body).backgroundColor') == 'rgb(20, 24, 29)'
    assert colour_of(opened(color_scheme='dark')) == 'rgb(228, 232, 236)'


def test_on_a_phone(opened):
    page = opened(viewport=PHONE, is_mobile=True, has_touch=True)
    # Nothing is wider than the screen but a table, which scrolls by itself.
    assert page.evaluate('document.documentElement.scrollWidth') == 390
    charts = page.locator('.chart')
    above, below = (charts.nth(index).bounding_box() for index in (2, 3))
    assert above['y'] + above['height'] <= below['y']
    for index in range(charts.count()):
        chart = charts.nth(index)
        plot = chart.locator('.nsewdrag').first.bounding_box()
        assert plot['height'] > 180
        assert plot['width'] > 250
        legend = chart.locator('.legend').first.bounding_box()
        assert legend['y'] > plot['y'] + plot['height']
    # No bar of buttons over the chart, and a finger scrolls the page.
    assert page.locator('.modebar-btn').count() == 0
    assert page.evaluate('charts.every(c => c.layout.dragmode === false)')
