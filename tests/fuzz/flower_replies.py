"""Replies of a Flower node, changed at random, among honest ones: nothing raises, and nobody else pays."""

from __future__ import annotations

import copy
import gc
import logging
import random
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, QFedAvg, Strategy

from fedward.flower import RobustFedAvg, Screened
from fedward.flower.model import SentModel
from fedward.flower.replies import screen
from fedward.flower.strategy import Robust
from fedward.flower.testing import InProcess
from tests.fuzz.table import Tried

SURFACE = "replies of Flower nodes"
WEIGHT = 5
SECONDS = 5.0  # for a round, which takes milliseconds
NODES = [9_000_000_000_000_000_000 + 7 * k for k in range(6)]
MODEL = {
    "a.weight": np.zeros((2, 3), np.float32),
    "a.running_mean": np.zeros(3, np.float32),
    "a.num_batches_tracked": np.array(7, np.int64),
    "b.bias": np.zeros(4, np.float64),
}
HONEST = {name: np.full_like(value, 1) for name, value in MODEL.items()}
COUNTER = "a.num_batches_tracked"
ODD: tuple[Any, ...] = (
    *(0, -1, 1, 2**63 - 1, -(2**63), 10**400, 1 << 53, 0.0, -0.0, 1e-320, 1e30, 1e153, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), [], [1], [1.0, float("nan")], [10**400], [0.5] * 1000),
)
TEXTS = ("", "x", "\0", "\n", "\ud800", "[/x]", "é" * 50, "x" * 100_000, "num-examples", "a.weight", "fedward-kept")

Change = Callable[[random.Random, RecordDict], None]


def honest(examples: int, lacking: str = "") -> RecordDict:
    """What a node sends that works, of a model that may lack an array."""
    metrics = MetricRecord({"num-examples": examples, "loss": 0.5, "train_loss": 0.5, "by-class": [0.1, 0.2]})
    arrays = ArrayRecord({name: Array(value) for name, value in HONEST.items() if name != lacking})
    return RecordDict({"arrays": arrays, "metrics": metrics})


def _arrays(content: RecordDict) -> ArrayRecord:
    return next(iter(content.array_records.values()))


def _metrics(content: RecordDict) -> MetricRecord:
    return next(iter(content.metric_records.values()))


def _one(draw: random.Random, content: RecordDict) -> tuple[ArrayRecord, str, Array]:
    record = _arrays(content)
    name = draw.choice(list(record))
    return record, name, record[name]


def values(draw: random.Random, content: RecordDict) -> None:
    """Other numbers of the right kind."""
    record, name, array = _one(draw, content)
    sent = np.array(array.numpy())
    with np.errstate(all="ignore"):
        number = draw.choice([v for v in ODD if isinstance(v, float)])
        sent.flat[draw.randrange(sent.size)] = number if sent.dtype.kind == "f" else draw.randrange(-(2**63), 2**63)
        record[name] = Array(sent if draw.random() < 0.5 else np.full_like(sent, sent.flat[0]))


def form(draw: random.Random, content: RecordDict) -> None:
    """Another type, shape or order of the entries."""
    record, name, array = _one(draw, content)
    sent = array.numpy()
    kinds = ("f2", "f4", "f8", ">f4", "i1", "i8", "?", "c8", "U3", "S3", "M8[s]", "V4", "O")
    shapes = ((0,), (), (1 << 10,), (*sent.shape, 1), sent.shape[::-1], (sent.size,))
    if draw.random() < 0.5:
        record[name] = Array(np.zeros(sent.shape, draw.choice(kinds[:-1])))
    else:
        record[name] = Array(np.asarray(np.zeros(draw.choice(shapes), sent.dtype), order=draw.choice("CF")))


def beside(draw: random.Random, content: RecordDict) -> None:
    """What is said of an array beside its bytes."""
    record, name, array = _one(draw, content)
    said: list[Any] = [array.dtype, tuple(array.shape), array.stype]
    place = draw.randrange(3)
    said[place] = draw.choice(TEXTS) if place != 1 else draw.choice([(), (0,), (-1,), (2**62,), (1,) * 100])
    record[name] = Array(said[0], said[1], said[2], array.data)


def bytes_(draw: random.Random, content: RecordDict) -> None:
    """The bytes: flipped, cut, made longer, given twice, or none."""
    record, name, array = _one(draw, content)
    data = bytearray(array.data)
    match draw.randrange(6):
        case 0:
            for _ in range(draw.randrange(1, 9)):
                data[draw.randrange(len(data))] = draw.randrange(256)
        case 1:
            del data[draw.randrange(len(data)) :]
        case 2:
            data += draw.randbytes(draw.randrange(1, 100))
        case 3:
            data += data
        case 4:
            data[:10] = draw.randbytes(10)
        case 5:
            data.clear()
    record[name] = Array(array.dtype, tuple(array.shape), array.stype, bytes(data))


