"""The red team from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fedward as fw
from fedward.experiments.spec import each_rule, make_spec
from fedward.registry.notation import parse
from tests.cli.test_cli import QUICK, failure, invoke

SHORT = [*QUICK, "--rounds", "2", "--warmup", "1", "--captured", "1", "--worst", "1"]


def test_one_rule() -> None:
    text = invoke("redteam", "--rule", "krum", *SHORT, "--attack", "alie", "--attack", "sign-flip:scale=2")
    for words in ("worst strength", "alie", "sign-flip:scale=2", "Report: redteam/report.html"):
        assert words in text
    assert len(Path("redteam/krum-f=2.jsonl").read_text().splitlines()) == 5
    assert "krum:f=2" in Path("redteam/report.html").read_text()


def test_several_rules_as_json_and_again_from_what_is_there() -> None:
    command = ["redteam", "--rule", "median", "--rule", "smea", "--attack", "alie", *SHORT, "--out", "here", "--json"]
    place = command.index("--worst") + 1
    none_trained = [*command[:place], "0", *command[place + 1 :]]
    found = json.loads(invoke(*command))
    assert [e["settings"]["rule"] for e in found["examinations"]] == ["median", "smea:f=2"]
    assert found["report"] == "here/report.html"
    before = Path("here/median.jsonl").read_text()
    assert json.loads(invoke(*command)) == found
    assert Path("here/median.jsonl").read_text() == before
    told = json.loads(invoke(*none_trained, code=1).partition("Error")[0])
    assert list(told["failed"]) == ["here/median.jsonl", "here/smea-f=2.jsonl"]
    assert "other settings (worst); choose another folder, such as --out here-2" in told["failed"]["here/median.jsonl"]
    assert Path("here/median.jsonl").read_text() == before
    median_alone = [*none_trained[:3], *none_trained[5:]]
    invoke(*median_alone, "--fresh")


def test_all_means_every_rule_that_fits() -> None:
    setting = {"clients": 50, "byzantine": 10, "attack": "no-attack"}
    specs, refused = each_rule(["all"], lambda rule: make_spec({**setting, "rule": rule}), 10)
    rules = {entry.name for entry in fw.catalogue("rule", packaged=True)}
    named = [spec.rule for spec in specs.values()] + list(refused)
    assert rules <= {text.partition(":")[0] for text in named}
    assert list(refused) == ["smea:f=10"]
    assert "1.03e+10 subsets" in refused["smea:f=10"]
    assert all(parse(spec.rule, "rule") for spec in specs.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rule", "sign-gard"], ["unknown rule 'sign-gard'", "did you mean 'sign-guard'?"]),
        (["--rule", "krum", "--attack", "mean"], ["attack: mean is a rule, an attack is needed"]),
        (["--rule", "krum:f=24"], ["Krum(f=24, ", "got 50"]),
        (["--rule", "no.such.Rule"], ["cannot import 'no.such.Rule'"]),
    ],
)
def test_errors_help(options: list[str], words: list[str]) -> None:
    text = failure("redteam", *options)
    for word in words:
        assert word in text
