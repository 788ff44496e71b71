"""The HTML report: what it reads, what it refuses, and what ends up on the page."""

import math
import re

import pytest

from fedward.report import load_run, render, write_report
from fedward.report.curves import Curve, line_style
from fedward.report.grid import best_by_cell, is_grid, place
from fedward.report.sweep_reading import row_of
from tests.report.runs import Page, page_of, record, write_run

# ------------------------------------------------------------------------------------------------ the page


def test_the_page_is_one_file_that_loads_nothing(tmp_path):
    from plotly.offline import get_plotlyjs

    folders = [write_run(tmp_path / "secret-place" / name) for name in ("a", "b")]
    out = write_report(folders, tmp_path / "report.html", title="Trial")
    assert out == tmp_path / "report.html"
    page = out.read_text(encoding="utf-8")
    assert page.count(get_plotlyjs()) == 1
    assert page.count("* plotly.js v") == 1
    parsed = Page(page)
    for tag, attributes in parsed.tags:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        for key in ("src", "srcset", "href", "data", "action"):
            assert attributes.get(key, "#").startswith("#"), (tag, attributes)
    policies = [a["content"] for t, a in parsed.tags if t == "meta" and "http-equiv" in a]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]
    styles = re.findall(r"<style>(.*?)</style>", page.split("* plotly.js v")[0], re.S)
    assert styles
    assert not any("url(" in style or "@import" in style for style in styles)
    # plotly.js offers to upload a chart to its makers' server unless told not to
    assert 'showSendToCloud: false, plotlyServerURL: ""' in page
    assert str(tmp_path) not in page
    assert "secret-place" not in page


def test_every_figure_is_valid_and_every_link_leads_somewhere(tmp_path):
    from plotly.graph_objects import Figure

    runs = [
        write_run(tmp_path / f"{rule}-{attack}", rule=rule, attack=attack)
        for rule in ("krum", "mean")
        for attack in ("a", "b", "c", "d")
    ]
    parsed = Page(page_of(*runs))
    assert len(parsed.figures) == 4 + 3 * 8
    for name, figure in parsed.figures.items():
        assert ("div", name) in [(tag, attributes.get("id")) for tag, attributes in parsed.tags]
        Figure(data=figure["data"], layout=figure["layout"])  # raises for a property plotly does not know
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in parsed.tags if tag == "a"]
    assert len(links) == 8
    assert {link[1:] for link in links} <= set(ids)


def test_the_summary_holds_the_numbers(tmp_path):
    entries = [
        record(1, accuracy=0.5, honest_accepted=0.5, byzantine_accepted=1.0),
        record(2, accuracy=0.8125, byzantine_accepted=None, seconds={"gradients": 0.3}),
        record(3, accuracy=0.7071, byzantine_accepted=0.5, seconds={}),
    ]
    page = page_of(write_run(tmp_path / "first", entries, rounds=10))
    row = re.search(r'<tr><td><a href="#run-1">first</a>.*?</tr>', page).group()
    cells = [re.sub("<.*?>", " ", cell).split() for cell in re.findall(r"<td.*?>(.*?)</td>", row)]
    assert cells[1:3] == [["krum:f=1"], ["alie:z=0.3"]]
    assert cells[3:5] == [["81.25%", "round", "2"], ["70.71%"]]
    assert cells[5:] == [["83.3%"], ["75.0%"], ["3", "of", "10"], ["0.21"]]
    text = Page(page).text
    assert "far (honest 0, byzantine 3)" in text
    assert "fashion-mnist" in text
    assert re.search(r"gradients\s*133\s*0\.4", text)


HOSTILE = "<script>alert('x')</script>\"&%{y}</style>"


def test_strings_of_a_run_never_become_markup(tmp_path):
    folder = write_run(
        tmp_path / "a",
        [record(1, accuracy=0.5, reasons={"0": HOSTILE}, seconds={HOSTILE: 1.0})],
        head={"name": HOSTILE, "versions": {HOSTILE: HOSTILE}},
        rule=HOSTILE,
        attack=HOSTILE,
        data=HOSTILE,
        **{HOSTILE: [HOSTILE]},
    )
    tame = Page(page_of(write_run(tmp_path / "b", [record(1, accuracy=0.5, seconds={"s": 1.0})], x=["y"])))
    page = page_of(folder, title=HOSTILE)
    parsed = Page(page)
    assert HOSTILE not in page
    # a short rule or attack comes in a span that keeps it on one line, a long one may be broken
    kept = ("span", "wbr")
    assert [tag for tag, _ in parsed.tags if tag not in kept] == [tag for tag, _ in tame.tags if tag not in kept]
    assert parsed.text.count(HOSTILE) >= 10
    curve = parsed.figures["accuracy-1"]["data"][0]
    assert "<script" not in curve["name"] + curve["hovertemplate"]
    assert curve["hovertemplate"].count("%{y") == 1
    assert "<" not in "".join(parsed.figures["run-1-clients"]["cells"]["reasons"])


