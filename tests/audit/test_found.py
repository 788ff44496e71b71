"""Which files are clients: models of formats that are not read, hidden files, folders among files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from fedward.audit import find_clients
from fedward.cli.app import app

from .conftest import EXPECTED
from .test_formats import touch

BASED = ("--base", "base.safetensors")
ODD = {"id": "odd", "accepted": False, "reason": "malformed"}


def audited(*words: object) -> dict[str, dict[str, object]]:
    """Clients by name."""
    done = CliRunner().invoke(app, ["audit", *map(str, words), *BASED, "--json"])
    return {client["id"]: client for client in json.loads(done.stdout)["clients"]}


def notes(*words: object) -> list[str]:
    found: list[str] = json.loads(CliRunner().invoke(app, ["audit", *map(str, words), *BASED, "--json"]).stdout)[
        "notes"
    ]
    return found


def names(*arguments: object) -> list[str]:
    return [place.name for place in find_clients([str(argument) for argument in arguments]).places]


def ignored(*arguments: object) -> list[str]:
    return [path.name for path in find_clients([str(argument) for argument in arguments]).ignored]


@pytest.mark.parametrize("suffix", [".ckpt", ".CKPT", ".PT"])
def test_a_checkpoint_of_lightning_is_read_and_a_suffix_may_be_in_capitals(suffix: str, updates: Path) -> None:
    weights = load_file(updates / "client-0.safetensors")
    (updates / "client-0.safetensors").unlink()
    torch.save({"epoch": 3, "state_dict": weights, "optimizer_states": []}, updates / f"client-0{suffix}")
    assert {name: client["reason"] for name, client in audited(updates).items()} == EXPECTED


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".onnx", ".h5", ".keras", ".gguf"])
def test_a_model_of_a_format_that_is_not_read_is_a_verdict(suffix: str, updates: Path) -> None:
    (updates / f"odd{suffix}").write_bytes(b"whatever")
    found = audited(updates)
    assert {key: found["odd"][key] for key in ODD} == ODD
    assert f"has the suffix '{suffix}', which is none of" in str(found["odd"]["detail"])
    assert list(found)[:-1] == list(EXPECTED)
    assert not any("left out" in note for note in notes(updates))


def test_an_export_beside_a_model_of_the_same_name_is_no_client(updates: Path) -> None:
    (updates / "client-0.onnx").write_bytes(b"whatever")
    assert list(audited(updates)) == list(EXPECTED)
    assert "no models, and left out: client-0.onnx" in notes(updates)


def test_a_folder_of_one_client_may_hold_other_formats_as_well(tmp_path: Path) -> None:
    touch(*(tmp_path / "sites" / f"site-{k}" / "model.pt" for k in range(3)), tmp_path / "sites/site-1/model.onnx")
    touch(tmp_path / "sites" / "site-3" / "model.onnx", tmp_path / "alone" / "model.pt", tmp_path / "alone" / "run.pkl")
    found = find_clients([tmp_path / "sites"]).places
    assert [place.name for place in found] == ["site-0", "site-1", "site-2", "site-3"]
    # The reason of the last is then its suffix, and not that it holds nothing.
    assert [place.path.name for place in found] == ["model.pt", "model.pt", "model.pt", "model.onnx"]
    assert names(tmp_path / "alone") == ["alone"]
    assert ignored(tmp_path / "alone") == ["run.pkl"]
    assert names(tmp_path / "sites" / "site-3") == ["site-3"]


def test_several_models_none_of_which_is_read_are_several_clients(tmp_path: Path) -> None:
    touch(*(tmp_path / "all" / f"client-{k}.h5" for k in range(3)))
    assert names(tmp_path / "all") == ["client-0", "client-1", "client-2"]
    done = CliRunner().invoke(app, ["audit", "all"])
    assert done.exit_code == 2
    assert "no client's model can be read: client client-0: has the suffix '.h5', which is none of" in " ".join(
        done.output.split()
    )


def test_what_systems_leave_beside_files_is_no_client(updates: Path) -> None:
    (updates / "._client-0.safetensors").write_bytes(b"\0\5\26\7")
    (updates / ".DS_Store").write_bytes(b"")
    shutil.copy(updates / "client-1.safetensors", updates / ".hidden.safetensors")
    touch(updates / "__MACOSX" / "._client-0.safetensors", updates / ".cache" / "model.pt", updates / ".git" / "HEAD")
    assert list(audited(updates)) == list(EXPECTED)
    (note,) = [note for note in notes(updates) if "left out" in note]
    assert note == "no models, and left out: ._client-0.safetensors, .cache, .hidden.safetensors, __MACOSX"
    words = ["aggregate", str(updates), *BASED, "--rule", "median", "-o", "out.safetensors", "--json"]
    assert note in json.loads(CliRunner().invoke(app, words).stdout)["notes"]


def test_what_is_hidden_and_named_is_meant(tmp_path: Path) -> None:
    touch(
        tmp_path / "a" / ".hidden.pt", tmp_path / "a" / "b.pt", tmp_path / ".cache" / "c.pt", tmp_path / "__MACOSX/._d"
    )
    assert names(tmp_path / "a" / ".hidden.pt", tmp_path / "a" / "b.pt") == [".hidden", "b"]
    assert names(tmp_path / ".cache") == [".cache"]
    assert names(f"{tmp_path}/a/.*.pt") == [".hidden"]
    # As a shell hands it over for updates/*, which names all that is there.
    assert names(tmp_path / "a", tmp_path / "__MACOSX") == ["a"]
    assert ignored(tmp_path / "a", tmp_path / "__MACOSX") == [".hidden.pt", "__MACOSX"]
    assert names(f"{tmp_path}/*") == ["a"]


def test_a_hidden_file_beside_a_clients_only_model_does_not_make_it_two(tmp_path: Path) -> None:
    for folder in (tmp_path / "sites" / "one", tmp_path / "sites" / "two"):
        touch(folder / "model.pt", folder / "._model.pt", folder / "__MACOSX" / "._model.pt")
    touch(
        tmp_path / "sites" / "three" / "m.safetensors.index.json", tmp_path / "sites/three/._m.safetensors.index.json"
    )
    assert [place.path.name for place in find_clients([tmp_path / "sites"]).places] == ["model.pt", "three", "model.pt"]
    assert names(tmp_path / "sites" / "one") == ["one"]
    found = audited_detail("sites")
    assert "2 indices" not in found


def audited_detail(*words: str) -> str:
    return " ".join(CliRunner().invoke(app, ["audit", *words, "--raw"]).output.split())


def test_files_and_folders_come_in_the_natural_order_of_their_names(tmp_path: Path) -> None:
    touch(*(tmp_path / "all" / f"hospital-{k}.pt" for k in (2, 18)), tmp_path / "all" / "hospital-4" / "model.pt")
    assert names(tmp_path / "all") == ["hospital-2", "hospital-4", "hospital-18"]


def test_files_that_may_have_been_meant_are_named_first(updates: Path) -> None:
    for name in ("a.html", "b.json", "c.csv", "d.log", "e.txt", "f.txt", "weights.tar", "zoo.npy"):
        (updates / name).write_bytes(b"")
    (note,) = [note for note in notes(updates) if "left out" in note]
    assert note == "no models, and left out: weights.tar, zoo.npy, a.html, b.json, c.csv and 3 more"
