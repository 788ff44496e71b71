"""Folders of rounds: an error says what to type, and rounds that were mixed are noticed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from fedward.cli.app import app

from .conftest import base_model, changes


def written(root: Path, pattern: str, clients: int = 6, rounds: int = 2) -> str:
    """Models of some clients in some rounds, at places that a pattern has; and the base of all."""
    for k in range(clients):
        for r in range(1, rounds + 1):
            path = root / pattern.format(client=k, round=r)
            path.parent.mkdir(parents=True, exist_ok=True)
            factor = 1 + 0.1 * r
            torch.save({name: t + factor * changes()[k][name] for name, t in base_model().items()}, path)
    save_file(base_model(), "base.safetensors")
    return str(root)


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["audit", *words, "--base", "base.safetensors"])
    return done.exit_code, " ".join(done.output.split())


def notes(*words: str) -> list[str]:
    done = CliRunner().invoke(app, ["audit", *words, "--base", "base.safetensors", "--json"])
    found: list[str] = json.loads(done.stdout)["notes"]
    return found


@pytest.mark.parametrize(
    ("pattern", "typed"),
    [
        ("round-{round}/client-{client}.pt", ["rounds/round-1"]),
        ("center-{client}/round-{round}.pt", ["rounds/*/round-1.pt"]),
        ("it's {round}/a {client}.pt", ["rounds/it's 1", "rounds/*/a 0.pt"]),
    ],
)
def test_what_to_type_instead_is_said_and_works(pattern: str, typed: list[str]) -> None:
    status, text = run(written(Path("rounds"), pattern))
    assert status == 2
    assert text.startswith("Error no client's model can be read: client ")
    assert "aggregate" not in text
    for way in typed:
        assert text.count(shlex.quote(way)) == 1, text
    assert text.count(" if ") == len(typed)
    status, text = run(typed[0])
    assert status in (0, 3)
    assert "malformed" not in text


def test_clients_of_one_round_are_named_by_their_folders() -> None:
    written(Path("all"), "site-{client}/round-{round}.pt")
    done = CliRunner().invoke(app, ["audit", "all/*/round-2.pt", "--base", "base.safetensors", "--json"])
    assert [client["id"] for client in json.loads(done.stdout)["clients"]] == [f"site-{k}" for k in range(6)]
    assert not any("rounds" in note for note in json.loads(done.stdout)["notes"])


@pytest.mark.parametrize("pattern", ["round-{round}/client-{client}.pt", "round-{round}/client-{client}/model.pt"])
def test_rounds_that_were_mixed_are_noticed(pattern: str) -> None:
    written(Path("a"), pattern)
    both = (
        "a/round-1, a/round-2 hold clients of the same names: if these are rounds, audit each by itself, with its own"
    )
    assert notes("a/round-1", "a/round-2")[0] == f"{both} base"
    said = CliRunner().invoke(app, ["audit", "a/round-1", "a/round-2", "--base", "base.safetensors"]).output
    assert " ".join(said.split()).startswith(f"Warning: {both} base")  # above the verdicts, which it may make worthless
    assert " ".join(said.split()).count("hold clients of the same names") == 1
    assert not any("same names" in note for note in notes("a/round-1"))


def test_rounds_of_each_client_that_were_mixed_are_noticed() -> None:
    written(Path("a"), "site-{client}/round-{round}.pt", clients=3)
    assert any(
        note.startswith("a/site-0, a/site-1, a/site-2 hold clients of the same names") for note in notes("a/*/*")
    )
