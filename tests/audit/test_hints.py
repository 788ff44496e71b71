"""A note that tells what to type is right when it is pasted: of audits, with rules of one's own too, and aggregates."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.audit import ModelSource
from fedward.cli.app import app
from tests.audit.test_file_statistics import models, written


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*words])
    return done.exit_code, done.stdout


@pytest.fixture
def clients(tmp_path: Path) -> ModelSource:
    """Twelve clients, of whom three turn what they change: as many as rules are told of, or more."""
    sent = models()
    base = {name: tensor.clone() for name, tensor in models()[0].items()}
    for k in (2, 5, 8):
        for name in ("fc.weight", "fc.bias"):
            sent[k][name] = base[name] - 8 * (sent[k][name] - base[name])
    folder = tmp_path / "with space"
    folder.mkdir()
    return written(folder, sent)


def hint(text: str) -> str:
    (note,) = [note for note in json.loads(text)["notes"] if "so that there may be more" in note]
    found = re.search(r"tell the rules of more \((.*)\)$", note)
    assert found
    return found[1]


@pytest.mark.parametrize("rules", [[], ["--rule", "multi-krum:f=1"], ["--rule", "multi-krum:f=1", "--rule", "mean"]])
def test_of_an_audit(rules: list[str], clients: ModelSource) -> None:
    command = ["audit", str(clients.clients[0]), "--base", str(clients.base), "--json"]
    given = rules or ["--f", "2"]
    _, before = run(*command, *given)
    typed = shlex.split(hint(before))
    assert typed[0] == given[0]
    status, after = run(*command, *typed)
    assert status in (0, 3)
    suspected = sum(not client["accepted"] for client in json.loads(before)["clients"])
    told = [note for note in json.loads(after)["notes"] if f"told of f = {suspected + 1}" in note]
    assert len(told) == 1


def test_nothing_is_suggested_that_no_rule_could_decide_with(clients: ModelSource) -> None:
    """Krum accepts one of twelve: of 12 byzantine clients it cannot be told."""
    _, text = run("audit", str(clients.clients[0]), "--base", str(clients.base), "--rule", "krum:f=1", "--json")
    (note,) = [note for note in json.loads(text)["notes"] if "so that there may be more" in note]
    assert note.endswith("audit the others without them")
    suspected = sum(not client["accepted"] for client in json.loads(text)["clients"])
    assert suspected > 1
    assert note.startswith(f"more are suspected ({suspected}) than the rules were told (f = 1), so that")


def test_of_an_aggregate(clients: ModelSource, tmp_path: Path) -> None:
    files = [str(clients.clients[0]), "--base", str(clients.base)]
    made = ["-o", str(tmp_path / "out.safetensors"), "--report", str(tmp_path / "page.html"), "--json"]
    status, before = run("aggregate", *files, "--rule", "sign-guard", *made)
    assert status in (0, 3)
    typed = shlex.split(hint(json.dumps(json.loads(before)["panel"])))
    assert typed[:5] == ["fedward", "audit", *files]
    status, after = run(*typed[1:], "--json")
    assert status in (0, 3)
    assert any(f"told of f = {typed[-1]}" in note for note in json.loads(after)["notes"])
