"""The page about a sweep, and what of it can be put into a paper."""

import csv
import io
import json
import re
import shlex
import tomllib
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward import catalogue, published
from fedward.cli.app import app
from fedward.experiments.spec import make_spec
from fedward.report import ReportError, bibliography, read_sweep_runs, write_sweep_as
from fedward.report.sweep_axes import axes_of
from fedward.report.sweep_cells import command
from fedward.report.sweep_exports import in_latex, latex, markdown
from fedward.report.sweep_page import render_sweep
from fedward.report.sweep_table import as_written, grids
from fedward.sweeps import read_sweep
from fedward.sweeps.choices import Choice
from tests.report.sweeps import LONG, made_up
from tests.report.test_report import write_run

RULES = ["mean", "median", "multi-krum"]
ROOT = Path(__file__).parents[2]


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
    best = [(line.rule, line.settings["byzantine"]) for line in grid.lines if grid.is_best(line.places["alie"])]
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


# --- for a paper ----------------------------------------------------------------------------------------------


TABLE = {"rule": ["mean", "median"], "attack": ["alie", "no-attack", "min-max"], "seed": [0, 1]}


def test_markdown_and_latex_have_the_same_numbers():
    data = made_up(TABLE, two_by_three)
    lines = [line.strip("| ").split(" | ") for line in markdown(data).splitlines() if line.startswith("|")]
    assert lines[0] == ["rule", "no-attack", "ALIE", "MinMax", "worst"]
    assert lines[3] == ["Median", "**91.00 ± 1.41**", "**51.00 ± 1.41**", "**71.00 ± 1.41**", "51.00"]
    text = latex(data)
    assert r"Median & \textbf{91.00 $\pm$ 1.41} & \textbf{51.00 $\pm$ 1.41}" in text
    assert r"\begin{tabular}{lrrrr}" in text
    assert [text.count(f"\\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
    assert "over 2 seeds" in text


def test_signs_mean_nothing_to_latex():
    assert in_latex("a_b & 50% {#}") == r"a\_b \& 50\% \{\#\}"
    assert in_latex("\\ ~ ^") == r"\textbackslash{} \textasciitilde{} \textasciicircum{}"
    assert in_latex("$|<>") == r"\$\textbar{}\textless{}\textgreater{}"


@pytest.mark.parametrize("ending", ["html", "csv", "md", "tex", "bib", "svg", "pdf"])
def test_the_ending_of_the_file_is_the_format(tmp_path, ending):
    data = made_up(TABLE, two_by_three)
    file = write_sweep_as(data, tmp_path / "new" / f"it.{ending}")
    content = file.read_bytes()
    begins = {"html": b"<!DOCTYPE", "csv": b"cell,", "md": b"# A sweep", "tex": b"% ", "bib": b"% alie\n@"}
    assert content.startswith({**begins, "svg": b"<?xml", "pdf": b"%PDF"}[ending])
    assert write_sweep_as(data, tmp_path / f"again.{ending}").read_bytes() == content
    if ending == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert [float(row["best"]) for row in rows] == [row.best for row in data.rows]


def test_other_endings_and_figures_are_refused_with_what_there_is(tmp_path):
    data = made_up({"rule": "mean", "attack": "alie", "byzantine": ["5", "10"]})
    with pytest.raises(ReportError, match=r"no format ends in \.docx; files end in \.html, \.csv"):
        write_sweep_as(data, tmp_path / "it.docx")
    with pytest.raises(ReportError, match="byzantine, curves"):
        write_sweep_as(data, tmp_path / "it.svg", "bizantine-share")
    with pytest.raises(ReportError, match=r"is no figure; name a file that ends in \.svg or \.pdf"):
        write_sweep_as(data, tmp_path / "it.tex", "curves")
    empty = made_up({"rule": "mean", "attack": "alie"}, lambda cell: None)
    with pytest.raises(ReportError, match="nothing to draw yet"):
        write_sweep_as(empty, tmp_path / "it.svg")


def test_a_bibliography_has_every_paper_once_and_nothing_that_nobody_knows():
    rules = ["mean", "bucketing:s=2 >> multi-krum", "sign-guard", "centered-clipping:radius=10", "clip-mean"]
    data = made_up({"rule": rules, "attack": ["alie", LONG.format(20)], "algorithm": "worker-momentum:inner=gradient"})
    text = bibliography.bibtex(data)
    keys = re.findall(r"^@\w+\{(\w+),$", text, re.M)
    assert len(keys) == len(set(keys))
    assert {"blanchard2017", "karimireddy2021", "karimireddy2022", "xu2022", "baruch2019", "sun2019"} <= set(keys)
    assert text.count("Learning from history") == 1  # two components name it, each in its way
    assert "note = {Sun et al. 2019; no more is known here, complete it}" in text
    known = {"author", "title", "booktitle", "journal", "year", "eprint", "archiveprefix", "note"}
    assert set(re.findall(r"^  (\w+) =", text, re.M)) <= known


def sources():
    """All that the repository says of papers but the bibliography itself: docstrings, references of tests, sources."""
    files = [
        *ROOT.glob("src/fedward/*/*.py"),
        *ROOT.glob("src/fedward/published/*.toml"),
        ROOT / "tests/oracles/__init__.py",
    ]
    return " ".join(" ".join(file.read_text(encoding="utf-8").split()) for file in files).lower()


LOOKED_UP = {
    "Baruch et al. 2019": "Baruch, Baruch, Goldberg",
    "Blanchard et al. 2017": "Blanchard, El Mhamdi, Guerraoui, Stainer",
    "Guo et al. 2021": "Guo, Wang, Song, Hua, Lv, Jin, Xue, Ma, Guan",
    "Nguyen et al. 2022": "Nguyen, Rieger, Chen, Yalame, Möllering, Fereidooni, Marchal, Miettinen, Mirhoseini, "
    "Zeitouni, Koushanfar, Sadeghi, Schneider",
    "Yin et al. 2018": "Yin, Chen, Ramchandran, Bartlett",
}
"""Authors as the papers themselves have them, of those that components name by the first."""


def test_the_bibliography_says_no_more_than_the_repository():
    """A title, venue or id that stands nowhere else would be an invention, and so would an author nobody looked up."""
    said = sources()
    names = {entry.paper for entry in catalogue()}
    for paper in bibliography.papers():
        assert paper.paper in names, paper
        for text in (paper.title, paper.venue, paper.journal, paper.arxiv):
            assert text.lower() in said, (paper.paper, text)
        for surname in paper.authors:
            assert surname.lower() in said or surname in LOOKED_UP.get(paper.paper, ""), (paper.paper, surname)
    for paper, authors in LOOKED_UP.items():
        assert [", ".join(one.authors) for one in bibliography.papers() if one.paper == paper] == [authors]
    whole = tomllib.loads((ROOT / "src/fedward/report/papers.toml").read_text(encoding="utf-8"))
    keys = {"paper", "of", "authors", "title", "venue", "journal", "arxiv"}
    assert {key for entry in whole["paper"] for key in entry} <= keys


def test_a_paper_that_two_share_a_name_with_is_told_by_its_component():
    titles = {name: bibliography.paper_of(entry).title for name, entry in ((e.name, e) for e in catalogue())}
    assert titles["phocas"].startswith("Phocas")
    assert titles["mea-med"].startswith("Generalized")
    assert titles["caf"] != titles["arc"]
    assert titles["smea"] != titles["nnm"]


# --- from folders ---------------------------------------------------------------------------------------------


SPEC = """
title = "Two rules"
data = "fashion-mnist-subset"
rule = ["trimmed-mean:f=1", "mean"]
attack = "alie:z=0.3"
clients = 4
byzantine = 1
seed = [0, 1]
rounds = 2
"""


@pytest.fixture
def folder(tmp_path):
    """Three runs of a sweep of four cells, one of something else, and one that cannot be read."""
    (tmp_path / "spec.toml").write_text(SPEC)
    base = {"data": "fashion-mnist-subset", "attack": "alie:z=0.3", "clients": 4, "byzantine": 1, "rounds": 2}
    for name, more in {
        "a": {"rule": "trimmed-mean:f=1"},
        "b": {"rule": "trimmed-mean:f=1", "seed": 1, "data_path": "/elsewhere"},
        "c": {"rule": "mean"},
        "other": {"rule": "median"},
    }.items():
        config = make_spec({**base, **more}).resolved()
        run = write_run(tmp_path / "runs" / "deep" / name)
        head = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**head, "config": config}))
    broken = write_run(tmp_path / "runs" / "broken")
    (broken / "records.jsonl").write_text("")
    return tmp_path


