"""The page about a sweep, and what of it can be put into a paper."""

import re
import shlex
from html import unescape

import pytest
from typer.testing import CliRunner

from fedward import published
from fedward.cli.app import app
from fedward.experiments.spec import make_spec
from fedward.report.sweep_axes import axes_of
from fedward.report.sweep_cells import command
from fedward.report.sweep_measures import BEST
from fedward.report.sweep_page import render_sweep
from fedward.report.sweep_table import as_written, grids
from tests.report.sweeps import LONG, made_up

RULES = ["mean", "median", "multi-krum"]


def text_of(html):
    return unescape(re.sub(r"<[^>]*>", "", html.replace("<wbr>", "")))


def table_of(page):
    """The cells of the first table of the answer, row by row, as a reader sees them."""
    answer = re.search(r'<table class="heat answer">.*?</table>', page, re.S).group()
    answer = re.sub('<small class="narrow">.*?</small>', "", answer)  # the columns of settings, on a phone
    rows = re.findall(r"<tr.*?>(.*?)</tr>", answer, re.S)
    return [[text_of(cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.S)] for row in rows]


# --- the answer -----------------------------------------------------------------------------------------------


def two_by_three(cell):
    by_attack = {"no-attack": 0.9, "alie": 0.5, "min-max": 0.7}
    seeds = {0: 0.0, 1: 0.02}
    worse = {"mean": 0.1, "median": 0.0}
    settings = cell.settings
    return by_attack[settings["attack"]] - worse[settings["rule"]] + seeds[settings["seed"]]


def test_the_answer_has_means_over_seeds_and_the_worst_attack():
    table = {"rule": ["mean", "median"], "attack": ["alie", "no-attack", "min-max"], "seed": [0, 1]}
    rows = table_of(render_sweep(made_up(table, two_by_three)))
    assert rows[0] == ["Rule", "no-attack", "alie", "min-max", "worst", "mean"]
    # standard deviation of two seeds 2 points apart, with n - 1: sqrt(2)
    assert rows[1] == ["mean", "81.00 ±1.41", "41.00 ±1.41", "61.00 ±1.41", "41.00alie", "51.00"]
    assert rows[2] == ["median", "91.00 ±1.41", "51.00 ±1.41", "71.00 ±1.41", "51.00alie", "61.00"]


def test_no_attack_is_none_however_it_is_spelled():
    level = lambda cell: {"alie": 0.5, "min-max": 0.7}.get(cell.settings["attack"], 0.9)  # noqa: E731
    pages = [
        table_of(render_sweep(made_up({"rule": ["mean", "median"], "attack": ["alie", text, "min-max"]}, level)))
        for text in ("no-attack", "noattack", "NoAttack", "fedward.attacks.NoAttack")
    ]
    assert pages[0][1] == ["mean", "90.00", "50.00", "70.00", "50.00alie", "60.00"]
    assert all(page == pages[0] for page in pages)


def test_what_failed_is_told_and_counts_for_nothing():
    table = {"rule": ["mean", "median"], "attack": ["alie", "min-max"], "seed": [0, 1]}
    level = lambda cell: None if (cell.settings["rule"], cell.settings["attack"]) == ("mean", "alie") else 0.5  # noqa: E731
    data = made_up(table, level, left_out=("median under alie, seed 1",))
    page = render_sweep(data)
    rows = table_of(page)
    assert rows[1] == ["mean", "failed", "50.00 ±0.00", "≤ 50.00min-max1 missing", "\u20131 missing"]
    assert rows[2][1] == "50.001 of 2 seeds"
    assert "8 cells" not in page
    assert "Seed 1 failed: its data are not there; fetch them" in text_of(page)


def test_the_best_of_a_column_is_bold_among_rules_of_the_same_setting():
    table = {"rule": ["mean", "median"], "attack": ["alie", "min-max"], "byzantine": ["5", "10"]}
    level = lambda cell: 0.3 + 0.1 * (cell.settings["rule"] == "mean") + 0.2 * (cell.settings["byzantine"] == "5")  # noqa: E731
    [grid] = grids(made_up(table, level))
    best = [(line.rule, line.settings["byzantine"]) for line in grid.lines if BEST.is_best(line.places["alie"], grid)]
    assert best == [("mean", "5"), ("mean", "10")]


