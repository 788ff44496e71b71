"""Pages in a real browser: nothing is complained of, filters filter, hovering tells, and a phone can read them."""

import json

import pytest

from fedward.report import load_run, render, write_sweep_as
from tests.report.browser import PROGRAM, Browser
from tests.report.runs import record, write_run
from tests.report.sweeps import LONG, made_up

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium on this machine")

VISIBLE = "[...document.querySelectorAll({!r})].filter((e) => e.offsetParent !== null).length"


@pytest.fixture(scope="module")
def browser():
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    table = {
        "rule": [f"centered-clipping:radius={n}" for n in range(1, 9)] + ["mean", "median"],
        "attack": ["no-attack", "random", "noise", "label-flip", "byz-mean", "sign-flip", "alie", "min-max", "min-sum"],
        "seed": [0, 1],
    }
    write_sweep_as(made_up(table), folder / "table.html")
    axes = {"rule": ["mean", "median"], "attack": ["alie", LONG.format(20)], "byzantine": ["5", "10", "20"]}
    write_sweep_as(made_up(axes), folder / "axes.html")
    runs = [
        write_run(folder / f"{rule}-{n}", [record(1, accuracy=0.3), record(2, accuracy=0.6)], rule=rule, attack=attack)
        for rule in ("mean", "median")
        for n, attack in enumerate(("alie", LONG.format(20), LONG.format(30)))
    ]
    (folder / "runs.html").write_text(render([load_run(run) for run in runs]))
    return folder


def opened(browser, file, width=1280):
    browser.open(file, width)
    browser.run("scrollTo(0, 0)")


@pytest.mark.parametrize("name", ["table", "axes", "runs"])
def test_nothing_is_complained_of_when_all_is_drawn(browser, pages, name):
    opened(browser, pages / f"{name}.html")
    plots = browser.run("document.querySelectorAll('.plot').length")
    browser.run("document.querySelectorAll('section.panel .plot').forEach((e, i) => i < 6 && e.scrollIntoView())")
    browser.until("document.querySelectorAll('.plot[data-drawn] .main-svg').length >= 1")
    assert plots >= 3
    assert browser.errors == []


def test_the_whole_answer_is_within_the_first_screen(browser, pages):
    """Ten rules under nine attacks, at 1280 x 800, without scrolling to any side."""
    opened(browser, pages / "table.html")
    box, inner = browser.run(
        "(() => { const t = document.querySelector('table.answer'), b = t.getBoundingClientRect();"
        " return [[b.left, b.top, b.right, b.bottom], t.parentElement.clientWidth]; })()"
    )
    assert box[3] <= 800, box
    assert box[2] - box[0] <= inner


def test_a_filter_hides_what_is_of_another_value(browser, pages):
    opened(browser, pages / "axes.html")
    rows = VISIBLE.format("table.answer tbody tr")
    cells = VISIBLE.format("details.run")
    assert (browser.run(rows), browser.run(cells)) == (6, 12)
    browser.choose('select[data-key="byzantine"]', "1")
    assert (browser.run(rows), browser.run(cells)) == (2, 4)
    browser.choose('select[data-key="attack"]', "0")
    assert browser.run(VISIBLE.format("table.answer tbody td[data-is]")) == 2
    assert browser.run(cells) == 2
    browser.choose('select[data-key="rule"]', "1")
    assert (browser.run(rows), browser.run(cells)) == (1, 1)
    name = "document.querySelector('table.answer tbody tr:not([hidden]) .rule').firstChild.textContent"
    assert browser.run(name) == "median"
    # The lines of figures, too: two rules with a line each, of which one is seen.
    browser.run("document.querySelector('section.panel:not([hidden]) .plot').scrollIntoView()")
    drawn = "[...document.querySelectorAll('section.panel:not([hidden]) .plot[data-drawn]')].filter((e) => e.data)"
    browser.until(f"{drawn}.length >= 1")
    assert browser.run(f"{drawn}[0].data.map((trace) => trace.visible)") == [False, True]
    for key in ("byzantine", "attack", "rule"):
        browser.choose(f'select[data-key="{key}"]', "")
    assert (browser.run(rows), browser.run(cells)) == (6, 12)
    browser.until(f"{drawn}[0].data.every((trace) => trace.visible)")
    assert browser.errors == []


