"""Files that are read ahead give what files that are read block by block give, and a changed one is a verdict."""

from __future__ import annotations

import gc
import os
from itertools import count
from pathlib import Path
from weakref import WeakSet

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import fedward as fw
from fedward import rules
from fedward.core import Reason
from fedward.stack import Dense, Files, RowsLostError, ahead, filerows, loops_from, materialise
from tests.processes import until

N, D = 6, 20_000


def state(k: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(k)
    return {
        "w": torch.randn(D - 1_007, generator=generator).to(dtype),
        "a": torch.randn(1_000, generator=generator),
        "z": torch.randn(7, generator=generator),
    }


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 1,024 columns of 6 rows, for stacks of any size."""
    monkeypatch.setattr(ahead, "_LEAST", N * 4096)
    monkeypatch.setattr(ahead, "_PIECE", 1)
    monkeypatch.setattr(filerows, "_WORTH", 1)


@pytest.fixture(params=["cached", "direct"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(ahead, "_SHARE", 1.0 if request.param == "cached" else 0.0)
    return str(request.param)


def written(folder: Path, odd: int | None = None) -> list[Path]:
    """Files of which one, if any, lies otherwise: half precision, and text before its tensors."""
    places = [folder / f"{k}.safetensors" for k in range(N)]
    for k, place in enumerate(places):
        text = {"by": "x" * 5} if k == odd else None
        save_file(state(k, torch.bfloat16 if k == odd else torch.float32), place, metadata=text)
    return places


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("odd", [None, 3])
@pytest.mark.parametrize("block", [700, 1_024, 5_000])
def test_columns_are_the_same_to_the_bit(tmp_path: Path, way: str, block: int, odd: int | None) -> None:
    places = written(tmp_path, odd)
    stack = Files(places, block=block)
    rows = torch.stack([torch.cat([state(k)[name] for name in ("a", "w", "z")]) for k in range(N)])
    if odd is not None:
        rows[odd, 1_000:-7] = rows[odd, 1_000:-7].bfloat16().float()
    assert torch.equal(materialise(stack), rows)
    assert torch.equal(materialise(stack.take(torch.tensor([4, 1]))), rows[[4, 1]])
    assert torch.equal(stack.read(300, 310), rows[:, 300:310])  # out of order


@pytest.mark.usefixtures("small")
def test_windows_are_read_and_not_blocks(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Files(written(tmp_path), block=100)
    asked = []
    load = filerows.FileRow.load

    def counted(row: filerows.FileRow, *where: object) -> int | None:
        asked.append(where[1:3])
        return load(row, *where)  # type: ignore[arg-type]

    monkeypatch.setattr(filerows.FileRow, "load", counted)
    materialise(stack)
    assert len(asked) == N * -(-D // 1_024)
    assert set(asked) == {(start, min(start + 1_024, D)) for start in range(0, D, 1_024)}


@pytest.mark.usefixtures("small", "way")
@pytest.mark.parametrize("rule", [rules.Mean(), rules.Median(), rules.MultiKrum(f=1)], ids=repr)
def test_a_file_that_changes_is_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: fw.Rule) -> None:
    places = written(tmp_path)
    expected = fw.Aggregator(rule)(Files([*places[:2], *places[3:]], block=500))
    stack = Files(places, block=500)
    read = Files.read

    def meddled(files: Files, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        if start >= 5_000 and not stack.lost:
            os.truncate(places[2], 300)
        return read(files, start, stop, rows)

    monkeypatch.setattr(Files, "read", meddled)
    found = fw.Aggregator(rule)(stack)
    assert found.reasons[2] is Reason.MALFORMED
    assert torch.equal(found.output, expected.output)


@pytest.mark.usefixtures("small", "way")
def test_what_was_lost_is_told_once_and_is_nan(tmp_path: Path) -> None:
    places = written(tmp_path)
    stack = Files(places, block=500)
    os.truncate(places[5], 60_000)
    with pytest.raises(RowsLostError, match=r"5\.safetensors: changed"):
        materialise(stack)
    rows = materialise(stack)
    assert rows[5].isnan().all()
    assert rows[:5].isfinite().all()


@pytest.mark.usefixtures("small", "way")
def test_a_file_that_ends_in_the_middle_of_a_pass_is_told_there(tmp_path: Path) -> None:
    places = written(tmp_path)
    blocks = Files(places, block=500).blocks()
    next(blocks)
    os.truncate(places[2], 300)
    with pytest.raises(RowsLostError, match=r"2\.safetensors: changed"):  # and not at the end, by its times
        list(blocks)


@pytest.mark.usefixtures("small", "way")
def test_a_pass_that_is_given_up_costs_the_next_nothing(tmp_path: Path) -> None:
    stack = Files(written(tmp_path), block=500)
    blocks = stack.blocks()
    for _ in range(3):
        next(blocks)
    whole = materialise(stack)
    assert whole.isfinite().all()
    rest = [block.rows for block in blocks]  # nobody's pass any more, and still right
    assert torch.equal(torch.cat(rest, 1), whole[:, 1_500:])


@pytest.mark.usefixtures("small", "way")
@pytest.mark.parametrize("call", [0, 3, 7, 20, 40])
@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError("no room")], ids=repr)
def test_what_fails_in_a_reader_is_raised_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, error: Exception
) -> None:
    """Wherever in a pass it was: the next pass reads all, and no window is kept for the one that failed."""
    places = written(tmp_path)
    expected = materialise(Files(places))
    stack = Files(places, block=500)
    load, calls, windows = filerows.FileRow.load, count(), WeakSet[ahead._Window]()
    window = ahead._Window

    def failing(row: filerows.FileRow, *where: object) -> int | None:
        if next(calls) == call:
            raise error
        return load(row, *where)  # type: ignore[arg-type]

    def counted(*args: object, **named: object) -> ahead._Window:
        windows.add(made := window(*args, **named))  # type: ignore[arg-type]
        return made

    monkeypatch.setattr(filerows.FileRow, "load", failing)
    monkeypatch.setattr(ahead, "_Window", counted)
    with pytest.raises(type(error), match=str(error.args[-1])) as told:
        materialise(stack)
    told.value.with_traceback(None)
    del told
    until(lambda: gc.collect() >= 0 and not windows)  # a reader may still be at work
    assert torch.equal(materialise(stack), expected)


@pytest.mark.usefixtures("small")
def test_a_reader_that_cannot_be_started_ends_no_later_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = written(tmp_path)
    expected = materialise(Files(places))
    stack = Files(places, block=500)
    start, calls = ahead.Thread.start, count()

    def refused(thread: ahead.Thread) -> None:
        if next(calls) == 3:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(ahead.Thread, "start", refused)
    with pytest.raises(RuntimeError, match="can't start"):
        materialise(stack)
    assert torch.equal(materialise(stack), expected)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("rule", "passes"),
    [(rules.Mean(), 1), (rules.Median(), 1), (rules.TrimmedMean(f=1), 1), (rules.ClipMean(), 2), (rules.Krum(f=1), 2)],
    ids=repr,
)
def test_a_rule_that_looks_at_no_row_takes_one_pass(tmp_path: Path, rule: fw.Rule, passes: int, threads: int) -> None:
    places = written(tmp_path)
    stack = Files(places, block=500)
    rows = materialise(Files(places))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with loops_from(1 << 8):
            found = fw.Aggregator(rule)(stack)
            expected = fw.Aggregator(rule)(Dense(rows, block=500))
    finally:
        torch.set_num_threads(before)
    assert passes - 1 < stack.columns_read / D <= passes
    assert torch.equal(found.output, expected.output)
    assert found.accepted.tolist() == expected.accepted.tolist()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("rule", [rules.Mean(), rules.Median()], ids=repr)
def test_what_was_made_with_a_row_of_nan_is_made_again_without(tmp_path: Path, rule: fw.Rule) -> None:
    places = written(tmp_path)
    odd = state(1)
    odd["w"][5_000] = torch.nan
    save_file(odd, places[1])
    found = fw.Aggregator(rule)(Files(places, block=500))
    assert found.reasons[1] is Reason.NONFINITE
    expected = fw.Aggregator(rule)(Files([places[0], *places[2:]], block=500))
    assert torch.equal(found.output, expected.output)
