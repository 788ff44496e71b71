"""Files of fedward's own that somebody crafted: each reader answers in a sentence, soon and in little memory."""

from __future__ import annotations

import gzip
import json
import os
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fedward.data.content import FormatError, content_of
from fedward.disk import json_line
from fedward.failures import MendableError
from fedward.redteam.findings import load_examination
from fedward.report import load_run
from fedward.report.audits import load_audit
from fedward.sim.checkpoint import load_checkpoint, save_checkpoint
from tests.fuzz import audits, checkpoints, findings, run_folders

SECONDS = 4.0
BYTES = 64e6


def _record(folder: Path, content: bytes) -> None:
    (folder / "run.json").write_text(json.dumps(run_folders.HEAD))
    (folder / "records.jsonl").write_bytes(content)
    load_run(folder)


def _head(folder: Path, content: bytes) -> None:
    (folder / "run.json").write_bytes(content)
    (folder / "records.jsonl").write_text("".join(map(json_line, run_folders.ROUNDS)))
    load_run(folder)


def _audit(folder: Path, content: bytes) -> None:
    (folder / "audit.jsonl").write_bytes(content)
    load_audit(folder / "audit.jsonl")


def _findings(folder: Path, content: bytes) -> None:
    (folder / "krum.jsonl").write_bytes(content)
    load_examination(folder / "krum.jsonl")


READERS: dict[str, tuple[Callable[[Path, bytes], None], dict[str, Any]]] = {
    "records": (_record, run_folders.ROUNDS[0]),
    "head": (_head, run_folders.HEAD),
    "audit": (_audit, audits.ROUNDS[0]),
    "findings": (_findings, findings.LINES[0]),
}
ODD: dict[str, bytes] = {
    "nested": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000,
    "digits": b"9" * 400,
    "more digits": b"9" * 10_000,
    "half a character": b'"\\ud800"',
    "not a number": b"NaN",
    "infinite": b"Infinity",
    "negative": b"-5",
    "list": b"[]",
    "long": b'"' + b"x" * 1_000_000 + b'"',
}


def bounded(work: Callable[[], object]) -> str:
    """What a reader says, which must be soon and in little memory; empty if it takes the file."""
    tracemalloc.start()
    start = time.process_time()
    try:
        work()
        said = ""
    except (MendableError, FormatError) as error:
        said = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert time.process_time() - start < SECONDS
    assert peak < BYTES
    assert len(said) < 4000
    return said


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize(("read", "sound"), READERS.values(), ids=READERS)
def test_every_entry_may_be_anything(
    tmp_path: Path, read: Callable[[Path, bytes], None], sound: dict[str, Any], value: bytes
) -> None:
    said = [bounded(lambda: read(tmp_path, value + b"\n"))]
    for key in sound:
        # Set in by hand: Python's own writer refuses some of it.
        line = json.dumps({**sound, key: "HERE"}).encode().replace(b'"HERE"', value)
        said.append(bounded(lambda line=line: read(tmp_path, line + b"\n")))  # type: ignore[misc]
    assert all(text.startswith(str(tmp_path)) for text in said if text)
    assert any(said)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"round": float("inf")}, "round must be a whole number"),
        ({"round": -1}, r"round must lie in 1\.\.9007199254740992, got -1"),
        ({"round": 10**400}, "round must lie in"),
        ({"accepted": ""}, "accepted must hold one of"),
        ({"seconds": {"attack": -1}}, "seconds must be a number of seconds"),
        ({"accuracy": 10**400}, "accuracy must be a number that a float can hold"),
        ({"reasons": {"9" * 400: "far"}}, "whole numbers for names"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(tmp_path: Path, change: dict[str, Any], wrong: str) -> None:
    with pytest.raises(MendableError, match=wrong):
        _record(tmp_path, json.dumps({**run_folders.ROUNDS[0], **change}).encode() + b"\n")


def test_an_audit_without_a_node_is_none(tmp_path: Path) -> None:
    with pytest.raises(MendableError, match="no round of it has a node"):
        _audit(tmp_path, json_line({**audits.ROUNDS[0], "nodes": []}).encode())
    with pytest.raises(MendableError, match="is no audit of a federation"):
        _audit(tmp_path, json.dumps({**audits.ROUNDS[0], "round": float("inf")}).encode() + b"\n")


@pytest.mark.parametrize("kind", ["/dev/zero", "FIFO", "sparse"])
@pytest.mark.parametrize("name", ["run.json", "records.jsonl", "audit.jsonl", "krum.jsonl", "checkpoint.pt"])
def test_what_never_ends_is_not_read(tmp_path: Path, name: str, kind: str) -> None:
    _record(tmp_path, json_line(run_folders.ROUNDS[0]).encode())
    place = tmp_path / name
    place.unlink(missing_ok=True)
    if kind == "/dev/zero":
        place.symlink_to(kind)
    elif kind == "FIFO":
        os.mkfifo(place)
    else:
        with place.open("wb") as file:
            file.truncate(1 << 40)
    readers: dict[str, Callable[[Path], object]] = {
        "audit.jsonl": load_audit,
        "krum.jsonl": load_examination,
        "checkpoint.pt": lambda place: load_checkpoint(place, {}),
    }
    said = bounded(lambda: readers.get(name, lambda place: load_run(place.parent))(place))
    assert str(place) in said


def test_checkpoints_that_grow_are_refused(tmp_path: Path) -> None:
    """Containers that hold one another, tensors of one entry, archives that unpack to more than they have."""
    place = tmp_path / "checkpoint.pt"
    endless = {"format": 2, "identity": {"rule": checkpoints.bomb()}}
    spread = {"format": 2, "identity": {}, "row": torch.zeros(1).expand(1 << 40)}
    for held in (endless, spread):
        torch.save(held, place)
        assert "cannot be read as a checkpoint" in bounded(lambda: load_checkpoint(place, {}))
    save_checkpoint(place, {}, {"row": torch.zeros(10)})
    with zipfile.ZipFile(place) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for name, content in members.items():
            target.writestr(name, content if "data/0" not in name else bytes(50_000_000))
    assert "cannot be read as a checkpoint" in bounded(lambda: load_checkpoint(place, {}))


def test_a_gzip_bomb_is_cut_off(tmp_path: Path) -> None:
    bomb = tmp_path / "train.gz"
    with gzip.open(bomb, "wb", compresslevel=1) as file:
        for _ in range(100):
            file.write(bytes(1_000_000))
    assert "and more: a file may hold 10,000,000 bytes" in bounded(lambda: content_of(bomb, 10_000_000))