def header(draw: random.Random, content: RecordDict) -> None:
    """The header of an array, with anything in it that its parser may stumble over."""
    record, name, array = _one(draw, content)
    shape = draw.choice(
        ["(1<<50,)", "()", "(-1,)", "(2**62, 2**62)", "(" * 2000, "(1.5,)", "(True,)", "'x'", "(3," * 50]
    )
    descr = draw.choice(["'<f4'", "'|O'", "'<f4\\0'", "[('a','<f4')]", "''", "'<f1024'", "('<f4', (2, 3))", "1"])
    order = draw.choice(["False", "True", "None", "__import__('os')"])
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if draw.random() < 0.2:
        text = draw.choice(["{}", "[" * 5000, "", "{'descr': 1}", "9" * 5000, "\n" * 100, "{" + "'a':{" * 500])
    version = draw.choice([(1, 0), (2, 0), (3, 0), (9, 9)])
    encoded = text.encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", draw.choice([len(encoded), 0, 60_000]) % 65_536)
    record[name] = Array(
        array.dtype, tuple(array.shape), array.stype, b"\x93NUMPY" + bytes(version) + size + encoded + array.data[-24:]
    )


def names(draw: random.Random, content: RecordDict) -> None:
    """Names of arrays: others, fewer, more, in another order."""
    record, name, array = _one(draw, content)
    match draw.randrange(4):
        case 0:
            record[draw.choice(TEXTS)] = record.pop(name)
        case 1:
            del record[name]
        case 2:
            record[draw.choice(TEXTS)] = array
        case 3:
            record[name] = record.pop(name)


def records(draw: random.Random, content: RecordDict) -> None:
    """Records: others, fewer, more, empty, under each other's names, in another order."""
    match draw.randrange(7):
        case 0:
            content[draw.choice(TEXTS)] = _arrays(content)
        case 1:
            content[draw.choice(TEXTS)] = _metrics(content)
        case 2:
            content[draw.choice(TEXTS)] = ConfigRecord({"a": draw.choice(TEXTS)})
        case 3:
            del content[draw.choice(list(content))]
        case 4:
            content["arrays"], content["metrics"] = _metrics(content), _arrays(content)
        case 5:
            content["arrays"] = content.pop("arrays")
        case 6:
            content[draw.choice(["arrays", "metrics"])] = draw.choice([ArrayRecord(), MetricRecord(), ConfigRecord()])


def metrics(draw: random.Random, content: RecordDict) -> None:
    """Metrics: other values and kinds, fewer, more."""
    record = _metrics(content)
    name = draw.choice(list(record))
    match draw.randrange(4):
        case 0 | 1:
            record[name] = draw.choice(ODD)
        case 2:
            del record[name]
        case 3:
            record[draw.choice(TEXTS)] = draw.choice(ODD)


def examples(draw: random.Random, content: RecordDict) -> None:
    """The number of examples, which replies may be weighed by."""
    _metrics(content)["num-examples"] = draw.choice(ODD)


CHANGES: tuple[Change, ...] = (values, form, beside, bytes_, header, names, records, metrics, examples)


def broken(draw: random.Random, request: Message, lacking: str = "") -> list[Message]:
    """What a node sends that lies or is broken: no reply, one or several."""
    content = honest(10, lacking)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        try:
            draw.choice(CHANGES)(draw, content)
        except Exception:
            continue  # Flower itself lets nobody make that
    reply = Message(content, reply_to=request)
    match draw.randrange(40):
        case 0:
            return [Message(Error(draw.choice([0, 1, 2**31]), draw.choice(TEXTS)), reply_to=request)]
        case 1:
            return [reply, reply]
        case 2:
            return []
    return [reply]


def strategies() -> dict[str, Callable[[], Strategy]]:
    """What hostile replies are sent to; each is made anew for a batch of rounds."""
    settings: dict[str, Any] = {"fraction_train": 1.0, "fraction_evaluate": 1.0, "min_available_nodes": len(NODES)}
    return {
        "screened FedAvg": lambda: Screened(FedAvg(**settings)),
        "screened FedAdam": lambda: Screened(FedAdam(**settings)),
        "screened FedAvgM": lambda: Screened(FedAvgM(server_momentum=0.5, **settings)),
        "screened QFedAvg": lambda: Screened(QFedAvg(client_learning_rate=0.1, **settings)),
        "median": lambda: RobustFedAvg(rule="median", **settings),
        "krum": lambda: RobustFedAvg(rule="krum:f=1", trust_examples=True, **settings),
        "sign-guard, robust statistics": lambda: RobustFedAvg(rule="sign-guard", batch_norm="robust", **settings),
        "mean by examples": lambda: RobustFedAvg(rule="mean:weighted=true", max_share=0.4, **settings),
        "screened median": lambda: Screened(RobustFedAvg(rule="median", **settings)),
        "median into FedAdam": lambda: Robust(FedAdam(**settings), rule="median"),
    }