ABSENT = record(1, "----", reasons={}, honest_accepted=None, byzantine_accepted=None, signs=None, seconds={})


@pytest.mark.parametrize(
    ("records", "head", "config", "said"),
    [
        ([record(1), record(2)], {}, {}, "No run was evaluated"),
        (
            [record(1, accuracy=0.5, byzantine_accepted=None)],
            {"byzantine_ids": []},
            {"attack": None},
            "no attack",
        ),
        (
            [record(1, signs={"honest": [1, 0, 0], "byzantine": None})],
            {"byzantine_ids": []},
            {},
            "none byzantine",
        ),
        ([record(1, signs=None)], {}, {}, "No sign shares"),
        ([ABSENT], {}, {}, "No accepted rates"),
        ([record(1)], {"byzantine_ids": [0, 1, 2, 3]}, {}, "4 byzantine"),
        (
            [record(1, train_loss=math.nan, loss=math.inf, accuracy=0.1)],
            {},
            {},
            "loss is not finite in round 1.",
        ),
        ([{"round": 7, "accepted": "1"}], {"config": {}}, {}, "unknown rule"),
    ],
)
def test_a_run_with_something_missing_still_renders(tmp_path, records, head, config, said):
    parsed = Page(page_of(write_run(tmp_path / "a", records, head, **config)))
    assert said in parsed.text
    assert "run-1-clients" in parsed.figures


def test_a_run_that_was_never_evaluated_is_named_beside_the_others(tmp_path):
    parsed = Page(page_of(write_run(tmp_path / "a"), write_run(tmp_path / "silent", [record(1)])))
    assert "Never evaluated, so not shown: silent." in parsed.text
    assert len(parsed.figures["accuracy-1"]["data"]) == 1


# ------------------------------------------------------------------------------------------------ the grid


def placed(tmp_path, *configs):
    return place([load_run(write_run(tmp_path / f"run{i}", **config)) for i, config in enumerate(configs)])


def test_a_grid_needs_several_rules_and_several_attacks(tmp_path):
    runs = placed(tmp_path, *({"rule": r, "attack": a} for r in ("mean", "krum") for a in (None, "zero")))
    assert is_grid(runs)
    assert not is_grid(runs[:2])  # one rule
    assert not is_grid(runs[::2])  # one attack
    assert [entry.column for entry in runs[:2]] == ["no attack", "zero"]
    title = "Best accuracy by rule and attack"
    assert title in render([entry.run for entry in runs])
    assert title not in render([entry.run for entry in runs[:2]])


def test_seeds_share_a_cell_and_other_settings_do_not(tmp_path):
    seeds = placed(tmp_path / "s", {"seed": 0}, {"seed": 1}, {"seed": 1, "rule": "mean"})
    assert [entry.row for entry in seeds] == ["krum:f=1", "krum:f=1", "mean"]
    assert best_by_cell(seeds) == {("krum:f=1", "alie:z=0.3"): [0.5, 0.5], ("mean", "alie:z=0.3"): [0.5]}
    rates = placed(tmp_path / "r", {"lr": 0.1}, {"lr": 0.2})
    assert [entry.row for entry in rates] == ["krum:f=1 · lr 0.1", "krum:f=1 · lr 0.2"]
    tasks = placed(tmp_path / "t", {"data": "mnist"}, {"data": "cifar10"})
    assert [entry.column for entry in tasks] == ["alie:z=0.3 · mnist", "alie:z=0.3 · cifar10"]
    # a run without attack that has no byzantine clients does not split the rule into two rows
    clean = placed(tmp_path / "c", {"attack": None, "byzantine": 0}, {"byzantine": 10})
    assert [entry.row for entry in clean] == ["krum:f=1", "krum:f=1"]


def test_the_heat_table_shows_means_ranges_and_gaps(tmp_path):
    runs = [
        load_run(write_run(tmp_path / name, [record(1, accuracy=accuracy)], rule=rule, attack=attack, seed=seed))
        for name, rule, attack, seed, accuracy in (
            ("a", "krum", "x", 0, 0.6),
            ("b", "krum", "x", 1, 0.8),
            ("c", "mean", "x", 0, 0.75),
            ("d", "mean", "y", 0, 0.1),
        )
    ]
    table = re.search(r'<table class="heat">.*?</table>', render(runs), re.S).group()
    cells = re.findall(r"<td.*?</td>", table)
    assert [re.sub("<.*?>", " ", cell).split()[0] for cell in cells] == [
        "70.00%",
        "&ndash;",
        "75.00%",
        "10.00%",
    ]
    assert "2 runs, 60.0% to 80.0%" in cells[0]
    assert [('class="best"' in cell) for cell in cells] == [False, False, True, True]