def test_runs_in_folders_are_the_cells_of_their_sweep(folder):
    # What an earlier version wrote lacks a key, which has its default.
    for head in (folder / "runs").rglob("run.json"):
        whole = json.loads(head.read_text())
        whole["config"].pop("batch_norm", None)
        head.write_text(json.dumps(whole))
    data = read_sweep_runs([folder / "runs"], "Runs", read_sweep(folder / "spec.toml"))
    assert grids(data)[0].keys == ()
    assert [(row.cell, row.status, row.best) for row in data.rows] == [
        ("trimmed-mean:f=1 under alie:z=0.3", "done", 0.5),
        ("mean under alie:z=0.3", "done", 0.5),
        ("trimmed-mean:f=1 under alie:z=0.3, seed 1", "done", 0.5),
        ("mean under alie:z=0.3, seed 1", "waiting", None),
    ]
    assert len(data.records) == 3
    assert "no complete round" in data.notes[0]
    assert data.notes[1] == "Runs that are no cell of spec, and not shown: 1."
    assert len(read_sweep_runs([folder / "runs"], "Runs").rows) == 4
    with pytest.raises(ReportError, match="no run folder, and none in it"):
        read_sweep_runs([folder / "spec.toml"], "")
    with pytest.raises(ReportError, match="nothing can be read of"):
        read_sweep_runs([folder / "runs" / "broken"], "")


