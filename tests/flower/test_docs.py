"""The printed examples run, and the example app is five changed lines away from federated averaging."""

from __future__ import annotations

import importlib
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from fedward.flower import RobustFedAvg, hostile
from fedward.flower.testing import InProcess
from fedward.report import ReportError, write_report
from fedward.report.audits import load_audit

from .federation import NODES, Quadratic, liars, model
from .federation import InProcess as Ten

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flower-signguard"
CONFIG = {
    "rounds": 4,
    "rule": "sign-guard",
    "byzantine": 2,
    "attack": "sign-flip:scale=10",
    "nodes": 10,
    "lr": 0.03,
    "batch-size": 50,
    "audit": "",
    "save": "",
}


def test_the_page_about_flower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "flower.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 11
    for block in blocks:  # each by itself, as it is pasted
        scope: dict[str, Any] = dict.fromkeys(("prepare", "evaluate", "evaluator"), lambda *arguments: None)
        exec(block, scope)
        if "hostile.update_mod" in block:  # a whole federation, and what is said of it
            audits = scope["strategy"].audits
            assert [audit.round for audit in audits] == [1, 2, 3]
            assert all({0, 1} < {verdict.node for verdict in audit.dropped} for audit in audits)
            assert [len(audit.kept) for audit in audits] == [6, 6, 6]
    assert (tmp_path / "audit.jsonl").exists()


def test_every_reason_is_explained() -> None:
    from fedward.flower import Fault

    page = (ROOT / "docs" / "how-to" / "flower.md").read_text()
    assert [fault for fault in Fault if f"`{fault}`" not in page] == []


def printed_diff() -> str:
    return (EXAMPLE / "README.md").read_text().split("```diff\n")[1].split("```")[0]


def plain_server() -> str:
    """The example's server before the diff."""
    text = (EXAMPLE / "signguard_app" / "server.py").read_text()
    diff = printed_diff()
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE)[1:]:
        lines = hunk.splitlines(keepends=True)
        new = "".join(line[1:] for line in lines if line[0] in " +")
        old = "".join(line[1:] for line in lines if line[0] in " -")
        assert text.count(new) == 1
        text = text.replace(new, old)
    return text


def accuracies(server: Any, tmp_path: Path, **config: Any) -> list[float]:
    save = tmp_path / "accuracy.json"
    client = importlib.import_module("signguard_app.client")
    grid = InProcess(client.app, nodes=NODES, run_config={**CONFIG, "save": str(save), **config})
    server(grid, Context(1, 1, {}, RecordDict(), {**CONFIG, "save": str(save), **config}))
    return list(json.loads(save.read_text()).values())


def test_the_example_withstands_what_federated_averaging_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    changed = [line for line in printed_diff().splitlines()[2:] if line[0] in "+-"]
    assert len(changed) <= 5
    ours = importlib.import_module("signguard_app.server").app
    audit = tmp_path / "audit.jsonl"
    assert accuracies(ours, tmp_path, audit=str(audit))[-1] > 0.7
    scope: dict[str, Any] = {"__name__": "signguard_app.plain", "__package__": "signguard_app"}
    exec(plain_server(), scope)
    assert accuracies(scope["app"], tmp_path, byzantine=0)[-1] > 0.7
    assert accuracies(scope["app"], tmp_path)[-1] < 0.4
    run = load_audit(audit).run
    assert [record.marks[:2] for record in run.records] == ["00"] * 4


def test_a_report_of_an_audit(tmp_path: Path) -> None:
    audit, page = tmp_path / "audit.jsonl", tmp_path / "page.html"
    app = Quadratic([hostile.reply_mod("huge", liars(1)), hostile.reply_mod("cut", liars(2))]).app
    grid = Ten(app, lost=lambda node, round: node == NODES[3] or (round == 2 and node != NODES[0]))
    strategy = RobustFedAvg(rule="sign-guard:cluster=false", audit=audit, fraction_evaluate=0.0)
    strategy.start(grid, model(), num_rounds=3)
    with audit.open("a") as file:
        file.write('{"round": 9, "no')
    found = load_audit(audit)
    assert [record.marks for record in found.run.records] == ["100-111111", "1---------", "100-111111"]
    assert found.run.records[2].reasons == {1: "norm-too-large", 2: "unreadable"}
    assert found.who == tuple(str(node) for node in NODES)
    assert "Lines that cannot be read, and were left out: 1." in found.notes
    RobustFedAvg(rule="krum:f=4", audit=audit, fraction_evaluate=0.0, on_skip="warn").start(grid, model(), num_rounds=1)
    (note,) = load_audit(audit).notes
    needed = "Krum(f=4, bound='theorem') needs n >= 2f + 3 = 11 clients (n >= f + 3 = 7 with bound='definition'), got 8"
    assert needed in note
    audit = tmp_path / "audit-1.jsonl"
    write_report([audit, tmp_path], page)
    text = page.read_text()
    assert "norm-too-large" in text
    assert str(NODES[1]) in text


@pytest.mark.parametrize("content", ["", "not an audit\n", '{"round": 1}\n', '{"round": 1, "nodes": [{"node": 7}]}\n'])
def test_files_that_are_no_audit(content: str, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    audit.write_text(content)
    told = "is no audit of a federation" if content else "no complete round of an audit"
    with pytest.raises(ReportError, match=told):
        write_report([audit], tmp_path / "page.html")


def test_the_benchmark_tries_what_it_says() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks" / "flower.py"))
    ended = script["run"]("Flower FedMedian", "wrong shapes", 1)
    assert ended["error"] is not None
    assert script["cell"](ended) == "ended in round 1"
    found = script["run"]("fedward Median", "-10 x own update", 1)
    assert found["error"] is None
    assert len(found["accuracies"]) == 2
