"""The pages of the catalogue are what the registry, the docstrings and the results say."""

from __future__ import annotations

import csv
import json
import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import fedward as fw
from fedward.registry.docstrings import docstring_of
from fedward.registry.entries import Entry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def pages() -> Mapping[str, str]:
    made: Mapping[str, str] = runpy.run_path(str(ROOT / "scripts" / "make_catalogue.py"))["pages"]()
    return made


def examined(rule: str) -> list[dict[str, Any]]:
    """The lines of a file of findings, as they are."""
    file = ROOT / "results" / "redteam" / "findings" / f"{rule}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def section(page: str, name: str) -> str:
    found = re.search(rf"^### `{name}`$.*?(?=^##|\Z)", page, flags=re.MULTILINE | re.DOTALL)
    assert found, name
    return found[0]


def test_pages_are_current(pages: Mapping[str, str]) -> None:
    old = [place for place, text in pages.items() if (DOCS / place).read_text(encoding="utf-8") != text]
    assert not old, f"run python scripts/make_catalogue.py: {', '.join(old)}"


def test_no_page_of_the_catalogue_is_left_over(pages: Mapping[str, str]) -> None:
    there = {f"reference/catalogue/{file.name}" for file in (DOCS / "reference" / "catalogue").iterdir()}
    assert there <= pages.keys()


COMPONENTS = [entry for kind in ("rule", "mixer", "attack") for entry in fw.catalogue(kind, packaged=True)]


@pytest.mark.parametrize("entry", COMPONENTS, ids=lambda entry: entry.name)
def test_a_component_says_when_to_use_it_and_what_its_parameters_are(entry: Entry) -> None:
    doc = entry.doc
    word = "Shows: " if entry.kind == "attack" else "Use when: "
    assert word in (entry.cls.__doc__ or ""), f"its docstring needs a paragraph that begins with {word!r}"
    assert 20 < len(doc.use) < 350
    assert doc.use.endswith(".")
    assert not [name for name in entry.arguments if name != "f" and name not in doc.arguments]
    assert not [name for name in doc.arguments if name not in entry.arguments]


@pytest.mark.parametrize(("kind", "page"), [("rule", "rules"), ("mixer", "mixers"), ("attack", "attacks")])
def test_every_component_has_its_section(pages: Mapping[str, str], kind: str, page: str) -> None:
    text = pages[f"reference/catalogue/{page}.md"]
    names = [entry.name for entry in fw.catalogue(kind, packaged=True)]
    assert sorted(re.findall(r"^### `(.+)`$", text, flags=re.MULTILINE)) == names
    for name in names:
        assert f"](catalogue/{page}.md#{name})" in pages["reference/catalogue.md"]


def test_what_breaks_a_rule_is_what_its_findings_say(pages: Mapping[str, str]) -> None:
    text = section(pages["reference/catalogue/rules.md"], "faba")
    lines = examined("faba-f=10")
    worst = max(line["kappa"] for line in lines if "kappa" in line and line["attack"] != "no-attack")
    calm = next(line["kappa"] for line in lines if line.get("attack") == "no-attack")
    assert f"to a kappa of {worst:.3g} ({calm:.3g} without attack)" in text
    under = [line["accuracy"] for line in lines if line.get("accuracy") is not None]
    assert len(under) > 3
    for accuracy in under:
        assert f"{100 * accuracy:.1f} %" in text
    assert lines[0]["versions"]["commit"] in pages["reference/catalogue/rules.md"]


def test_longer_runs_are_told_with_the_run_that_loses_most(pages: Mapping[str, str]) -> None:
    runs = json.loads((ROOT / "results" / "behaviour" / "runs.json").read_text(encoding="utf-8"))
    last = {
        run["config"]["attack"]: run["final_accuracy"] for run in runs.values() if run["config"]["rule"] == "krum:f=10"
    }
    calm = last.pop("no-attack")
    worst = min(last, key=lambda attack: last[attack])
    text = section(pages["reference/catalogue/rules.md"], "krum")
    assert (
        f"({len(last)} runs under attack; 10 of 50 clients, fashion-mnist, `iid`): `krum:f=10` loses most under "
        f"`{worst}`, last accuracy {100 * last[worst]:.1f} %, {100 * calm:.1f} % without attack"
    ) in text


def test_a_mixer_is_told_beside_the_same_run_without_it(pages: Mapping[str, str]) -> None:
    runs = json.loads((ROOT / "results" / "desgd" / "runs.json").read_text(encoding="utf-8")).values()
    last = {
        run["config"]["rule"]: run["final_accuracy"]
        for run in runs
        if run["config"]["attack"] == "ipm" and run["config"]["seed"] == 0 and "worker" in run["config"]["algorithm"]
    }
    chain, bare = last["bucketing:s=2 >> dnc:f=4"], last["dnc:f=4"]
    assert (
        f"`bucketing:s=2 >> dnc:f=4` under `ipm` {100 * chain:.1f} %, without the mixer {100 * bare:.1f} %"
    ) in section(pages["reference/catalogue/mixers.md"], "bucketing")
    # Of several seeds there is one figure that says of how many: the same name thrice tells nobody which is which.
    said = section(pages["reference/catalogue/mixers.md"], "bucketing")
    (line,) = [line for line in said.splitlines() if "[desgd](" in line]
    assert line.count("`bucketing:s=2 >> dnc:f=4` under `alie:z=1`") == 1
    assert "(means of 3 seeds)" in line