def test_a_folder_that_names_a_module_imports_none(folder, monkeypatch):
    (folder / "evil_module.py").write_text("raise SystemExit('imported')\nclass Rule: pass\n")
    monkeypatch.syspath_prepend(str(folder))
    head = folder / "runs" / "deep" / "a" / "run.json"
    whole = json.loads(head.read_text())
    head.write_text(json.dumps({**whole, "config": {**whole["config"], "rule": "evil_module.Rule"}}))
    data = read_sweep_runs([folder / "runs"], "Runs", read_sweep(folder / "spec.toml"))
    bibliography.bibtex(read_sweep_runs([folder / "runs"], "Runs"))
    assert [row.status for row in data.rows] == ["waiting", "done", "done", "waiting"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-o", "page.html"], "Report: page.html"),
        (["-o", "page.html", "--sweep", "spec.toml"], "Report: page.html"),
        (["-o", "table.tex", "--title", "Mine"], "Report: table.tex"),
        (["-o", "it.svg", "--figure", "bars"], "curves"),
        (["-o", "it.xyz"], "files end in"),
        (["--profile", "short"], "of which sweep? give --sweep, too"),
        (["--sweep", "signguard-table7"], "signguard-table1"),
    ],
)
def test_the_command_line_writes_what_the_ending_says(folder, monkeypatch, options, told):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["report", "runs", *options])
    assert told in " ".join(done.output.split())
    assert (done.exit_code == 0) == told.startswith("Report")
    if "--sweep" in options and done.exit_code == 0:
        assert "Two rules" in (folder / "page.html").read_text()


@pytest.mark.parametrize("value", [{"a": [1]}, "x y", None, 1e308, -1, [], "9" * 400, "#1\0=2", True])
def test_a_folder_may_say_anything_of_its_settings(folder, value):
    """Whatever stands where a key belongs, the page is made and shows it as text."""
    head = folder / "runs" / "deep" / "a" / "run.json"
    whole = json.loads(head.read_text())
    for key in ("rule", "attack", "byzantine", "clients", "rounds", "seed", "lr", "data", "partition", "f"):
        head.write_text(json.dumps({**whole, "config": {**whole["config"], key: value}}))
        data = read_sweep_runs([folder / "runs" / "deep"], "Runs")
        assert len(data.rows) == 4
        assert "Cell by cell" in render_sweep(data)
        assert bibliography.bibtex(data)
        assert latex(data)


# --- other measures, and what was tuned -----------------------------------------------------------------------


def test_the_table_is_there_with_every_measure_that_is_known():
    data = made_up({"rule": ["mean", "median"], "attack": ["no-attack", "alie"], "seed": [0, 1]})
    page = render_sweep(data)
    shown = dict(re.findall(r'<option value="(\w+)">([\w %]+)</option>', page))
    assert shown["last"] == "last accuracy"
    assert "worst_client" not in shown  # these records say nothing of it
    last = re.search(r'<div data-measure="last" hidden>(.*?)</div>', page, re.S).group()
    [row] = (row for row in data.rows if (row.config["rule"], row.config["attack"], row.config["seed"]) == KEY)
    [other] = (one for one in data.rows if one.config == {**row.config, "seed": 1})
    assert f">{50 * (row.last + other.last):.2f} <span" in last
    impact = re.search(r'<div data-measure="attack_impact" hidden>(.*?)</div>', page, re.S).group()
    told = f"{50 * (row.measures['attack_impact'] + other.measures['attack_impact']):.2f}"
    assert f">{told} <span".replace("-", "&minus;") in impact


KEY = ("median", "alie", 0)


def test_what_was_tuned_is_shown_with_its_budget():
    choices = [
        Choice(
            contest="krum",
            purpose="clean",
            values={"lr": 0.1},
            score=0.5,
            attack="no-attack",
            candidates=2,
            trials=4,
            rounds=400,
            seconds=90.0,
        ),
        Choice(
            contest="krum",
            purpose="worst",
            values={"lr": 0.2},
            score=0.25,
            attack="alie",
            candidates=2,
            trials=4,
            rounds=400,
            seconds=90.0,
        ),
        Choice(
            contest="mean",
            purpose="clean",
            values={},
            score=0.5,
            attack="no-attack",
            candidates=1,
            trials=1,
            rounds=100,
            seconds=None,
        ),
    ]
    data = made_up({"rule": ["mean", "median"]})
    assert "<h2>Tuning</h2>" not in render_sweep(data)
    page = render_sweep(replace(data, choices=tuple(choices)))
    assert "5 trials, 500 rounds, 2 minutes of a core" in page
    for text in ("lr=0.2", "25.00", "the only candidate"):
        assert text in re.sub("<wbr>", "", page)
