"""What a run is: one validated, flat table, from a TOML file or the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..attacks import Attack
from ..clients import Client
from ..naming import unknown
from ..notation import describe, parse
from ..rule import Rule
from ..sim import MODELS, PARTITIONS, ServerSGD, Simulation, build_model, federate, load
from ..sim.data import names
from ..sim.partition import Partition

_LONGEST = 120  # characters of a file name; file systems take 255 bytes


class SpecError(ValueError):
    """A specification that cannot be run; says which key, why, and what is valid."""


class RunSpec(BaseModel):
    """One run. Defaults are the SignGuard paper's setting on Fashion-MNIST, under ALIE.

    lr, momentum and weight_decay are the server's: 0.1, 0.9 and 5e-4 where clients send gradients; where they send
    deltas 1, 0 and 0, which adds the aggregate to the model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    data: str = "fashion-mnist"
    data_path: str | None = None
    model: str = "signguard-cnn"
    clients: int = Field(50, ge=1)
    byzantine: int = Field(10, ge=0)
    rule: str = "sign-guard"
    attack: str = "alie"
    rounds: int = Field(1200, ge=1)
    batch_size: int = Field(60, ge=1)
    algorithm: str = "gradient"
    lr: float | None = Field(None, gt=0)
    momentum: float | None = Field(None, ge=0, lt=1)
    weight_decay: float | None = Field(None, ge=0)
    partition: str = "iid"
    byzantine_data: Literal["own", "all"] = "own"
    participation: float = Field(1.0, gt=0, le=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    late: float = Field(0.0, ge=0, lt=1)
    batch_norm: Literal["mean", "frozen"] = "mean"
    root: int = Field(100, ge=1)
    evaluate_every: int = Field(20, ge=1)
    seed: int = Field(0, ge=0)
    device: str = "cpu"

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        for key in values if isinstance(values, Mapping) else ():
            if key not in cls.model_fields:
                raise ValueError(unknown("key", key, cls.model_fields))
        return values

    @field_validator("rule", "attack", "algorithm", mode="before")
    @classmethod
    def _as_text(cls, value: Any, info: Any) -> Any:
        """A table is as good as text: it becomes text."""
        # Declared before; missing only if they are wrong themselves.
        known = {"f": info.data.get("byzantine", 0), "batch_size": info.data.get("batch_size", 1)}
        kind = "client" if info.field_name == "algorithm" else info.field_name
        return describe(parse(value, kind, **known)) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _parts_exist(self) -> RunSpec:
        if self.data not in names():
            raise ValueError(unknown("data set", self.data, names()))
        if self.model not in MODELS:
            raise ValueError(unknown("model", self.model, MODELS))
        if self.byzantine >= self.clients:
            raise ValueError(f"byzantine clients must be fewer than all {self.clients} clients, got {self.byzantine}")
        if self.dropout + self.late >= 1:
            raise ValueError(f"dropout and late together must stay below 1, got {self.dropout} and {self.late}")
        self.make_attack()
        self.make_partition()
        self.make_algorithm()
        self.make_rule().check(self.clients)
        return self

    def make_rule(self) -> Rule:
        """The rule; an f that is not given is the number of byzantine clients, as the papers have it."""
        rule: Rule = parse(self.rule, "rule", f=self.byzantine)
        return rule

    def make_attack(self) -> Attack:
        """The attack."""
        attack: Attack = parse(self.attack, "attack")
        return attack

    def make_algorithm(self) -> Client:
        """What clients compute; a batch_size that is not given is the specification's."""
        algorithm: Client = parse(self.algorithm, "client", batch_size=self.batch_size)
        return algorithm

    def make_server(self) -> ServerSGD:
        """The server's optimiser."""
        defaults = (1.0, 0.0, 0.0) if self.make_algorithm().sends == "delta" else (0.1, 0.9, 5e-4)
        given = (self.lr, self.momentum, self.weight_decay)
        lr, momentum, weight_decay = (d if g is None else g for g, d in zip(given, defaults, strict=True))
        return ServerSGD(lr=lr, momentum=momentum, weight_decay=weight_decay)

    def make_partition(self) -> Partition:
        """The partition, written like ``s-fraction:s=0.5``."""
        name, _, rest = self.partition.partition(":")
        if name not in PARTITIONS:
            raise ValueError(unknown("partition", name, PARTITIONS))
        try:
            arguments = {k: _number(v) for k, v in (item.split("=") for item in rest.split(",") if item)}
            return PARTITIONS[name](**arguments)
        except (TypeError, ValueError) as error:
            raise ValueError(f"partition {self.partition!r}: {error}; write it like s-fraction:s=0.5") from error

    def simulation(
        self, rule: Rule | None = None, attack: Attack | None = None, threads: int | None = None
    ) -> Simulation:
        """The simulation that this describes, data loaded; with another rule or attack if given."""
        all_holding = range(self.byzantine) if self.byzantine_data == "all" else ()
        dataset = load(self.data, self.data_path)
        data = federate(dataset, self.clients, self.make_partition(), self.seed, all_holding)
        return Simulation(
            model=lambda: build_model(self.model),
            data=data,
            rule=rule or self.make_rule(),
            attack=attack or self.make_attack(),
            byzantine=self.byzantine,
            clients=self.make_algorithm(),
            server=self.make_server(),
            participation=self.participation,
            dropout=self.dropout,
            late=self.late,
            batch_norm=self.batch_norm,
            root=self.root,
            seed=self.seed,
            device=self.device,
            threads=threads,
        )

    def resolved(self) -> dict[str, Any]:
        """All keys with their values; rule, attack and algorithm in full."""
        rule, attack, algorithm = map(describe, (self.make_rule(), self.make_attack(), self.make_algorithm()))
        parts = {"rule": rule, "attack": attack, "algorithm": algorithm}
        return {**self.model_dump(), **asdict(self.make_server()), **parts}

    def name(self) -> str:
        """A folder name that tells runs apart at a glance."""
        parts = [self.data, describe(self.make_rule()), describe(self.make_attack())]
        return file_name("__".join([*parts, f"seed{self.seed}"]))


def file_name(text: str) -> str:
    """Text as the name of a file: what files do not take becomes a hyphen, a long end a checksum."""
    name = "".join(c if c.isalnum() or c in "-_.=" else "-" for c in text)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 9]}-{crc32(text.encode()):08x}"


def make_spec(values: Mapping[str, Any]) -> RunSpec:
    """A specification from a table.

    Raises:
        SpecError: an unknown key (the message has the nearest valid one) or a value out of its bounds.
    """
    try:
        return RunSpec(**values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            where = ".".join(map(str, problem["loc"]))
            text = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {text}, got {problem['input']!r}" if where else text)
        raise SpecError("\n".join(lines)) from None


def load_spec(path: Path, **overrides: Any) -> RunSpec:
    """A specification from a TOML file, some keys overridden.

    Raises:
        SpecError: no such file, not TOML, or as `make_spec`.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}; give the path of a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not a TOML file: {error}") from None
    try:
        return make_spec({**values, **overrides})
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def _number(text: str) -> int | float:
    """Whole numbers stay whole: classes are counted."""
    return int(text) if text.strip().lstrip("+-").isdecimal() else float(text)
