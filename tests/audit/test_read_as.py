"""How a file is read: which of several models in it, names with a prefix of a wrapper, a base with clients' key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from typer.testing import CliRunner

import fedward as fw
from fedward.cli.app import app
from fedward.stack import Files

from .conftest import base_model, changes

BASED = ("--base", "base.safetensors")


def client(k: int) -> dict[str, Tensor]:
    return {name: tensor + changes()[k][name] for name, tensor in base_model().items()}


def sent(folder: Path, n: int = 8, prefixes: dict[int, str] | None = None, everybody: str = "") -> Path:
    """Honest clients, some of whose names have something before each."""
    folder.mkdir()
    for k in range(n):
        prefix = (prefixes or {}).get(k, everybody)
        save_file({prefix + name: t for name, t in client(k).items()}, folder / f"client-{k}.safetensors")
    save_file(base_model(), folder.parent / "base.safetensors")
    torch.save(base_model(), folder.parent / "base.pt")
    return folder


def holding(folder: Path, *keys: str, n: int = 6) -> Path:
    """Files that hold several models by name, which differ."""
    folder.mkdir()
    for k in range(n):
        torch.save({key: client(k + i) for i, key in enumerate(keys)}, folder / f"client-{k}.pt")
    torch.save(base_model(), folder.parent / "base.pt")
    return folder


def audited(*words: object) -> tuple[set[str], list[str]]:
    """Verdicts and notes."""
    done = CliRunner().invoke(app, ["audit", *map(str, words), "--json"])
    assert done.exit_code in (0, 3), done.output
    found = json.loads(done.stdout)
    return {client["reason"] for client in found["clients"]}, found["notes"]


def error(*words: object) -> str:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 2
    return " ".join(done.stderr.split())


# --- keys --------------------------------------------------------------------------------------------------------


def test_the_key_is_of_clients_files_where_the_base_has_no_such_key(tmp_path: Path) -> None:
    folder = holding(tmp_path / "all", "model", "ema")
    assert audited(folder, "--base", "base.pt", "--key", "ema")[0] == {"accepted"}
    torch.save({"state_dict": base_model(), "epoch": 0}, tmp_path / "nested.pt")
    assert audited(folder, "--base", "nested.pt", "--key", "model")[0] == {"accepted"}
    # A base that holds it is read there; one in which nothing can be found says what was asked for.
    torch.save({"model": base_model(), "ema": {"other": torch.ones(3)}}, tmp_path / "both.pt")
    assert audited(folder, "--base", "both.pt", "--key", "model")[0] == {"accepted"}
    assert "no client fits this base" in error("audit", folder, "--base", "both.pt", "--key", "ema")
    torch.save({"one": base_model(), "two": base_model()}, tmp_path / "two.pt")
    said = error("audit", folder, "--base", "two.pt", "--key", "model")
    assert "the base two.pt: has no 'model', and holds several models (one, two)" in said


def test_which_of_several_models_was_taken_is_said_once(tmp_path: Path) -> None:
    folder = holding(tmp_path / "all", "model", "ema")
    said = "several models in one file, of client-0, client-1, client-2, client-3, client-4 and 1 more: "
    note = f"{said}model was taken, not ema (--key says which)"
    assert [line for line in audited(folder, "--base", "base.pt")[1] if "several" in line] == [note]
    words = ["aggregate", str(folder), "--base", "base.pt", "--rule", "median", "-o", "out.pt", "--json"]
    assert json.loads(CliRunner().invoke(app, words).stdout)["notes"].count(note) == 1
    assert not any("several" in line for line in audited(folder, "--base", "base.pt", "--key", "model")[1])


def test_of_the_bases_file_too_and_of_no_file_with_one_model(tmp_path: Path) -> None:
    folder = holding(tmp_path / "all", "model")
    # An optimiser's moments are no model, where they are not as many tensors of the same shapes.
    moments = {"state": {0: {"exp_avg": torch.ones(3)}}, "names": {"a": torch.ones(2)}}
    torch.save({"model": client(0), "optimizer": moments}, folder / "client-0.pt")
    assert not any("several" in line for line in audited(folder, "--base", "base.pt")[1])
    torch.save({"state_dict": base_model(), "state_dict_ema": client(1)}, tmp_path / "two.pt")
    (note,) = [line for line in audited(folder, "--base", "two.pt")[1] if "several" in line]
    assert (
        note == "several models in one file, of the base: state_dict was taken, not state_dict_ema (--key says which)"
    )


# --- prefixes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "_orig_mod.module."])
def test_names_with_a_wrappers_prefix_are_read_under_the_bases(prefix: str, tmp_path: Path) -> None:
    verdicts, notes = audited(sent(tmp_path / "all", everybody=prefix), *BASED)
    assert verdicts == {"accepted"}
    clients = "client-0, client-1, client-2, client-3, client-4 and 3 more"
    assert f"read under the base's names: {clients}, whose names have '{prefix}' before each" in notes
    words = ["aggregate", "all", *BASED, "--rule", "mean", "-o", "out.safetensors", "--json"]
    done = CliRunner().invoke(app, words)
    assert any(f"'{prefix}' before each" in note for note in json.loads(done.stdout)["notes"])
    found, mean = load_file("out.safetensors"), torch.stack([client(k)["fc.weight"] for k in range(8)]).mean(0)
    assert found.keys() == base_model().keys()
    torch.testing.assert_close(found["fc.weight"], mean, rtol=0, atol=1e-6)


def test_a_base_with_a_prefix_that_clients_lack(tmp_path: Path) -> None:
    folder = sent(tmp_path / "all")
    save_file({f"module.{name}": tensor for name, tensor in base_model().items()}, tmp_path / "wrapped.safetensors")
    verdicts, notes = audited(folder, "--base", "wrapped.safetensors")
    assert verdicts == {"accepted"}
    assert any(note.endswith("whose names lack 'module.' before each") for note in notes)


@pytest.mark.parametrize("base", [("--base", "median-of-clients"), BASED])
def test_one_client_among_many_is_read_under_the_names_of_the_others(base: tuple[str, ...], tmp_path: Path) -> None:
    verdicts, notes = audited(sent(tmp_path / "all", prefixes={3: "module."}), *base)
    assert verdicts == {"accepted"}
    whose = "the base's" if base == BASED else "most clients'"
    assert f"read under {whose} names: client-3, whose names have 'module.' before each" in notes


def test_half_with_a_prefix_are_read_under_the_shorter_names(tmp_path: Path) -> None:
    folder = sent(tmp_path / "all", prefixes=dict.fromkeys((0, 2, 4, 6), "module."))
    words = ["aggregate", str(folder), "--base", "median-of-clients", "--rule", "mean", "-o", "out.safetensors"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert load_file("out.safetensors").keys() == base_model().keys()


def test_nothing_else_is_taken_for_a_prefix(tmp_path: Path) -> None:
    """Not one that some names have, nor what is no module's name, nor a tensor more."""
    folder = sent(tmp_path / "all", prefixes={3: "module", 5: "x/"})
    some = {("module." if name.startswith("fc") else "") + name: tensor for name, tensor in client(1).items()}
    save_file(some, folder / "client-1.safetensors")
    more = {f"module.{name}": tensor for name, tensor in {**client(2), "extra": torch.ones(2)}.items()}
    save_file(more, folder / "client-2.safetensors")
    done = CliRunner().invoke(app, ["audit", str(folder), *BASED, "--json"])
    found = {each["id"] for each in json.loads(done.stdout)["clients"] if each["reason"] == "malformed"}
    assert found == {"client-1", "client-2", "client-3", "client-5"}