def test_published_numbers_stand_beside_ours_with_the_difference():
    sweep = published.read("signguard-table1", only=["group=fashion-mnist", "rule=mean", "rule=sign-guard"], seeds=1)
    numbers = published.look_up("signguard-table1")

    def level(cell):
        [number] = numbers.numbers_of(cell)
        off = {("sign-guard", "alie"): -2.0, ("sign-guard", "min-max"): 1.5}
        return (number.value + off.get((cell.settings["rule"], cell.settings["attack"]), 0.0)) / 100

    page = render_sweep(made_up({}, level, published=sweep))
    cells = re.findall(r'<small class="beside (\w+)".*?>(.*?)</small>', page)
    assert len(cells) == 18
    assert [cell for cell in cells if cell[0] == "other"] == [("other", "89.34 &minus;2.00")]
    assert ("same", "89.48 +1.50") in cells
    assert "17 of 18 published numbers reproduced" in text_of(page)
    assert "Xu, Huang, Song & Lan" in text_of(page)


def test_a_short_profile_is_held_against_what_the_paper_loses():
    only = ["group=fashion-mnist", "rule=mean", "rule=sign-guard"]
    sweep = published.read("signguard-table1", profile="short", only=only, seeds=1)
    numbers = published.look_up("signguard-table1")

    def level(cell):
        [number] = numbers.numbers_of(cell)
        off = {("sign-guard", "alie"): -5.5, ("sign-guard", "min-max"): -4.5}
        return (number.value - 10 + off.get((cell.settings["rule"], cell.settings["attack"]), 0.0)) / 100

    page = render_sweep(made_up({}, level, published=sweep))
    cells = re.findall(r'<small class="beside (\w+)".*?>(.*?)</small>', page)
    assert [cell for cell in cells if cell[0] == "other"] == [("other", "89.34 &minus;15.50")]
    assert ("same", "89.48 &minus;14.50") in cells
    assert "17 of 18 published numbers reproduced in small" in text_of(page)
    # Without a run of the mean without attack there is nothing to lose from.
    alone = published.read(
        "signguard-table1", profile="short", only=["group=fashion-mnist", "rule=sign-guard"], seeds=1
    )
    page = render_sweep(made_up({}, level, published=alone))
    assert "published numbers reproduced" not in page
    assert page.count('<small class="beside" ') == 9


def test_another_profile_than_the_papers_is_said():
    sweep = published.read("signguard-table1", profile="short", only=["group=fashion-mnist", "rule=mean"])
    assert "not those of the paper" in render_sweep(made_up({}, lambda cell: 0.9, published=sweep))


# --- names and settings ---------------------------------------------------------------------------------------


def test_settings_that_differ_are_columns_and_names_are_whole():
    table = {
        "rule": RULES,
        "attack": [LONG.format(20), LONG.format(30)],
        "byzantine": ["5", "10"],
        "partition": ["iid", "s-fraction:s=0.3"],
        "cell": [{"match": {"rule": "median"}, "lr": 0.05}],
    }
    page = render_sweep(made_up(table))
    rows = table_of(page)
    assert rows[0][:6] == ["Rule", "byzantine", "lr", "partition", LONG.format(20), LONG.format(30)]
    assert ["multi-krum", "10", "0.1", "s-fraction:s=0.3"] in [row[:4] for row in rows]
    assert ["median", "5", "0.05", "iid"] in [row[:4] for row in rows]
    titles = [text_of(title) for title in re.findall(r'<section class="panel".*?><h3>(.*?)</h3>', page)]
    assert sum(title.startswith(LONG.format(20)) for title in titles) >= 4
    assert "…" not in text_of(page)


def test_an_f_that_repeats_the_number_of_byzantine_clients_is_no_name():
    data = made_up({"rule": RULES, "attack": "alie"})
    bare = data.__class__(title="", rows=data.rows)
    assert [as_written(bare, row, "rule") for row in bare.rows] == RULES

    def told(rule, byzantine=10):
        row = data.rows[0].__class__(
            cell="", key="", group="", status="done", config={"rule": rule, "byzantine": byzantine}
        )
        return as_written(bare, row, "rule")

    assert told("krum:f=100") == "krum:f=100"
    assert told("multi-krum:f=10,m=4") == "multi-krum:m=4"
    assert told("multi-krum:m=4,f=10") == "multi-krum:m=4"
    assert told("class-wise:base=(krum:f=10)") == "class-wise:base=(krum)"
    assert told("nnm:f=10 >> median") == "nnm >> median"
    assert told("krum:f=5") == "krum:f=5"