def test_a_run_that_is_not_finished_crowns_no_rule(tmp_path):
    """Its best is that of what there is."""

    def table_and_caption():
        runs = [
            load_run(
                write_run(
                    tmp_path / name,
                    [record(number, accuracy=accuracy) for number in range(1, done + 1)],
                    rule=rule,
                    attack=attack,
                    seed=seed,
                    rounds=4,
                )
            )
            for name, rule, attack, seed, done, accuracy in (
                ("a", "mean", "x", 0, 4, 0.6),
                ("b", "median", "x", 0, 1, 0.9),
                ("c", "mean", "y", 0, 4, 0.5),
                ("d", "mean", "y", 1, 3, 0.8),
                ("e", "median", "y", 0, 4, 0.4),
            )
        ]
        return re.search(
            r'<table class="heat">(.*?)</table>.*?<p class="caption">(.*?)</p>', render(runs), re.S
        ).groups()

    table, caption = table_and_caption()
    cells = re.findall(r"<td(.*?)</td>", table)
    assert [" ".join(re.sub("^.*?>|<.*?>", " ", cell).split()) for cell in cells] == [
        "60.00%",
        "50.00% 1 run not finished",
        "not finished",
        "40.00%",
    ]
    assert ['class="best"' in cell for cell in cells] == [True, True, False, False]
    assert "Runs that are not finished are not counted." in caption
    rows = [row_of(run, "it") for run in map(load_run, (tmp_path / "a", tmp_path / "b"))]
    assert [row.status for row in rows] == ["done", "running"]


def test_a_grid_without_a_finished_run_has_no_best(tmp_path):
    runs = placed(tmp_path, *({"rule": r, "attack": a, "rounds": 9} for r in ("mean", "krum") for a in ("x", "y")))
    page = render([entry.run for entry in runs])
    assert "Best accuracy by rule and attack" not in page
    assert page.count("2 of 9") >= 4


def test_equal_names_are_told_apart(tmp_path):
    folders = [tmp_path / "x" / "one", tmp_path / "x" / "two", tmp_path / "y" / "two"]
    runs = [load_run(write_run(folder, head={"name": "same"})) for folder in folders]
    assert [entry.label for entry in place(runs)] == ["same (one)", "same (two) #1", "same (two) #2"]


def test_panels_are_attacks_and_colours_are_rules(tmp_path):
    runs = placed(tmp_path, *({"rule": r, "attack": a} for r in ("mean", "krum") for a in ("x", "y", "z")))
    page = Page(render([entry.run for entry in runs]))
    panels = [page.figures[f"accuracy-{number}"] for number in (1, 2, 3)]
    assert [[curve["name"] for curve in panel["data"]] for panel in panels] == [["mean", "krum"]] * 3
    for number, rule in enumerate(("mean", "krum")):
        styles = [(panel["data"][number]["line"]["color"], panel["data"][number]["line"]["dash"]) for panel in panels]
        assert set(styles) == {tuple(line_style(number).values())}, rule
    assert len({line_style(number)["color"] + line_style(number)["dash"] for number in range(28)}) == 28
    assert len({(*panel["layout"]["yaxis"]["range"], *panel["layout"]["xaxis"]["range"]) for panel in panels}) == 1


def test_titles_of_panels_are_whole_however_long(tmp_path):
    long = "random-schedule:attacks=(no-attack | random | noise | alie | min-max),every={}"
    runs = placed(tmp_path, *({"rule": r, "attack": long.format(n)} for r in ("mean", "krum") for n in (20, 30)))
    page = render([entry.run for entry in runs])
    titles = [re.sub("<.*?>", "", title) for title in re.findall('<section class="panel"><h3>(.*?)</h3>', page)]
    assert titles == [long.format(20), long.format(30)]


def test_seeds_are_one_line_with_a_band(tmp_path):
    runs = []
    for seed, accuracies in enumerate(((0.5, 0.6), (0.7, 0.6))):
        entries = [record(number, accuracy=value) for number, value in enumerate(accuracies, 1)]
        runs.append(load_run(write_run(tmp_path / str(seed), entries, seed=seed)))
    band, line = Page(render(runs)).figures["accuracy-1"]["data"]
    assert line["y"] == [0.6, 0.6]
    assert line["customdata"][0][0] == " ± 14.14%, 2 runs"  # sqrt(0.1^2 + 0.1^2), n - 1 = 1
    assert band["x"] == [1, 2, 2, 1]
    assert band["y"] == [0.7414, 0.6, 0.6, 0.4586]
    assert band["meta"] == line["meta"]
    points = Curve(name="", label="", runs=(runs[0].records, runs[1].records[:1])).points
    assert [(point.mean, point.spread is None) for point in points] == [(0.6, False), (0.6, True)]