def test_in_python_the_error_names_the_prefix(tmp_path: Path) -> None:
    folder = sent(tmp_path / "all", prefixes={3: "module."})
    with pytest.raises(ValueError, match=r"'client-3': state dict has 'module\.' before each name, and most clients'"):
        Files(sorted(folder.iterdir()))
    models = [{f"module.{name}": t for name, t in client(0).items()}, *(client(k) for k in (1, 2, 3))]
    with pytest.raises(ValueError, match=r"has 'module\.' before each name, and the model's has not"):
        fw.Aggregator(fw.rules.Median())(models, base=base_model())
    lacking = {f"module.{name}": tensor for name, tensor in base_model().items()}
    with pytest.raises(ValueError, match=r"lacks 'module\.' before each name, which the model's has"):
        fw.Aggregator(fw.rules.Median())(models[1:], base=lacking)


# --- bases -------------------------------------------------------------------------------------------------------


def test_files_say_of_a_base_in_another_format_that_it_is_one(tmp_path: Path) -> None:
    folder = sent(tmp_path / "all")
    with pytest.raises(ValueError, match=r"the base: base\.pt is a \.pt: Files read \.safetensors alone") as caught:
        Files(sorted(folder.iterdir()), base="base.pt")
    assert "damaged" not in str(caught.value)


def test_a_base_that_fits_nobody_is_held_against_the_many(tmp_path: Path) -> None:
    folder = sent(tmp_path / "all")
    save_file({"stray": torch.ones(3)}, folder / "a-stray.safetensors")
    save_file({"other": torch.ones(3)}, tmp_path / "other.safetensors")
    said = error("audit", folder, "--base", "other.safetensors")
    assert "no client fits this base: the base has other, which client-0 has not" in said
