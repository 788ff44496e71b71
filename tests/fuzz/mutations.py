"""What fuzzers of files share: damage to bytes and to JSON, and one attempt that is watched."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.fuzz.table import Tried

SECONDS = 5.0
"""What takes longer hangs: nothing that is tried here takes a hundredth of it."""
LONGEST = 4000
"""Characters that an error may have: a client must not fill anybody's log."""

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    -(2**63),
    2**53 + 1,
    2**64,
    10**400,
    1.5,
    -0.0,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    "x",
    "1",
    "-1",
    "nan",
    "\ud800",
    "\x1b[31m\n\x00",
    "<script>alert(1)</script>",
    "[/red]",
    "../../etc/passwd",
    "é" * 300,
    "x" * 20_000,
    [],
    {},
    [[]],
    [None],
    {"": {}},
    {"a": float("nan")},
    [1, "two", None, [3.0]],
    [[[[[[[[[[0]]]]]]]]]],
)
"""Values that stand where others are due."""

TOKENS: tuple[bytes, ...] = (
    b"null",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1",
    b"9" * 400,
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"]",
    b"}",
    b",",
    b":",
    b'"',
    b"\\ud800",
    b"\\u0000",
    b"\x00",
    b"\xff\xfe",
    b"\n",
    b"\r\n",
    b"\n\n",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
)


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Bytes with a few of them changed, gone, doubled or new."""
    held = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        place = rng.randrange(len(held) + 1)
        length = min(rng.choice((1, 1, 2, 4, 8, 64)), len(held) - place)
        way = rng.randrange(7)
        if way == 0 and place < len(held):
            held[place] ^= 1 << rng.randrange(8)
        elif way == 1 and place < len(held):
            held[place] = rng.randrange(256)
        elif way == 2:
            del held[place : place + length]
        elif way == 3:
            held[place:place] = held[place : place + length]
        elif way == 4:
            held[place:place] = rng.choice(TOKENS)
        elif way == 5:
            held[place : place + length] = rng.choice(TOKENS)[: max(length, 1)]
        elif rng.random() < 0.3:
            del held[place:]
    return bytes(held)


def odd(rng: random.Random, value: Any) -> Any:
    """A JSON value in which one thing somewhere is gone, doubled or another."""
    if rng.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return rng.choice(ODD)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        way = rng.random()
        if way < 0.15:
            return {name: each for name, each in value.items() if name != key}
        if way < 0.2:
            return {**value, rng.choice(("", "x", "\ud800", "-1", "1e9", "nan")): rng.choice(ODD)}
        return {**value, key: odd(rng, value[key])}
    place = rng.randrange(len(value))
    way = rng.random()
    if way < 0.15:
        return [*value[:place], *value[place + 1 :]]
    if way < 0.3:
        return [*value, value[place]]
    return [*value[:place], odd(rng, value[place]), *value[place + 1 :]]


def as_line(value: Any) -> bytes:
    """A JSON value as a line."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def hostile_lines(rng: random.Random, values: list[Any]) -> bytes:
    """A file of JSON lines, of which something is wrong: a value, the order of lines, or bytes."""
    held = list(values)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(held))
        held[place] = odd(rng, held[place])
    if rng.random() < 0.1:
        rng.shuffle(held)
    content = b"".join(map(as_line, held))
    return damaged(rng, content) if rng.random() < 0.4 else content


@contextmanager
def in_time(seconds: float = SECONDS) -> Iterator[None]:
    """`TimeoutError` where what is within takes longer, even if it would take for ever."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(
    tried: Tried,
    what: str,
    work: Callable[[], str | None],
    refusals: tuple[type[Exception], ...],
    seconds: float = SECONDS,
) -> bool:
    """One input: what reads it refuses it in a sentence, or says of what it took whether that is sound.

    Args:
        tried: is told.
        what: how to get this input again.
        work: reads the input; returns what is wrong with what was taken for sound, None if nothing is.
        refusals: errors that are sentences.
        seconds: after which it hangs.

    Returns:
        Whether it was taken.
    """
    tried.inputs += 1
    start = time.monotonic()
    try:
        wrong = work()
    except refusals as error:
        text = str(error)
        if len(text) > LONGEST:
            tried.silent.append(f"{what}: an error of {len(text):,} characters: {text[:200]!r}")
        taken = False
    except TimeoutError:
        tried.hangs.append(what)
        return False
    except Exception as error:
        tried.crashes.append(f"{what}: {type(error).__name__}: {str(error)[:200]}{_where(error)}")
        taken = False
    else:
        if wrong:
            tried.silent.append(f"{what}: {wrong}")
        taken = True
    if time.monotonic() - start > seconds:
        tried.hangs.append(what)
    return taken


def _where(error: Exception) -> str:
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    return "" if frame is None else f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})"
