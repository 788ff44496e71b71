"""Command lines that nobody means: options with values drawn from what breaks parsers, each in a process of its own."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from fedward.registry.entries import KINDS, catalogue
from tests.fuzz.forked import command
from tests.fuzz.table import Tried

SURFACE = "command lines"
WEIGHT = 0.02
SECONDS = 120.0  # on a busy machine; most take a tenth of a second
MEMORY = 3 << 30
NUMBERS = (
    *("0", "-1", "1", "2", "0.5", "nan", "inf", "-inf", "1e308", "1e-308", "1e-300", "1e400", "3.4e38", "0x10", "1_0"),
    *(str(2**31), str(2**63), str(2**64), "9" * 30, "9" * 5000, "1" * 400, "-0.0", "٣", "²", "", " ", "none", "true"),
)
TEXTS = (
    *("", " ", ".", "..", ":", "=", ">>", "(", ")", "|", ",", "[/x]", "[bold]", "~nosuchuser/x", "/dev/zero", "a.b.C"),
    *("../..", "x" * 5000, "(" * 300, "'", '"', "\\", "\t", "é", "\x1b[31m", "krum:f", "%s", "{}", "$(id)", "-", "--"),
)
OPTIONS = {
    "rule": "rule",
    "attack": "attack",
    "algorithm": "client",
    "partition": "partition",
    "server": "server",
}
PLAIN = (
    *("clients", "byzantine", "batch-size", "lr", "momentum", "weight-decay", "participation", "dropout", "confidence"),
    *("late", "batch-norm", "forge", "root", "evaluate-every", "seed", "device", "precision", "threads", "data-path"),
    *("f", "byzantine-data", "model", "data", "config", "out"),
)
"""Rounds are given: to do as many as one asks for is no fault."""


def component(draw: random.Random, kind: str) -> str:
    """A component as text, its parameters as they should not be."""
    entry = draw.choice(catalogue(kind))
    names = list(entry.arguments)
    chosen = draw.sample(names, min(len(names), draw.randrange(3)))
    given = [f"{name}={draw.choice((*NUMBERS, *TEXTS))}" for name in chosen]
    text = entry.name + (":" + ",".join(given) if given else "")
    match draw.randrange(8):
        case 0:
            return f"{text} >> {component(draw, draw.choice(KINDS))}"
        case 1:
            return draw.choice(TEXTS) + text
        case 2:
            return draw.choice(TEXTS)
    return text


def line(draw: random.Random) -> list[str]:
    """A command line."""
    words = ["--model", "linear", "--rounds", "1", "--data", "fashion-mnist-subset", "--clients", "6"]
    words += ["--byzantine", "1", "--batch-size", "2"]
    given = dict(zip(words[::2], words[1::2], strict=True))
    for _ in range(draw.randrange(1, 4)):
        if draw.random() < 0.5:
            option = draw.choice(list(OPTIONS))
            given[f"--{option}"] = component(draw, OPTIONS[option])
        else:
            given[f"--{draw.choice(PLAIN)}"] = draw.choice((*NUMBERS, *TEXTS))
    return [draw.choice(["run", "run", "run", "redteam"]), *(word for pair in given.items() for word in pair)]


def other(draw: random.Random) -> list[str]:
    """One of another command."""
    words = [draw.choice(["list", "report", "data", "show", "run", "demo", "x", ""]) for _ in range(2)]
    return [
        *words,
        *(draw.choice((*TEXTS, *NUMBERS, "--out", "--json", "-h", "--seed")) for _ in range(draw.randrange(3))),
    ]


def try_inputs(count: int, seed: int) -> Tried:
    """As many command lines, in a folder with nothing in it."""
    draw = random.Random(seed)
    tried = Tried()
    while tried.inputs < count:
        words = line(draw) if draw.random() < 0.8 else other(draw)
        if words[0] == "demo" or "local-sgd" in " ".join(words) or "siren-client" in " ".join(words):
            continue  # these train for as long as one asks them to
        if words[0] == "redteam" and "--rule" not in words:
            words += ["--rule", "mean"]
        tried.inputs += 1
        with tempfile.TemporaryDirectory() as folder:
            if words[0] == "redteam":
                words += ["--attack", "no-attack"] * ("--attack" not in words) + ["--warmup", "1", "--captured", "1"]
                words = [word for word in words if word != "--algorithm"]
            ended = command(words, Path(folder), seconds=SECONDS, memory=MEMORY)
        place = f"seed {seed}, input {tried.inputs}: {[word[:60] for word in words]}"
        if ended.late or ended.full:
            tried.hangs.append(f"{place}: {ended.seconds:.0f} s, {ended.bytes >> 20} MiB")
        elif ended.crashed:
            tried.crashes.append(f"{place}: {ended.status}: {ended.said[-300:]}")
        elif ended.status and not ended.said.strip():
            tried.silent.append(f"{place}: {ended.status}, and no word")
    return tried
