"""Files that their clients make as odd as they can, before and while they are read: a verdict, and the others go on."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save, save_file
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.core import BoundError, Plan, Reason
from fedward.stack import Files, RowsLostError, files, materialise, tensorfile
from fedward.stack.tensorfile import DTYPES, TensorFile
from tests.stack.library import library_has

N = 7


def state(k: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(k)
    return {
        "bn.running_mean": torch.randn(3, generator=generator),
        "w": torch.randn(40, 25, generator=generator),
        "half": torch.randn(30, generator=generator).half(),
        "z": torch.randn(9, generator=generator),
    }


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"client-{k}.safetensors" for k in range(N)]
    for k, place in enumerate(found):
        save_file(state(k), place)
    return found


# --- while they are read ------------------------------------------------------------------------------------


def truncate(place: Path) -> None:
    os.truncate(place, 200)


def empty(place: Path) -> None:
    os.truncate(place, 0)


def overwrite(place: Path) -> None:
    """With NaN, in the same length and with the time that it had."""
    before = place.stat()
    content = save({name: torch.full_like(t, torch.nan) for name, t in state(0).items()})
    with place.open("r+b") as file:
        file.write(content)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange(place: Path) -> None:
    """The file for another one of the same length."""
    beside = place.with_suffix(".new")
    save_file(state(99), beside)
    os.replace(beside, place)


def remove(place: Path) -> None:
    place.unlink()


CHANGES = [truncate, empty, overwrite, exchange]
RULES = [
    rules.Mean(),
    rules.Median(),
    rules.MultiKrum(f=1),
    mixers.NNM(f=1) >> rules.TrimmedMean(f=1),
    rules.SignGuard(),
]


@pytest.mark.parametrize("kept", [400, 0], ids=["open", "reopened"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_passes_is_a_verdict(
    places: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    rule: fw.Rule,
    kept: int,
) -> None:
    """The output is that of the others, to the last bit; and so is what the rule says of them."""
    monkeypatch.setattr(files, "_OPEN", kept)
    stack = Files(places, block=64)
    others = [place for k, place in enumerate(places) if k != 2]
    expected = fw.Aggregator(rule)(Files(others, block=64))
    execute = Plan.execute

    def meddled(plan: Plan) -> Tensor:
        if not stack.lost:
            change(places[2])
        return execute(plan)

    monkeypatch.setattr(Plan, "execute", meddled)
    found = fw.Aggregator(rule)(stack)
    assert torch.equal(found.output, expected.output)
    assert found.reasons[2] is Reason.MALFORMED
    assert not found.accepted[2]
    assert "changed while it was read" in found.details["client-2"]
    assert [*found.accepted.tolist()[:2], *found.accepted.tolist()[3:]] == expected.accepted.tolist()
    assert all(torch.equal(found.state_dict()[name], value) for name, value in expected.state_dict().items())


@pytest.mark.parametrize("change", [*CHANGES, remove])
def test_what_changes_before_the_first_pass_is_a_verdict(places: list[Path], change: Callable[[Path], None]) -> None:
    stack = Files(places)
    change(places[4])
    found = fw.Aggregator(rules.Median())(stack)
    assert [str(reason) for reason in found.reasons] == [*["accepted"] * 4, "malformed", *["accepted"] * 2]


def test_too_many_that_changed_are_a_round_that_is_not_decided(places: list[Path]) -> None:
    stack = Files(places)
    for place in places[:4]:
        truncate(place)
    with pytest.raises(BoundError, match="3 of 7 clients sent finite rows"):
        fw.Aggregator(rules.MultiKrum(f=2))(stack)


def test_whoever_reads_the_stack_is_told_once_and_reads_nan(places: list[Path]) -> None:
    stack = Files(places)
    truncate(places[1])
    with pytest.raises(RowsLostError, match=r"client-1\.safetensors: changed while the rows were read; leave"):
        materialise(stack)
    rows = materialise(stack)
    assert rows[1].isnan().all()
    assert rows[[0, 2, 3, 4, 5, 6]].isfinite().all()
    assert stack.lost == {"client-1": "its file changed while it was read"}


_MAPPED = """
import os, sys
import fedward as fw
from fedward import rules
from fedward.core import Plan
from fedward.stack import Files
execute = Plan.execute
def meddled(plan):
    os.truncate(sys.argv[1], 100)
    return execute(plan)
