"""A sweep's table as Markdown and LaTeX, with its bibliography."""

import csv
import io
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from fedward import catalogue
from fedward.report import ReportError, bibliography, write_sweep_as
from fedward.report.sweep_exports import in_latex, latex, markdown
from fedward.report.sweep_measures import measure_of
from tests.report.sweeps import LONG, made_up
from tests.report.test_sweep import two_by_three

ROOT = Path(__file__).parents[2]


TABLE = {"rule": ["mean", "median"], "attack": ["alie", "no-attack", "min-max"], "seed": [0, 1]}


def test_markdown_and_latex_have_the_same_numbers():
    data = made_up(TABLE, two_by_three)
    lines = [line.strip("| ").split(" | ") for line in markdown(data).splitlines() if line.startswith("|")]
    assert lines[0] == ["rule", "No attack", "ALIE", "MinMax", "worst"]
    assert lines[3] == ["Median", "**91.00 ± 1.41**", "**51.00 ± 1.41**", "**71.00 ± 1.41**", "**51.00**"]
    text = latex(data)
    assert r"Median & \textbf{91.00 $\pm$ 1.41} & \textbf{51.00 $\pm$ 1.41}" in text
    assert r"\begin{tabular}{lrrrr}" in text
    assert [text.count(f"\\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
    assert "over 2 seeds" in text


def test_cells_say_another_measure_when_asked(tmp_path):
    """The least is bold where less is better, and worst is the most then."""
    data = made_up(TABLE, two_by_three)
    chosen = "the best of a run's tests, one every 10 rounds, chosen on the test set itself"
    over = "mean ± standard deviation (with n - 1) over 2 seeds; bold"
    assert f"Best test accuracy in per cent ({chosen}), {over}" in markdown(data)
    last = replace(data, measure="last")
    assert f"Accuracy in the last test, in per cent, {over}" in markdown(last)

    accepted = {"mean": 0.9, "median": 0.1}
    rows = [
        replace(
            row,
            measures={
                **row.measures,
                "byzantine_accepted": accepted[row.config["rule"]] + 0.05 * (row.config["attack"] == "alie"),
            },
        )
        for row in data.rows
    ]
    lines = markdown(replace(data, rows=tuple(rows), measure="byzantine_accepted")).splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    assert "Worst: the most of a row under any attack." in "".join(lines)
    assert cells[2] == ["Mean", "90.00 ± 0.00", "95.00 ± 0.00", "90.00 ± 0.00", "95.00"]
    assert cells[3] == ["Median", "**10.00 ± 0.00**", "**15.00 ± 0.00**", "**10.00 ± 0.00**", "**15.00**"]

    rows = [replace(row, measures={**row.measures, "attack_impact": -0.031}) for row in data.rows]
    text = latex(replace(data, rows=tuple(rows), measure="attack_impact"))
    assert r"\textbf{$-$3.10 $\pm$ 0.00}" in text

    with pytest.raises(
        ReportError, match=r"--measure last: it\.svg has no cells to show it in; it is for \.md and \.tex"
    ):
        write_sweep_as(last, tmp_path / "it.svg")
    with pytest.raises(ReportError, match=r"'wurst-class'.*worst.class"):
        measure_of("wurst-class")
    assert measure_of("worst-class").key == "worst_class"


def test_a_caption_tells_what_all_cells_have_in_common():
    text = markdown(made_up({**TABLE, "byzantine": ["5", "10"]}, two_by_three))
    [setting] = re.findall(r"Setting: (.*?)\.", text)
    assert setting.startswith("fashion-mnist")
    assert "50 clients" in setting
    assert "byzantine" not in setting
    assert "byzantine 10" in latex(made_up({**TABLE, "byzantine": 10}, two_by_three))
    assert "lr 0.25, momentum 0.9" in markdown(made_up({**TABLE, "lr": 0.25}, two_by_three))
    assert "participation" not in text
    older = made_up({**TABLE, "participation": 0.5}, two_by_three)  # of before this key: a row does not have it
    first = replace(older.rows[0], config={k: v for k, v in older.rows[0].config.items() if k != "participation"})
    assert "participation 0.5" in markdown(replace(older, rows=(first, *older.rows[1:])))
    assert "participation 0.5" in markdown(made_up({**TABLE, "participation": 0.5}, two_by_three))


def test_tables_of_one_sweep_have_labels_of_their_own():
    data = made_up(TABLE, two_by_three)
    labels = [re.findall(r"\\label\{(.*)\}", latex(one)) for one in (data, replace(data, measure="last"))]
    assert len(labels[0]) == 1
    assert labels[1] == [f"{labels[0][0]}-last"]


def test_a_figure_has_its_title_above_it_where_that_is_asked(tmp_path):
    data = made_up(TABLE, two_by_three)
    plain = write_sweep_as(data, tmp_path / "plain.svg").read_text()
    titled = write_sweep_as(data, tmp_path / "titled.svg", titled=True).read_text()
    assert f"<dc:title>{data.title}</dc:title>" in plain
    assert f">{data.title}</text>" not in plain
    assert f">{data.title}</text>" in titled


def test_signs_mean_nothing_to_latex():
    assert in_latex("a_b & 50% {#}") == r"a\_b \& 50\% \{\#\}"
    assert in_latex("\\ ~ ^") == r"\textbackslash{} \textasciitilde{} \textasciicircum{}"
    assert in_latex("$|<>") == r"\$\textbar{}\textless{}\textgreater{}"


@pytest.mark.parametrize("ending", ["html", "csv", "md", "tex", "bib", "svg", "pdf"])
def test_the_ending_of_the_file_is_the_format(tmp_path, ending):
    data = made_up(TABLE, two_by_three)
    file = write_sweep_as(data, tmp_path / f"it.{ending}")
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
    known = {"author", "title", "booktitle", "journal", "year", "eprint", "archiveprefix", "note", "url"}
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