def try_inputs(count: int, seed: int) -> Tried:
    """Replies to the screen that all strategies share, and of each batch one in a round of six nodes to a strategy."""
    draw = random.Random(seed)
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    tried = Tried()
    arrays = ArrayRecord({name: Array(value) for name, value in MODEL.items()})
    grid = InProcess(None, NODES)  # type: ignore[arg-type]
    plain = ArrayRecord({name: Array(value) for name, value in MODEL.items() if name != COUNTER})
    makers = strategies()
    model = SentModel(arrays)
    gc.freeze()  # QFedAvg collects garbage for every reply, in all that has been loaded
    try:
        while tried.inputs < count:
            name, make = draw.choice(list(makers.items()))
            strategy = make()
            # QFedAvg multiplies arrays by a number where they lie, which whole numbers do not take.
            lacking = COUNTER if "QFedAvg" in name else ""
            for number in range(1, 6):
                tried.inputs += 1
                sent = strategy.configure_train(number, plain if lacking else arrays, ConfigRecord(), grid)
                requests = {message.metadata.dst_node_id: message for message in sent}
                _round(tried, f"{name}, seed {seed}, input {tried.inputs}", strategy, requests, draw, lacking)
            for _ in range(min(95, count - tried.inputs)):
                tried.inputs += 1
                _screened(tried, f"the screen, seed {seed}, input {tried.inputs}", requests, model, draw)
    finally:
        gc.unfreeze()
        logger.setLevel(level)
    return tried


def _screened(tried: Tried, place: str, requests: dict[int, Message], model: SentModel, draw: random.Random) -> None:
    node = draw.choice(NODES)
    start = time.monotonic()
    try:
        sound, _ = screen(broken(draw, requests[node]), [node], model, draw.choice([None, "num-examples"]))
    except Exception as error:
        tried.crashes.append(f"{place}: {type(error).__name__}: {error}"[:300])
        return
    if time.monotonic() - start > SECONDS:
        tried.hangs.append(place)
    for reply in sound:
        shapes = [tuple(t.shape) for t in (*reply.tensors, *reply.buffers)]
        if shapes != [(2, 3), (4,), (3,)] or reply.tensors[0].dtype != torch.float32:
            tried.silent.append(f"{place}: {shapes}")


def _round(
    tried: Tried, place: str, strategy: Strategy, requests: dict[int, Message], draw: random.Random, lacking: str
) -> None:
    liar = draw.choice(NODES)
    replies = [Message(honest(10, lacking), reply_to=request) for node, request in requests.items() if node != liar]
    replies += copy.deepcopy(sent := broken(draw, requests[liar], lacking))  # QFedAvg empties what it is given
    draw.shuffle(replies)
    start = time.monotonic()
    try:
        made, said = strategy.aggregate_train(1, replies)
    except Exception as error:
        tried.crashes.append(f"{place}: {type(error).__name__}: {error}"[:300])
        return
    if time.monotonic() - start > SECONDS:
        tried.hangs.append(place)
    if lacking and made is None and any(map(_vast, sent)):
        return  # values are not judged by Flower's own, and QFedAvg squares them
    if wrong := _wrong(made, said, {name: value.shape for name, value in MODEL.items() if name != lacking}):
        tried.silent.append(f"{place}: {wrong}")


def _wrong(made: ArrayRecord | None, said: MetricRecord | None, shapes: dict[str, tuple[int, ...]]) -> str:
    """What is wrong with a round in which five of six nodes were honest and alike; empty if nothing is."""
    if made is None or said is None:
        return f"one node cost all others the round: {said}"[:300]
    found = {name: array.numpy() for name, array in made.items()}
    if {name: value.shape for name, value in found.items()} != shapes:
        return "a model of other arrays"
    if not all(np.isfinite(value).all() for value in found.values()):
        return "a model that is not finite"
    return ""


def _vast(reply: Message) -> bool:
    """Whether a reply has a number whose square, or tenfold, is none."""
    if not reply.has_content():
        return False
    for record in reply.content.array_records.values():
        for array in record.values():
            with suppress(Exception):
                if np.abs(array.numpy()).max(initial=0) > 1e18:
                    return True
    return False
