"""Files of updates: safetensors files as hostile clients may write them, read alone and in a stack."""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

import fedward as fw
from fedward import rules
from fedward.core import Reason
from fedward.stack import Files
from fedward.stack.entries import UnfitError
from fedward.stack.tensorfile import TensorFile
from tests.fuzz.mutations import attempt, damaged, in_time, odd
from tests.fuzz.run_folders import in_memory
from tests.fuzz.table import Tried

SURFACE = "files of updates"
WEIGHT = 27.0
_STACKED = 100  # of so many files one is aggregated with others

SOUND = {
    "bn.num_batches_tracked": torch.tensor(3),
    "bn.running_var": torch.ones(2),
    "half": torch.arange(4.0).bfloat16(),
    "w": torch.arange(6.0).reshape(2, 3),
}
CONTENT = safetensors.torch.save(SOUND, metadata={"tied": "w"})
_START = 8 + int.from_bytes(CONTENT[:8], "little")
_HEADER = json.loads(CONTENT[8:_START])
_STRICTER = ("no header", "is there twice", "half a character", "nested too deeply", "which cannot be read", "alone")
"""What is refused here though the package may read it."""


def try_inputs(count: int, seed: int) -> Tried:
    """So many files."""
    rng = random.Random(seed)
    tried = Tried()
    with tempfile.TemporaryDirectory(dir=in_memory()) as name:
        paths = [Path(name) / f"{k}.safetensors" for k in range(4)]
        for path in paths:
            path.write_bytes(CONTENT)
        expected = fw.Aggregator(rules.Median())(Files(paths)).output
        for number in range(count):
            content = _file(rng)
            paths[3].write_bytes(content)
            stacked = number % _STACKED == 0

            def work(content: bytes = content, stacked: bool = stacked) -> str | None:
                with in_time():
                    return _stacked(paths, expected) if stacked else _alone(paths[3], content)

            attempt(tried, f"seed {seed}, file {number}", work, ())
    return tried


def _file(rng: random.Random) -> bytes:
    way = rng.random()
    if way < 0.5:
        header = json.dumps(odd(rng, _HEADER)).encode()
    elif way < 0.8:
        header = damaged(rng, CONTENT[8:_START])
    else:
        return damaged(rng, CONTENT)
    size = len(header) if rng.random() < 0.95 else rng.choice((0, 1, 2**31, 2**63, 2**64 - 1, len(header) + 1))
    return size.to_bytes(8, "little") + header + CONTENT[_START:]


def _alone(path: Path, content: bytes) -> str | None:
    """What is wrong with what one file was read as, by what the package of the format makes of it."""
    try:
        file = TensorFile(str(path), keep=False)
    except UnfitError as error:
        if len(error.text) > 600:
            return f"{len(error.text):,} characters of error"
        if any(word in error.text for word in _STRICTER):
            return None
        theirs = _theirs(content)
        return None if theirs is None else f"refused ({error.text}), and the package reads {list(theirs)}"
    theirs = _theirs(content)
    if theirs is None:
        return f"taken, and the package refuses it: {content[:400]!r}"
    for name, tensor in theirs.items():
        ours = file.values(file.tensors[name])
        if ours is None or ours.dtype != tensor.dtype or ours.shape != tensor.shape:
            return f"{name} is read as {ours}, and by the package as {tensor}"
        if ours.numel() and bytes(ours.reshape(-1).view(torch.uint8)) != bytes(tensor.reshape(-1).view(torch.uint8)):
            return f"{name} is read as {ours}, and by the package as {tensor}"
    return None


def _theirs(content: bytes) -> dict[str, Any] | None:
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, KeyError, OverflowError, ValueError, TypeError, RuntimeError):
        return None


def _stacked(paths: list[Path], expected: torch.Tensor) -> str | None:
    """What is wrong with a stack of three sound files and the hostile one: the others must not be touched."""
    found = fw.Aggregator(rules.Median())(Files(paths, on_bad="drop"))
    if not found.accepted[:3].all():
        return f"an honest client is dropped: {found.table()}"
    if not found.output.isfinite().all():
        return "the output is not finite"
    if found.reasons[3] in (Reason.ACCEPTED, Reason.NONFINITE, Reason.MALFORMED, Reason.OVERFLOW):
        same = torch.equal(found.output, expected)
        return None if same else f"the median of three equal rows and another is {found.output}"
    return f"the reason is {found.reasons[3]}"