def test_memory_is_what_the_tables_say(pages: Mapping[str, str]) -> None:
    text = section(pages["reference/catalogue/rules.md"], "copoddos")
    rows = json.loads((ROOT / "results" / "memory" / "memory.json").read_text(encoding="utf-8"))["rows"]
    (row,) = (row for row in rows if row["name"] == "copoddos")
    assert (
        f"{max(row[turn]['extra_bytes'] for turn in ('first', 'third')) / 1e6:.0f} MB extra at 50 x 1,117,396" in text
    )
    many = (DOCS / "how-to" / "many-clients.md").read_text(encoding="utf-8")
    figures = [line.split("|") for line in many.splitlines() if line.startswith("| copoddos ")]
    most = max(int(cells[2].replace(",", "")) for cells in figures)
    assert f" at {most:,} x " in text


def test_the_comparison_counts_what_is_here() -> None:
    text = (DOCS / "concepts" / "comparison.md").read_text(encoding="utf-8")
    rules, mixers, attacks, data, partitions = (
        len(fw.catalogue(kind, packaged=True)) for kind in ("rule", "mixer", "attack", "data set", "partition")
    )
    assert f"[{rules} rules, {mixers} mixers]" in text
    assert f"[{attacks}](../reference/catalogue.md#attacks)" in text
    assert f"[{data} data sets, {partitions} partitions]" in text


def test_figures_of_the_choice_are_those_of_the_command() -> None:
    text = (DOCS / "get-started" / "choosing-a-rule.md").read_text(encoding="utf-8")
    flower = (DOCS / "how-to" / "flower.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.+?)` \| (\d.*?) \|$", text, flags=re.MULTILINE)
    assert len(rows) == 3
    for rule, row in rows:
        (line,) = re.findall(rf"^\| `{re.escape(rule)}` \|.*$", flower, flags=re.MULTILINE)
        assert [figure for figure in re.findall(r"[\d.]+ %", row) if figure not in line] == []
    (memory,) = re.findall(r"of (\d+ lines measured, \d+)", text.replace("\n", " "))
    within = (ROOT / "results" / "memory" / "README.md").read_text(encoding="utf-8")
    lines, kept = re.findall(r"\d+", memory)
    assert f"{kept} of {lines} are within the bound" in within


def test_no_mixer_with_runs_is_called_unexamined(pages: Mapping[str, str]) -> None:
    with (ROOT / "results/unlike/sweep.csv").open(encoding="utf-8", newline="") as file:
        chains = {row["rule"].partition(" >> ")[0] for row in csv.DictReader(file) if ">>" in row["rule"]}
    assert {"normalize", "nnm:f=3"} <= chains
    for mixer in chains:
        said = section(pages["reference/catalogue/mixers.md"], mixer.partition(":")[0])
        assert f"`{mixer} >> trimmed-mean:f=3` under `alie`" in said


def test_what_nobody_examined_is_called_so(pages: Mapping[str, str]) -> None:
    assert "Not examined" in section(pages["reference/catalogue/mixers.md"], "group-majority")
    assert "Not examined" in section(pages["reference/catalogue/attacks.md"], "virtual")
    rows = re.findall(r"^\| \[`(.+?)`\].*\| not examined \|$", pages["reference/catalogue.md"], flags=re.MULTILINE)
    assert sorted(rows) == ["de-moa", "hierarchical", "smea"]
    assert "Every rule but SMEA, Hierarchical and DeMoA" in pages["get-started/choosing-a-rule.md"]


class _Above:
    """Above.

    Args:
        a: from above.
        b: overridden.
    """


class _Below(_Above):
    """One line.

    x <- 2 a
    1. no list.

    Use when: it is
    wanted.

    More.

    Args:
        b, c: both of
            these: two lines.

    Raises:
        ValueError: a or b.
    """


def test_a_docstring_is_taken_apart() -> None:
    doc = docstring_of(_Below)
    assert doc.summary == "One line."
    assert doc.details == ("x <- 2 a\n1. no list.", "More.")
    assert doc.use == "it is wanted."
    assert doc.arguments == {"a": "from above.", "b": "both of these: two lines.", "c": "both of these: two lines."}
    assert doc.raises == "ValueError: a or b."


def test_no_docstring_is_nothing() -> None:
    assert docstring_of(lambda: None).use == ""