def test_groups_and_data_sets_are_grids_of_their_own():
    table = {"rule": RULES, "attack": ["alie", "zero"], "runs": [{"group": "a"}, {"group": "b", "rounds": 20}]}
    assert [grid.title for grid in grids(made_up(table))] == ["a", "b"]
    data = {"rule": RULES, "attack": "alie", "data": ["fashion-mnist", "fashion-mnist-subset"]}
    assert [grid.title for grid in grids(made_up(data))] == ["fashion-mnist", "fashion-mnist-subset"]


def test_the_page_takes_no_text_for_markup():
    data = made_up({"rule": RULES, "attack": ["alie", "zero"]})
    evil = "<script>alert(1)</script>\"'&"
    rows = [
        row.__class__(
            **{**vars(row), "config": {**row.config, "attack": evil, "rule": evil, "lr": evil}, "error": evil}
        )
        for row in data.rows[:1]
    ]
    page = render_sweep(data.__class__(title=evil, rows=(*rows, *data.rows[1:]), notes=(evil,)))
    assert evil not in page
    assert "<script>alert" not in page


# --- axes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "key", "xs"),
    [
        ({"byzantine": ["5", "10", "20"], "rule": ["mean", "median"]}, "byzantine", [0.1, 0.2, 0.4]),
        ({"byzantine": [[3], [3, 4]], "rule": ["mean", "median"]}, "byzantine", [0.02, 0.04]),
        ({"partition": ["s-fraction:s=0.3", "s-fraction:s=0.8"]}, "partition.s", [0.3, 0.8]),
        ({"participation": [0.5, 1.0], "rule": ["mean", "median"]}, "participation", [0.5, 1.0]),
        ({"rule": ["multi-krum:f=5", "multi-krum", "multi-krum:f=20"]}, "rule.f", [5, 10, 20]),
        (
            {
                "rule": ["multi-krum", "median"],
                "f": ["half", "expected", "twice", "unknown"],
                "exclude": [{"rule": "multi-krum", "f": "unknown"}],
            },
            "f",
            [0.5, 1, 2],
        ),
        (
            {"clients": [20, 40], "byzantine": ["2", "8"], "zip": [["clients", "byzantine"]], "rule": ["mean"]},
            "byzantine",
            [0.1, 0.2],
        ),
    ],
)
def test_an_axis_of_numbers_is_found_and_drawn(table, key, xs):
    [grid] = grids(made_up({"attack": "alie", **table}))
    axis = next(axis for axis in axes_of(grid) if axis.key == key)
    [others] = axis.settings
    for _, points in axis.series("alie", others):
        assert [x for x, _ in points] == pytest.approx(xs)
    assert len(list(axis.series("alie", others))) == len({step.name for step in axis.steps})


def test_lines_of_an_axis_are_apart_where_other_settings_differ():
    table = {"rule": "mean", "attack": "alie", "byzantine": ["5", "10"], "partition": ["iid", "s-fraction:s=0.3"]}
    [grid] = grids(made_up(table))
    assert [axis.key for axis in axes_of(grid)] == ["byzantine"]  # iid is on no axis of s, and one s is none
    [axis] = axes_of(grid)
    assert len(axis.settings) == 2


# --- cells ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"byzantine": [3], "root_apart": True, "rule": "fltrust", "seed": 3},
        {"rule": "bucketing:s=2 >> multi-krum", "attack": LONG.format(20), "data_path": "/some where/it's"},
        {"f": "unknown", "rule": "sign-guard", "partition": "s-fraction:s=0.3", "participation": 0.5, "lr": 0.01},
        {"server": "fed-adam:lr=0.01", "algorithm": "local-sgd:epochs=2", "byzantine": [3, 4]},
    ],
)
def test_the_command_of_a_cell_is_the_cell(table, monkeypatch):
    spec = make_spec({"data": "fashion-mnist-subset", **table})
    given = {}
    monkeypatch.setattr("fedward.cli.commands.run", lambda options, **_: given.update(options))
    words = shlex.split(command(spec.resolved()))
    assert words[:2] == ["fedward", "run"]
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, done.output
    named = {key: value for key, value in given.items() if key in type(spec).model_fields and value is not None}
    # Of what may be repeated each is there once.
    one = {key: value[0] if isinstance(value, list) else value for key, value in named.items()}
    assert make_spec(one).resolved() == spec.resolved()
