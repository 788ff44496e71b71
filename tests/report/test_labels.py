"""What rules and attacks are called in a paper."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedward.report import ReportError, write_sweep_as
from fedward.report.bibliography import papers
from fedward.report.labels import short_labels, with_labels
from fedward.report.sweep_exports import latex, markdown
from tests.report.sweeps import made_up

RULES = ["sign-guard:lower=0.2", "trimmed-mean:f=2", "trimmed-mean:f=4", "bucketing:s=2 >> krum", "mean"]


def test_names_are_those_of_classes_with_what_differs_alone() -> None:
    assert list(short_labels(RULES).values()) == [
        "SignGuard",
        "TrimmedMean (f = 2)",
        "TrimmedMean (f = 4)",
        "Bucketing >> Krum",
        "Mean",
    ]
    beside = ["krum", "krum:f=3", "nnm >> krum:f=3", "nnm:f=2 >> krum:f=3"]
    assert list(short_labels(beside).values()) == ["Krum", "Krum (f = 3)", "NNM >> Krum", "NNM (f = 2) >> Krum"]
    nested = ["class-wise:rule=(trimmed-mean:f=2,bound=theorem)", "class-wise:rule=(nnm:f=1 >> mean)"]
    assert short_labels(nested)[nested[1]] == "ClassWise (rule = (nnm:f=1 >> mean))"
    assert list(short_labels(["ours:trim", "my.rules.Mine:f=10", "unheard-of"]).values()) == [
        "trim",
        "Mine",
        "unheard-of",
    ]
    same = ["mine.trim", "yours.trim"]
    assert list(short_labels(same).values()) == same


def test_names_of_ones_own_are_of_a_text_or_of_all_with_that_name() -> None:
    chosen = short_labels(RULES, {"trimmed-mean": "Ours", "mean": "None"})
    assert list(chosen.values())[1:3] == ["Ours (f = 2)", "Ours (f = 4)"]
    assert chosen["mean"] == "None"
    assert short_labels(RULES, {"trimmed-mean:f=2": "T&M"})["trimmed-mean:f=2"] == "T&M"


def test_tables_and_figures_have_them_and_say_what_they_leave_out(tmp_path: Path) -> None:
    data = made_up({"rule": RULES, "attack": ["no-attack", "alie:z=1", "min-max"]})
    text = markdown(data)
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert lines[0] == ["rule", "No attack", "ALIE", "MinMax", "worst"]
    assert [line[0] for line in lines[2:]] == [
        "SignGuard",
        "TrimmedMean (f = 2)",
        "TrimmedMean (f = 4)",
        r"Bucketing \>\> Krum",
        "Mean",
    ]
    assert "SignGuard is sign-guard:lower=0.2; " in text
    assert "; ALIE is alie:z=1." in text
    assert "TrimmedMean (f = 2) is" not in text
    ours = with_labels(data, ["sign-guard=Ours & more", "trimmed-mean:f=4=TM=4"])
    assert r"Ours \& more & " in latex(ours)
    assert "TM=4 & " in latex(ours)
    drawn = write_sweep_as(ours, tmp_path / "curves.svg", "curves").read_text(encoding="utf-8")
    assert all(name in drawn for name in ("Ours &amp; more", "TM=4", "TrimmedMean (f = 2)", "MinMax"))
    assert "sign-guard" not in drawn
    along = write_sweep_as(with_labels(data, ["trimmed-mean=TM"]), tmp_path / "f.svg", "rule.f").read_text("utf-8")
    assert ">TM<" in along
    assert "trimmed-mean" not in along
    page = write_sweep_as(data, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "trimmed-mean:f=2" in page


@pytest.mark.parametrize("written", ["fedward.attacks:IPM:epsilon=2", "fedward.attacks.IPM:epsilon=2"])
@pytest.mark.parametrize("option", ["fedward.attacks:IPM=50% tilt", "fedward.attacks.IPM=50% tilt"])
def test_an_import_path_is_meant_with_a_colon_or_a_dot(written: str, option: str) -> None:
    data = with_labels(made_up({"rule": "mean", "attack": ["alie", written]}), [option])
    assert "50\\% tilt" in latex(data)


def test_a_name_that_a_table_prints_is_meant_too() -> None:
    data = made_up({"rule": RULES, "attack": "alie"})
    assert "| Ours |" in markdown(with_labels(data, ["SignGuard=Ours"]))


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("sign-gaurd=Ours", "unknown rule or attack 'sign-gaurd'; did you mean 'sign-guard'"),
        ("sign-guard", "takes RULE=NAME"),
        ("mean=", "no name follows"),
        ("mean=Ours", "mean is not the only one that would be called Ours"),
        ("mean=Bucketing >> Krum", "mean is not the only one that would be called Bucketing >> Krum"),
    ],
)
def test_what_names_nothing_is_refused(option: str, why: str) -> None:
    with pytest.raises(ReportError, match=re.escape(why)):
        with_labels(made_up({"rule": RULES, "attack": "alie"}), [option, "sign-guard=Ours"])


def test_pages_and_rows_keep_what_is_written(tmp_path: Path) -> None:
    ours = with_labels(made_up({"rule": RULES, "attack": "alie"}), ["mean=Average"])
    for ending in ("html", "csv", "bib"):
        with pytest.raises(ReportError, match=r"labels are for \.md, \.tex, \.svg, \.pdf"):
            write_sweep_as(ours, tmp_path / f"it.{ending}")


def test_all_authors_of_a_paper_that_has_a_title_are_known() -> None:
    assert [paper.paper for paper in papers() if "others" in paper.authors] == []


def test_an_unknown_figure_has_five_others_at_most_and_a_remedy(tmp_path: Path) -> None:
    data = made_up({"rule": "mean", "attack": "alie", "byzantine": ["5", "10"]})
    with pytest.raises(ReportError, match="Valid names: byzantine, curves; or leave --figure out, for byzantine"):
        write_sweep_as(data, tmp_path / "it.svg", "bizantine")
