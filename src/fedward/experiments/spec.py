"""What a run is: one validated, flat table, from a TOML file or the command line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Literal
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..attacks import Attack
from ..clients import Client
from ..core import BoundError, Rule
from ..data.flwr_datasets import as_partition
from ..data.validation import held_out
from ..failures import MendableError, own_fault
from ..models import ANY_SAMPLES, check_model
from ..registry.entries import catalogue
from ..registry.naming import unknown
from ..registry.notation import describe, dotted, parse, recipe, table_as_text
from ..sim import Dataset, Partition, Server, Simulation, build_model, federate, load
from ..sim.cohort import byzantine_ids
from ..sim.running import Forge
from .devices import check_device
from .expected import Answers, Told, check_answers, clients_counted, clients_written, exceeded, needing_no_f, rule_for
from .servers import SERVER_KEYS, in_keys, server_of

_LONGEST = 160  # bytes of a file name; file systems take 255
_DIGITS = 9
_SAME_RUN = ("rounds", "evaluate_every", "data_path", "f", "confidence")
"""Keys that do not change what happens in a round. (Other data in another place are told apart by their checksum.)"""
_ONE_VALUE = "one value here; several make a grid, which `fedward run` and `fedward sweep` take"


class SpecError(MendableError, ValueError):
    """A specification that cannot be run; says which key, why, and what is valid."""

    asked = True


class RunSpec(BaseModel):
    """One run. Defaults are the SignGuard paper's setting on Fashion-MNIST, under ALIE.

    An f that the rule needs and is not given is the number of byzantine clients. Where only some of the clients answer
    in a round (participation, dropout), it is the number of byzantine answers that a round exceeds with a probability
    of 1 - ``confidence`` at most: the least f with P(X <= f) >= confidence, X hypergeometric. If the rule cannot take
    so many of the fewest answers that a round has, it is the most that it can take, but never less than an average
    round has: then the specification is refused. `warning` says how often f is exceeded. With ``f="unknown"`` nobody
    tells the rule, and one that needs f and is not given one is refused; with ``"half"`` and ``"twice"`` it is told of
    half as many byzantine clients (rounded down) or twice as many as there are.

    byzantine is how many clients are, the first ones, or which: (3, 4), in text ``3,4``.

    validation is a share of the training data that nobody trains on and that is tested on in place of the test set, to
    choose hyper-parameters by (`fedward.sweeps.tune`).

    lr, momentum and weight_decay are the server's, and may stand in its text as well: of sgd 0.1, 0.9 and 5e-4 where
    clients send gradients; where they send deltas 1, 0 and 0, which adds the aggregate to the model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    data: str = "fashion-mnist"
    data_path: str | None = None
    model: str = "signguard-cnn"
    clients: int = Field(50, ge=1, le=1_000_000)
    byzantine: int | tuple[int, ...] = 10
    participation: float = Field(1.0, gt=0, le=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    late: float = Field(0.0, ge=0, lt=1)
    f: Told = "expected"
    confidence: float = Field(0.99, gt=0, lt=1)
    rule: str = "sign-guard"  # after all that a table's f depends on
    attack: str = "alie"
    rounds: int = Field(1200, ge=1)
    batch_size: int = Field(60, ge=1)
    algorithm: str = "gradient"
    server: str = "sgd"
    lr: float | None = Field(None, gt=0)
    momentum: float | None = Field(None, ge=0, lt=1)
    weight_decay: float | None = Field(None, ge=0)
    partition: str = "iid"
    byzantine_data: Literal["own", "all"] = "own"
    batch_norm: Literal["mean", "robust", "frozen"] = "mean"
    forge: Forge = "rows"
    root: int = Field(100, ge=1)
    root_apart: bool = False
    validation: float = Field(0.0, ge=0, lt=1)
    evaluate_every: int = Field(20, ge=1)
    seed: int = Field(0, ge=0, lt=2**64)
    device: str = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        for key in values if isinstance(values, Mapping) else ():
            if key not in cls.model_fields:
                raise ValueError(unknown("key", key, cls.model_fields, "fedward run --help"))
        return values

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_for_a_number(cls, value: Any, info: Any) -> Any:
        """True is no 1, and a flag no text."""
        if isinstance(value, bool) and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("it is no flag: give a value")
        return value

    @field_validator("byzantine", mode="before")
    @classmethod
    def _clients_named(cls, value: Any) -> Any:
        """``3,4`` is two clients, ``3,`` one, and ``3`` the first three."""
        if not isinstance(value, str):
            return 0 if value in ([], ()) else value
        names = [name.strip() for name in value.strip().removesuffix(",").split(",")]
        if not all(name.isdecimal() for name in names):
            raise ValueError("byzantine clients are a number, the first so many, or named, such as 3,4")
        if any(len(name) > _DIGITS for name in names):
            raise ValueError(f"there are no clients of more than {_DIGITS} digits")
        return tuple(map(int, names)) if "," in value else int(value)

    @field_validator("data", "model", "partition", mode="before")
    @classmethod
    def _one_spelling(cls, value: Any) -> Any:
        """``my.module:load`` is ``my.module.load``: one run has one name."""
        return dotted(value) if isinstance(value, str) else value

    @field_validator("rule", "attack", "algorithm", "partition", "data", "model", "server", mode="before")
    @classmethod
    def _as_text(cls, value: Any, info: Any) -> Any:
        """A table is as good as text: it becomes text."""
        if not isinstance(value, Mapping):
            return value
        kind = {"algorithm": "client", "data": "data set"}.get(info.field_name, info.field_name)
        if kind in ("data set", "model", "server"):  # made later, of more than the table
            return table_as_text(value, kind, **ANY_SAMPLES)
        before = info.data  # what is declared before; missing only if it is wrong itself
        shares = ("clients", "byzantine", "participation", "dropout", "late", "confidence")
        if kind == "rule" and before.keys() >= {*shares, "f"}:
            given = {key: before[key] for key in shares}
            answers = Answers.of(**{**given, "byzantine": clients_counted(given["byzantine"])})
            return describe(rule_for(value, answers.told(before["f"]), known=before["f"] != "unknown"))
        f = clients_counted(before.get("byzantine", 0))
        return describe(parse(value, kind, f=f, batch_size=before.get("batch_size", 1)))

    @model_validator(mode="after")
    def _parts_exist(self) -> RunSpec:
        recipe(self.data, "data set")
        check_model(self.model)
        byzantine_ids(self.byzantine, self.clients)
        if self.dropout + self.late >= 1:
            raise ValueError(f"dropout and late together must stay below 1, got {self.dropout} and {self.late}")
        self.make_attack()
        self.make_server()
        self.make_partition()
        if self.make_algorithm().traits().by_class and self.late:
            raise ValueError(f"{self.algorithm} answers for the class of a round, so no answer can be late: late = 0")
        self._check_rule()
        check_device(self.device)
        return self

    def _check_rule(self) -> None:
        rule = self.make_rule()
        if self.make_algorithm().traits().by_class > 1:
            return  # how many rows such a round has is known with the data: `simulation` asks
        answers = self.answers
        rule.check_clients(answers.clients, answers.most)
        try:
            check_answers(rule, answers)
        except BoundError as error:
            if not answers.partial:
                raise
            raise ValueError(
                f"{error}: of {answers.clients} clients, {answers.byzantine} of them byzantine, no more than "
                f"{answers.fewest} are sure to answer in a round; let more of them take part, or give a smaller f "
                "and take it that it is exceeded"
            ) from None

    @property
    def answers(self) -> Answers:
        """How many clients answer in a round."""
        return Answers.of(
            clients=self.clients,
            byzantine=clients_counted(self.byzantine),
            participation=self.participation,
            dropout=self.dropout,
            late=self.late,
            confidence=self.confidence,
        )

    @property
    def warning(self) -> str:
        """What no rule, or not this one, can promise in this setting, in sentences; nothing where there is nothing."""
        said = (self._half_byzantine(), self._unheard(), exceeded(self.make_rule(), self.rule, self.answers))
        return " ".join(filter(None, said))

    def _half_byzantine(self) -> str:
        """That the byzantine clients are a majority, or as good as one."""
        answers = self.answers
        if 2 * answers.byzantine < answers.clients:
            return ""
        return (
            f"{answers.byzantine} of {answers.clients} clients are byzantine, which is half of them or more: only a "
            "rule that has data of the server's own can tell who is honest."
        )

    def _unheard(self) -> str:
        """That the rule waits for alarms, and no client raises any."""
        if not self.make_rule().traits().hears_alarms or self.make_algorithm().traits().talks:
            return ""
        return (
            f"{self.rule} decides by alarms that clients raise, and clients of {self.algorithm} raise none: everybody "
            "is accepted in every round. Take siren-client:inner=(local-sgd:steps=40) for the algorithm."
        )

    def make_rule(self) -> Rule:
        """The rule, with the f of this specification if it needs one and none is given."""
        return rule_for(self.rule, self.answers.told(self.f), known=self.f != "unknown")

    def make_attack(self) -> Attack:
        """The attack."""
        attack: Attack = parse(self.attack, "attack")
        return attack

    def make_algorithm(self) -> Client:
        """What clients compute; a batch_size that is not given is the specification's."""
        algorithm: Client = parse(self.algorithm, "client", batch_size=self.batch_size)
        return algorithm

    def make_server(self) -> Server:
        """The server's optimiser."""
        keys = {key: getattr(self, key) for key in SERVER_KEYS}
        return server_of(self.server, keys, deltas=self.make_algorithm().traits().sends == "delta")

    def make_partition(self) -> Partition:
        """The partition, written like ``s-fraction:s=0.5``."""
        made = parse(self.partition, "partition", num_partitions=self.clients, partition_by="label")
        partition: Partition = as_partition(made)
        return partition

    def simulation(
        self, rule: Rule | None = None, attack: Attack | None = None, threads: int | None = None
    ) -> Simulation:
        """The simulation that this describes, data loaded; with another rule or attack if given.

        Raises:
            DataError: data files are missing or damaged.
            SpecError: the data do not suffice for the partition or the clients, or classes have too few rows for the
                rule.
        """
        dataset = load(self.data, self.data_path)
        try:
            if self.validation:
                dataset = held_out(dataset, self.validation)
            return self._simulation(dataset, rule, attack, threads)
        except ValueError as error:  # a partition that these data cannot be dealt by
            raise SpecError(own_fault(error) or str(error)) from error

    def _simulation(
        self, dataset: Dataset, rule: Rule | None, attack: Attack | None, threads: int | None
    ) -> Simulation:
        all_holding = byzantine_ids(self.byzantine, self.clients) if self.byzantine_data == "all" else ()
        data = federate(
            dataset,
            self.clients,
            self.make_partition(),
            seed=self.seed,
            holding_all=all_holding,
        )
        return Simulation(
            model=partial(build_model, self.model),
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
            forge=self.forge,
            root=self.root,
            root_apart=self.root_apart,
            seed=self.seed,
            device=self.device,
            precision=self.precision,
            threads=threads,
        )

    def resolved(self) -> dict[str, Any]:
        """All keys with their values; rule, attack and algorithm in full."""
        parts = {
            "rule": describe(self.make_rule()),
            "attack": describe(self.make_attack()),
            "algorithm": describe(self.make_algorithm()),
        }
        if isinstance(self.byzantine, tuple):
            parts["byzantine"] = clients_written(self.byzantine)
        return {**self.model_dump(), **in_keys(self.make_server()), **parts}

    def name(self) -> str:
        """A folder name that tells runs apart at a glance: data, rule, attack, seed, and whatever is not the default.

        Runs that differ in `_SAME_RUN` alone share a folder: one resumes the other.
        """
        return file_name("__".join(self.told_apart(beside=_SAME_RUN).values()))

    def told_apart(self, *, beside: Collection[str]) -> dict[str, str]:
        """By key, what tells the run from others in a name; keys beside are left out."""
        config = self.resolved()
        usual = self._usual()
        always = {"data": self.data, "rule": config["rule"], "attack": config["attack"], "seed": f"seed{self.seed}"}
        others = {key: f"{key}={config[key]}" for key in config if key not in always and config[key] != usual[key]}
        return {key: text for key, text in (always | others).items() if key not in beside}

    def _usual(self) -> dict[str, Any]:
        """What the keys are if they are not given, beside this algorithm and this batch size."""
        defaults = {key: field.default for key, field in type(self).model_fields.items()}
        name = recipe(self.server, "server").entry.name
        plain = self.model_copy(update={**dict.fromkeys(SERVER_KEYS), "server": name})
        server = {**in_keys(plain.make_server()), "server": defaults["server"]}
        algorithm = describe(parse(defaults["algorithm"], "client", batch_size=self.batch_size))
        return {**defaults, **server, "algorithm": algorithm}


def each_rule(
    texts: Iterable[str], make: Callable[[str], RunSpec], f: int | None
) -> tuple[dict[str, RunSpec], dict[str, str]]:
    """A specification for each rule, and which of all rules cannot be used in this setting, and why.

    Args:
        texts: rules as text; "all" is every rule that comes with fedward.
        make: the specification for one.
        f: for those of all that need one; None where it is unknown.

    Raises:
        SpecError: a rule that was named cannot be used.
    """
    specs: dict[str, RunSpec] = {}
    refused: dict[str, str] = {}
    for text in texts:
        if text != "all":
            specs[text] = make(text)
            continue
        for entry in catalogue("rule", packaged=True):
            if entry.needs_f and f is None:
                refused[entry.name] = f"{entry.name} needs f, and f is unknown: {needing_no_f()}"
                continue
            rule = describe(entry.build(f=f) if entry.needs_f else entry.build())
            try:
                specs[rule] = make(rule)
            except SpecError as error:
                refused[rule] = str(error)
    return specs, refused


def file_name(text: str) -> str:
    """Text as the name of a file: what files do not take becomes a hyphen, a long end a checksum."""
    name = "".join(c if c.isalnum() or c in "-_.=" else "-" for c in text)
    if len(name.encode()) <= _LONGEST:
        return name
    checksum = crc32(text.encode(errors="surrogatepass"))
    return f"{name.encode()[: _LONGEST - 9].decode(errors='ignore')}-{checksum:08x}"


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
            listed = isinstance(problem["input"], list) and where in RunSpec.model_fields and where != "byzantine"
            text = _ONE_VALUE if listed else problem["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {text}, got {problem['input']!r}" if where else text)
        raise SpecError("\n".join(lines)) from None
