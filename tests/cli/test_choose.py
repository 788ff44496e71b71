"""Which rule to choose, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from fedward.redteam import ALIKE
from fedward.redteam.choice import Standing
from tests.cli.test_cli import QUICK, failure, invoke, quick

SHORT = [*quick("--byzantine", "2"), "--rounds", "2", "--attack", "sign-flip", "--worst", "1", "--partition", "iid"]
BOTH = [*SHORT, "--attack", "label-flip"]


def test_the_command_ranks_says_what_to_paste_and_goes_on() -> None:
    command = ["choose", "--rule", "mean", "--rule", "nnm >> median", *BOTH]
    text = invoke(*command)
    assert "without" in text
    assert "honest" in text
    page = Path("choice/report.html").read_text()
    for words in (
        "Which rule for this federation?",
        "nnm:<wbr>f=<wbr>2",
        "label-flip",
        "Worst, by<br>accuracy",
    ):
        assert words in page
    assert "by kappa" not in page  # what was named was trained under, whatever is the worst by kappa
    assert "alie" not in page
    assert "Honest dropped: the largest share" in text
    findings = {file: file.read_text() for file in Path("choice/findings").glob("*.jsonl")}
    assert len(findings) == 2
    told = json.loads(invoke(*command, "--json"))
    assert {each["rule"] for each in told["ranking"]} == {"mean", "nnm:f=2 >> median"}
    assert {each.pop("worst_by") for each in told["ranking"]} == {"accuracy"}
    dropped = {each["rule"]: each["honest_dropped"] for each in told["ranking"]}
    assert dropped["mean"] == 0.0
    krum = json.loads(invoke("choose", "--rule", "krum", *SHORT, "--out", "krum", "--json"))["ranking"][0]
    assert krum["honest_dropped"] > 0.85  # of ten honest clients it takes one at most
    best = Standing(**told["ranking"][0])
    advice = "None of these withstands" if best.collapses else f'RobustFedAvg(rule="{best.rule}")'
    assert ("Nothing was learned" if told["nothing_learnt"] else advice) in text
    assert told["ranking"][0]["worst"] >= told["ranking"][1]["worst"] - ALIKE
    assert findings == {file: file.read_text() for file in Path("choice/findings").glob("*.jsonl")}


def test_a_ranking_of_guesses_is_called_one() -> None:
    command = ["choose", "--rule", "mean", *SHORT, "--lr", "1e-12"]
    assert "Nothing was learned, with any rule" in (text := invoke(*command))
    assert "RobustFedAvg" not in text
    assert "Nothing was learned, with any rule" in Path("choice/report.html").read_text()
    assert json.loads(invoke(*command, "--json"))["nothing_learnt"]


def test_what_does_not_fit_is_said() -> None:
    assert "nothing to examine; take 1 at least" in failure("choose", *quick("--byzantine", "0"))
    assert "unknown rule 'medain'" in failure("choose", "--rule", "medain", *QUICK)
    assert "got 12" in failure("choose", "--rule", "krum:f=6", *QUICK)
