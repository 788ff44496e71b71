"""An audit says when, by what and from which files it was made, so that it can be held against these."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import fedward as fw
from fedward.audit import ModelSource, made, run_audit
from fedward.cli import audits
from fedward.cli.app import app
from tests.audit.test_adapters import clients, write

BASED = ("--base", "base.safetensors")
NOON = datetime(2026, 5, 17, 12, 0, 3, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "now", lambda: NOON)


def run(*arguments: object) -> tuple[dict[str, Any], str]:
    done = CliRunner().invoke(app, [*map(str, arguments), "--json", "--report", "p.html"])
    assert done.exit_code in (0, 3), done.output
    return json.loads(done.stdout), Path("p.html").read_text()


@pytest.mark.parametrize("command", ["audit", "aggregate"])
def test_every_file_is_there_with_its_checksum(updates: Path, command: str) -> None:
    making = ("--rule", "median", "-o", "g.npz") if command == "aggregate" else ()
    found, page = run(command, "updates", *BASED, *making)
    files = found["made"]["files"]
    base, *sent = files
    assert base["client"] is None
    assert {each["client"]: Path(each["path"]).stem for each in sent} == {p.stem: p.stem for p in updates.iterdir()}
    for each in files:
        content = Path(each["path"]).read_bytes()
        assert os.path.isabs(each["path"])
        assert (each["bytes"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert each["sha256"] in page  # of the file that is cut off, too
    assert len(files) == 13


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "updates", *BASED, "--seed", "3", "--votes", "1", "--strict"],
        ["audit", "-x.safetensors", "updates", *BASED, "--key", "model", "--f", "1"],
        ["audit", "updates", "--raw", "--rule", "sign-guard", "--rule", "multi-krum:f=2", "--calibrate"],
        ["aggregate", "updates/*", *BASED, "--rule", "trimmed-mean:f=2", "-o", "g.npz", "--batch-norm", "mean"],
        ["aggregate", "updates", *BASED, "--rule", "trimmed-mean:f=2", "-o", "g.npz", "--calibrate"],
    ],
)
def test_the_command_that_is_told_does_the_same_once_more(updates: Path, words: list[str]) -> None:
    for bad in ("client-5.safetensors", "client-6.safetensors", "client-8.safetensors"):
        (updates / bad).unlink()  # --strict would refuse them
    (updates / "client-1.safetensors").rename("-x.safetensors")
    given = [word if word != "-x.safetensors" else "./-x.safetensors" for word in words]
    first, page = run(*given)
    again, _ = run(*shlex.split(first["made"]["command"])[1:])
    for told in (first, again):
        told.pop("output", None)
    assert again == first
    assert "<h2>How this was made</h2>" in page


def test_when_by_which_version_and_with_what_is_told(updates: Path) -> None:
    found, page = run("audit", "updates", *BASED, "--seed", "3", "--votes", "3")
    told = found["made"]
    assert (told["when"], told["fedward"]) == ("2026-05-17T12:00:03Z", fw.__version__)
    assert (told["seed"], told["votes"], told["f"], told["key"], told["raw"]) == (3, 3, None, None, False)
    assert told["folder"] == os.getcwd()
    made_of = page.split("<h2>How this was made</h2>")[1]
    assert "2026-05-17 12:00:03 UTC" in made_of
    assert page.index("<h2>How to read this</h2>") < page.index("<h2>Clients</h2>") < page.index("How this was made")
    assert run("audit", "updates", *BASED, "--seed", "3", "--votes", "3")[1] == page


def test_no_file_is_read_once_more_where_nobody_asks(updates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedward.audit.run.files_read", lambda *_: pytest.fail("files are read"))
    assert CliRunner().invoke(app, ["audit", "updates", *BASED]).exit_code == 3
    audit = run_audit(ModelSource(clients=["updates"], base="base.safetensors"))
    assert audit.made is not None
    assert audit.made.files == ()


def test_a_file_that_changes_before_its_checksum_is_a_verdict(updates: Path) -> None:
    """What is on record are the files that were judged, or their client is left out."""
    victim = updates / "client-0.safetensors"

    def spoil(done: int, of: int) -> None:
        if done == 0:
            victim.write_bytes(victim.read_bytes()[:-1] + b"\x01")

    source = ModelSource(clients=["updates"], base="base.safetensors")
    audit = run_audit(source, checksums=True, on_file=spoil)
    assert audit.reasons[0] == "malformed"
    assert audit.details["client-0"] == "its file was changed while it was read"
    assert audit.made is not None
    assert len(audit.made.files) == 13


def test_files_of_adapters_are_all_there_and_names_are_tamed(tmp_path: Path) -> None:
    for name, layers in clients().items():
        write(tmp_path / "adapters" / name.replace("client-0", "<b>a\x1b[1m"), layers)
    found, page = run("audit", "adapters", "--raw")
    files = [Path(each["path"]).name for each in found["made"]["files"]]
    assert files.count("adapter_config.json") == files.count("adapter_model.safetensors") == len(found["clients"])
    assert "\x1b" not in page
    assert "<b>a" not in page


def test_what_cannot_be_read_says_why(updates: Path) -> None:
    (updates / "gone.pt").symlink_to("nowhere")
    found, page = run("audit", "updates", *BASED)
    gone = next(each for each in found["made"]["files"] if each["client"] == "gone")
    assert (gone["bytes"], gone["sha256"], gone["why"]) == (None, "", "No such file or directory")
    assert "No such file or directory" in page.split("How this was made")[1]


def test_long_work_is_announced_and_long_checksums_are_told(updates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["audit", "updates", *BASED, "--json"]
    assert CliRunner().invoke(app, words).stderr == ""
    monkeypatch.setattr(audits, "_LONG", 1)
    monkeypatch.setattr(audits, "_PATIENCE", -1.0)
    told = CliRunner().invoke(app, words).stderr
    assert "10 clients of 102,976 entries each are being looked at" in told
    assert "checksums: 0 of 13 files" in told
