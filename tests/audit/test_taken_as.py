"""What is said of what clients sent: of adapters that are alike, of a base of another kind, of no base, of copies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from fedward.cli.app import app
from tests.audit.conftest import base_model, changes
from tests.audit.test_adapters import clients, write

TAKEN = "no --base: what was sent is taken as updates"


def said(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["audit", *map(str, words)])
    return done.exit_code, " ".join(done.output.split())


def notes(*words: object) -> list[str]:
    found: list[str] = json.loads(said(*words, "--json")[1])["notes"]
    return found


def adapters(folder: Path, *, alike: bool = False) -> Path:
    layers = clients(None, None)
    for k, name in enumerate(layers):
        own = layers["client-0"] if alike else layers[name]
        write(folder / name, {layer: (A, B * (1 + 0.001 * k)) for layer, (A, B) in own.items()})
    return folder


def sent(folder: Path) -> Path:
    folder.mkdir()
    for k, change in enumerate(changes(8)):
        save_file(change, folder / f"client-{k}.safetensors")
    return folder


def test_adapters_that_are_alike_are_called_adapters_and_get_remedies_of_theirs(tmp_path: Path) -> None:
    folder = adapters(tmp_path / "adapters", alike=True)
    status, text = said(folder)
    assert status == 2
    assert "these adapters are nearly the same" in text
    assert "give the folder of that adapter (--base FOLDER)" in text
    assert "--raw" in text
    assert not any(words in text for words in ("weights, not updates", "of-clients", "--base FILE"))
    assert said(folder, "--raw")[0] in (0, 3)


def test_a_base_of_another_kind_is_to_blame_and_not_the_first_client(updates: Path, tmp_path: Path) -> None:
    folder = adapters(tmp_path / "adapters")
    status, text = said(folder, "--base", "base.safetensors")
    assert (status, "the base is a whole model, but clients sent adapters: give the folder" in text) == (2, True), text
    status, text = said(updates, "--base", folder / "client-0")
    assert (status, "the base is an adapter, but clients sent whole models: give the model" in text) == (2, True), text
    assert "the others" not in text
    # Nor a stray one, of the base's kind and no model of it: the folder of an adapter without its configuration.
    (folder / "a-stray").mkdir()
    shutil.copy(folder / "client-0" / "adapter_model.safetensors", folder / "a-stray")
    assert "the base is a whole model, but clients sent adapters" in said(folder, "--base", "base.safetensors")[1]
    shutil.rmtree(folder / "a-stray")
    # One client of the base's kind: the base stands, and the others are what does not fit.
    save_file({name: tensor + 0.01 for name, tensor in base_model().items()}, folder / "one.safetensors")
    assert "is an adapter, the others are whole models" in said(folder, "--base", "base.safetensors")[1]


def test_what_is_taken_as_updates_without_a_base_is_said(tmp_path: Path) -> None:
    folder = sent(tmp_path / "sent")
    assert TAKEN in said(folder)[1]
    assert notes(folder)[-1] == TAKEN
    words = ["aggregate", str(folder), "--rule", "median", "-o", "g.npz"]
    assert TAKEN in " ".join(CliRunner().invoke(app, words).output.split())
    told = json.loads(CliRunner().invoke(app, [*words, "--json", "--report", "p.html"]).stdout)
    assert TAKEN in told["notes"]
    assert told["panel"]["notes"].count(TAKEN) == 1
    above = f"Warning: {TAKEN}; whole models need --base, a file of what they started from or median-of-clients"
    assert above in said(folder)[1]
    assert said(folder)[1].count(TAKEN) == 1
    assert above in " ".join(CliRunner().invoke(app, words).output.split())
    changed = adapters(tmp_path / "adapters")
    assert notes(changed).count(TAKEN) == 1
    assert "Warning" not in said(changed)[1]  # adapters are changes as they are
    assert "what a client changed" in said(changed)[1]
    words = ["aggregate", str(changed), "--rule", "median", "-o", "merged"]
    assert "Warning" not in CliRunner().invoke(app, words).output
    # Nothing is to be said where the user has.
    zero = {name: torch.zeros_like(tensor) for name, tensor in base_model().items()}
    save_file(zero, tmp_path / "zero.safetensors")
    for said_so in (["--raw"], ["--base", "zero.safetensors"], ["--base", "median-of-clients"]):
        assert TAKEN not in notes(folder, *said_so)


def test_clients_that_sent_the_same_are_named(tmp_path: Path) -> None:
    folder = sent(tmp_path / "sent")
    assert not any("sent the same" in note for note in notes(folder))
    for copy, of in ((5, 2), (6, 2), (7, 3)):
        shutil.copy(folder / f"client-{of}.safetensors", folder / f"client-{copy}.safetensors")
    for options in ([], ["--base", "median-of-clients"]):
        found = [note for note in notes(folder, *options) if "sent the same" in note]
        assert found == [
            "client-2, client-5, client-6 sent the same: copies, or one sender under several names",
            "client-3, client-7 sent the same: copies, or one sender under several names",
        ]
    write(tmp_path / "a" / "one", (layers := clients())["client-0"])
    write(tmp_path / "a" / "two", {n: (2 * A, B / 2) for n, (A, B) in layers["client-0"].items()})
    for k in range(1, 6):
        write(tmp_path / "a" / f"c{k}", layers[f"client-{k}"])
    assert any(note.startswith("one, two sent the same") for note in notes(tmp_path / "a", "--raw"))