def test_a_rule_that_is_clicked_in_a_legend_is_gone_until_the_next_click(browser, pages):
    opened(browser, pages / "axes.html")
    browser.run("document.querySelector('section.panel .plot').scrollIntoView()")
    browser.until("document.querySelector('section.panel .plot').data")
    visible = "document.querySelector('section.panel .plot').data.map((trace) => trace.visible !== false)"
    browser.click('button[data-line="rule=0"]')
    assert browser.run(visible) == [False, True]
    browser.click('button[data-line="rule=0"]')
    assert browser.run(visible) == [True, True]


@pytest.mark.parametrize(("name", "told"), [("table", "±"), ("axes", "accuracy"), ("runs", "test loss")])
def test_hovering_over_a_line_tells_its_values(browser, pages, name, told):
    opened(browser, pages / f"{name}.html")
    browser.run("document.querySelector('section.panel .plot').scrollIntoView({block: 'center'})")
    browser.until("document.querySelector('section.panel .plot .main-svg')")
    spot = """(() => {
      const plot = document.querySelector('section.panel .plot'), layout = plot._fullLayout;
      const trace = plot.data.findLast((trace) => trace.hovertemplate), last = trace.x.length - 2;
      const box = plot.querySelector('.main-svg').getBoundingClientRect();
      return [box.x + layout.xaxis._offset + layout.xaxis.d2p(trace.x[last]),
              box.y + layout.yaxis._offset + layout.yaxis.d2p(trace.y[last]), trace.y[last]];
    })()"""
    x, y, value = browser.run(spot)
    browser.hover(x, y)
    browser.until("document.querySelector('section.panel .plot .hovertext')")
    text = browser.run("document.querySelector('section.panel .plot .hovertext').textContent")
    assert told in text
    assert f"{value:.2%}" in text


@pytest.mark.parametrize("name", ["table", "axes", "runs"])
def test_a_phone_scrolls_down_and_never_sideways(browser, pages, name):
    opened(browser, pages / f"{name}.html", width=400)
    browser.until(VISIBLE.format("h2") + " > 0")
    wide = browser.run(
        "[...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll, .plot') && e.offsetParent"
        " && e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '.' + e.className).slice(0, 5)"
    )
    assert wide == []
    browser.until("document.documentElement.scrollWidth <= innerWidth")  # figures follow a moment later
    # The name of a rule stays in sight while its figures are scrolled through.
    sticky = "getComputedStyle(document.querySelector('table.answer .rule') || document.body).position"
    assert browser.run(sticky) == ("static" if name == "runs" else "sticky")
    assert browser.errors == []


def test_another_measure_takes_the_place_of_the_accuracy(browser, pages):
    opened(browser, pages / "axes.html")
    rows = VISIBLE.format("table.answer tbody tr")
    before = browser.run(rows)
    there = VISIBLE.format("[data-measure=best] table, [data-measure=last] table")
    browser.choose("#measure", "last")
    assert browser.run(VISIBLE.format("[data-measure=best] table")) == 0
    assert (browser.run(rows), browser.run(there)) == (before, 1)
    browser.choose('select[data-key="byzantine"]', "1")
    assert browser.run(rows) == before // 3
    browser.choose("#measure", "best")
    assert browser.run(VISIBLE.format("[data-measure=last] table")) == 0
    assert browser.errors == []


def test_a_cell_of_the_answer_leads_to_its_runs(browser, pages):
    opened(browser, pages / "axes.html")
    browser.click("table.answer tbody tr:nth-child(3) td[data-is] a")
    browser.until("document.querySelectorAll('details.run[open]').length === 1")
    name = browser.run("document.querySelector('details.run[open] .name').textContent")
    told = json.loads(
        browser.run("JSON.stringify(document.querySelector('details.run[open] pre.command').textContent)")
    )
    assert name.startswith("mean under alie, byzantine 10")
    assert told.startswith("fedward run")
    assert "--rule mean" in told
