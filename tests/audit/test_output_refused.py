"""What `fedward aggregate` does not write: over what it reads, and where the next audit would take it for a client."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward import rules
from fedward.audit import AuditError, ModelSource, run_aggregate
from fedward.cli.app import app
from tests.audit.test_adapters import clients, write

BASED = ("--base", "base.safetensors", "--rule", "median")
LIES_AMONG = "lies among the clients, so that the next audit would take it for one: write it elsewhere"


def said(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["aggregate", *words])
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize("output", ["base.safetensors", "./updates/../base.safetensors", "link.safetensors"])
def test_the_base_is_not_written_over(output: str, updates: Path) -> None:
    Path("link.safetensors").symlink_to("base.safetensors")
    before = Path("base.safetensors").read_bytes()
    status, text = said(str(updates), *BASED, "-o", output)
    assert (status, "is the base: name another file to write" in text) == (2, True), text
    assert Path("base.safetensors").read_bytes() == before


def test_nor_by_those_who_call_it(updates: Path) -> None:
    """Whatever was named: the base in a folder of its own, and a copy of it among the clients."""
    Path("start").mkdir()
    shutil.copy("base.safetensors", "start/model.safetensors")
    shutil.copy("base.safetensors", "updates/model.safetensors")
    done = run_aggregate(ModelSource(clients=[updates], base="start/model.safetensors"), rules.Median())
    for output in ("start/model.safetensors", "updates/model.safetensors"):
        with pytest.raises(AuditError, match="is the base's: name another file to write"):
            done.save(Path(output))


@pytest.mark.parametrize(
    ("named", "output"),
    [
        ("updates", "updates/global.safetensors"),
        ("updates", "updates/new/global.safetensors"),
        ("updates/", "./updates/../updates/global.npz"),
        ("updates/client-*", "updates/client-new.safetensors"),
        (".", "global.safetensors"),
    ],
)
def test_an_aggregate_does_not_become_a_client(named: str, output: str, updates: Path) -> None:
    (updates / "new").mkdir()
    status, text = said(named, *BASED, "-o", output)
    assert (status, LIES_AMONG in text) == (2, True), text
    assert not Path(output).exists()


@pytest.mark.parametrize(
    ("named", "output"),
    [
        ("updates", "global.safetensors"),
        ("updates/client-*", "updates/global.safetensors"),
        ("updates/client-?.safetensors", "updates/client-new.safetensors"),
    ],
)
def test_elsewhere_it_is_written(named: str, output: str, updates: Path) -> None:
    status, text = said(named, *BASED, "-o", output)
    assert status == 3, text
    assert Path(output).is_file()


def test_an_adapter_is_not_named_like_a_file(tmp_path: Path) -> None:
    for name, layers in clients().items():
        write(tmp_path / "adapters" / name, layers)
    words = ("adapters", "--rule", "median", "--rank", "4")
    status, text = said(*words, "-o", "m.safetensors")
    assert (status, "an adapter is a folder, and m.safetensors is the name of a file: -o m" in text) == (2, True), text
    assert not Path("m.safetensors").exists()
    assert "lies among the clients" in said(*words, "-o", "adapters/merged")[1]
    assert said(*words, "-o", "m")[0] in (0, 3)
    assert json.loads(Path("m/adapter_config.json").read_text())["r"] == 4


def test_a_point_in_the_name_of_an_adapter_is_no_format(tmp_path: Path) -> None:
    for name, layers in clients().items():
        write(tmp_path / "adapters" / name, layers)
    words = ("adapters", "--rule", "median", "--rank", "4")
    assert said(*words, "-o", "llama-3.1-merged")[0] in (0, 3)
    assert json.loads(Path("llama-3.1-merged/adapter_config.json").read_text())["r"] == 4
    assert said("adapters", "--base", "llama-3.1-merged", "--rule", "median", "-o", "next.2")[0] in (0, 3)
    assert Path("next.2/adapter_config.json").is_file()


def test_what_is_not_there_is_said_and_not_that_the_output_has_another_format(tmp_path: Path) -> None:
    for name, layers in clients().items():
        write(tmp_path / "adapters" / name, layers)
    words = ("--rule", "median", "--rank", "4", "-o", "llama-3.1-merged")
    for named in (("adapters", "--base", "misspelt"), ("adapters", "--base", "median-of-client"), ("adapted",)):
        status, text = said(*named, *words)
        assert "the output is one of" not in text
        assert (status, f"{named[-1]}: " in text, "no such file" in text.lower()) == (2, True, True), text


def test_clients_that_cannot_be_read_have_no_say_in_what_is_written(tmp_path: Path) -> None:
    for name, layers in list(clients().items())[:3]:
        write(tmp_path / "adapters" / name, layers)
    for number in range(9):
        (tmp_path / "adapters" / f"broken-{number}.safetensors").write_text("no model", encoding="utf-8")
    words = ("adapters", "--rule", "mean", "--rank", "4")
    status, text = said(*words, "-o", "llama-3.1-merged")
    assert (status, "no model was sent by more than half of the clients" in text) == (2, True), text


@pytest.mark.parametrize("output", ["llama-3.1-merged", "model.onnx"])
def test_of_whole_models_it_is_one_before_any_work(output: str, updates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedward.audit.run.gather", lambda *_, **__: pytest.fail("it was read"))
    status, text = said(str(updates), *BASED, "-o", output)
    assert (status, f"{output}: the output is one of" in text) == (2, True), text