Plan.execute = meddled
print(fw.Aggregator(rules.Mean())(Files(sys.argv[1:])).table())
"""


def test_a_file_made_shorter_does_not_end_the_process(tmp_path: Path) -> None:
    """A mapped one would, by SIGBUS: the rows must be larger than a page for that."""
    found = [tmp_path / f"{k}.safetensors" for k in range(3)]
    for place in found:
        save_file({"w": torch.ones(300_000)}, place)
    run = subprocess.run([sys.executable, "-c", _MAPPED, *found], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "malformed" in run.stdout


# --- before ---------------------------------------------------------------------------------------------------


def header(entries: Any, data: bytes = b"", text: bytes | None = None) -> bytes:
    told = json.dumps(entries).encode() if text is None else text
    return len(told).to_bytes(8, "little") + told + data


def tensor(first: int, last: int, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


ZEROS = bytes(16)
TWICE = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}'
DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "short": b"\x01",
    "header beyond the file": (1 << 60).to_bytes(8, "little") + b"{}",
    "header beyond reason": (1 << 25).to_bytes(8, "little") + b" " * (1 << 25),
    "no json": header(None, text=b"{"),
    "no object": header([1]),
    "nested": header(None, text=b'{"w":' + b"[" * 100_000),
    "half a character": header(None, text=b'{"\\ud800": 1}'),
    "a name twice": header(None, ZEROS, TWICE),
    "a name twice within": header(None, ZEROS, TWICE.replace(b'"dtype"', b'"dtype":"F32","dtype"', 1)),
    "overlap": header({"a": tensor(0, 8), "b": tensor(4, 12)}, ZEROS[:12]),
    "hole": header({"a": tensor(0, 8), "b": tensor(12, 20)}, bytes(20)),
    "beyond the end": header({"a": tensor(0, 8)}, ZEROS[:7]),
    "more than it says": header({"a": tensor(0, 8)}, ZEROS[:9]),
    "another size": header({"a": tensor(0, 8, [3])}, ZEROS[:8]),
    "negative": header({"a": tensor(0, 8, [-2])}, ZEROS[:8]),
    "backwards": header({"a": tensor(8, 0)}, ZEROS[:8]),
    "huge shape": header({"a": tensor(0, 0, [0, 1 << 62, 1 << 62])}),
    "huge number": header(None, text=b'{"a":{"dtype":"F32","shape":[' + b"9" * 4000 + b'],"data_offsets":[0,8]}}'),
    "true shape": header({"a": tensor(0, 4, [True])}, ZEROS[:4]),
    "fraction": header({"a": tensor(0, 8, [2.0])}, ZEROS[:8]),
    "no shape": header({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, ZEROS[:8]),
    "unknown type": header({"a": tensor(0, 8, [2], "F33" * 50_000)}, ZEROS[:8]),
    "type that is a list": header({"a": tensor(0, 8, [2], ["F32"])}, ZEROS[:8]),
    "odd metadata": header({"__metadata__": {"a": 1}, "w": tensor(0, 8)}, ZEROS[:8]),
    "long name": header({"a" * 100_000: 1}),
    "terminal": header({"\x1b[31mred\n": 1}),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_are_verdicts_in_a_sentence(places: list[Path], content: bytes) -> None:
    places[3].write_bytes(content)
    found = fw.Aggregator(rules.Mean())(Files(places, on_bad="drop"))
    assert [reason is Reason.MALFORMED for reason in found.reasons] == [k == 3 for k in range(N)]
    told = found.details["client-3"]
    assert f"{places[3]} is damaged or no safetensors file" in told
    assert len(told) < 600
    assert told.isprintable()


@pytest.mark.parametrize("kind", ["FIFO", "device", "folder", "absent"])
def test_what_is_no_regular_file_is_a_verdict(places: list[Path], kind: str) -> None:
    place = places[0]
    place.unlink()
    if kind == "FIFO":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif kind == "folder":
        place.mkdir()
    found = fw.Aggregator(rules.Mean())(Files(places, on_bad="drop"))
    assert found.reasons[0] is Reason.MALFORMED
    assert str(place) in found.details["client-0"]


def test_names_that_differ_are_cut(places: list[Path]) -> None:
    save_file({f"{k}" * 50_000: torch.zeros(1) for k in range(3)}, places[5])
    found = fw.Aggregator(rules.Mean())(Files(places, on_bad="drop"))
    assert len(found.details["client-5"]) < 600
    with pytest.raises(ValueError, match="client-5") as error:
        Files(places)
    assert len(str(error.value)) < 1000


def test_more_files_than_a_process_may_open_are_no_fault_of_clients(places: list[Path]) -> None:
    expected = fw.Aggregator(rules.Median())(Files(places)).output
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    here = max(map(int, os.listdir("/proc/self/fd")))
    held = [os.open("/dev/null", os.O_RDONLY)]
    while held[-1] < here:  # none is free below
        held.append(os.open("/dev/null", os.O_RDONLY))
    here = max(held[-1], here)
    for spare in (3, 5, 2 * N):
        resource.setrlimit(resource.RLIMIT_NOFILE, (here + spare, before[1]))
        try:
            found = fw.Aggregator(rules.Median())(Files(places))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert found.accepted.all()
        assert torch.equal(found.output, expected)
    for handle in held:
        os.close(handle)


# --- as the package of the format reads them --------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.ENFILE])
@pytest.mark.parametrize("step", ["opened", "header", "read"])
def test_a_machine_without_room_is_no_fault_of_a_client(
    places: list[Path], monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    """It is an error, where a file that is not there or damaged is a verdict on its client."""

    def without_room(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "_OPEN", 0)  # opened for every piece
    stack = Files(places) if step == "read" else None
    target = (TensorFile, "_read_header") if step == "header" else (tensorfile, "open_regular")
    monkeypatch.setattr(*target, without_room)
    with pytest.raises(OSError, match=os.strerror(number)):
        materialise(stack or Files(places))


def test_tensors_are_those_that_the_package_reads(tmp_path: Path) -> None:
    """Of every type that it has, in order, empty ones and scalars too."""
    kinds = [kind for kind in DTYPES.values() if library_has(kind)]
    held = {f"{kind}-{k}": torch.arange(6).reshape(2, 3).to(kind) for k, kind in enumerate(kinds)}
    held |= {"scalar": torch.tensor(3.0), "empty": torch.zeros(0, 4), "also empty": torch.zeros(2, 0)}
    save_file(held, tmp_path / "all.safetensors")
    read = TensorFile(str(tmp_path / "all.safetensors"), keep=True)
    with safe_open(tmp_path / "all.safetensors", framework="pt") as opened:
        assert list(read.tensors) == list(opened.keys())  # the order of columns
        for name, meta in read.tensors.items():
            values = read.values(meta)
            assert values is not None
            expected = opened.get_tensor(name)
            assert (values.dtype, values.shape) == (expected.dtype, expected.shape)
            assert torch.equal(values.reshape(-1).view(torch.uint8), expected.reshape(-1).view(torch.uint8))
