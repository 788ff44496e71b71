"""`Traits`: all that others must know of a component before it works.

A class declares them once, ``declared = Traits(history=True)``, and everybody else asks `Component.traits`, since some
depend on parameters. What is made of other components has the traits that `merged` makes of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

Draw = Literal["cyclic", "random"]
"""How the classes of a round are chosen: all in turn, or at random."""

Knowledge = Literal["honest", "all", "own"]
"""What rows an attack uses: those of the honest clients; those and the byzantine clients' own; only their own.

Where it is "honest", a simulation spares byzantine clients the work whose outcome nobody would look at.
"""

Reading = Literal["theorem", "definition"]
"""Which bound on n a rule holds to: that of its theorem, or what its formula itself needs (`Traits.definition`)."""

CLAIMS = frozenset(
    {"permutation", "translation", "scale", "columns", "rotation", "unanimity", "mean", "box", "breakdown"}
)
"""All that `Traits.properties` may hold."""


# Not keyword-only: `Bound(2, 3)` is read as its text, n >= 2f + 3.
@dataclass(frozen=True)
class Bound:
    """The fewest clients a rule works with, per_f * f + plus."""

    per_f: int = 0
    plus: int = 1

    def __str__(self) -> str:
        terms = []
        if self.per_f:
            terms.append("f" if self.per_f == 1 else f"{self.per_f}f")
        if self.plus or not terms:
            terms.append(str(self.plus))
        return "n >= " + " + ".join(terms)

    def minimum(self, f: int) -> int:
        """The fewest clients for this f, a number of them."""
        return self.per_f * f + self.plus

    def allowed(self, n: int) -> str:
        """What an error about too few clients adds: the largest f that n of them are enough for, if there is one."""
        return f" (f is at most {(n - self.plus) // self.per_f})" if self.per_f and n >= self.plus else ""


# --- how the traits of parts become that of the whole -------------------------------------------------------


def _first(values: Sequence[Any]) -> Any:
    return values[0]


def _union(values: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in values for name in names))


def _intersection(values: Sequence[frozenset[str]]) -> frozenset[str]:
    return frozenset.intersection(*values)


def _most(values: Sequence[int | None]) -> int | None:
    """The largest; None, which is without limit, if one is."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _joint(values: Sequence[Knowledge | None]) -> Knowledge | None:
    """What one knows who knows all of this."""
    known = {value for value in values if value is not None}
    if len(known) > 1:
        return "all"
    return next(iter(known), None)


def _said(values: Sequence[Any]) -> Any:
    """The first that is not None."""
    return next((value for value in values if value is not None), None)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What others must know of a component before it works.

    Attributes:
        history: whether it looks at earlier rounds: a rule's decisions, a mixer's matrix (`Context.previous`), an
            attack's memory.
        bound: of a rule, the fewest clients it works with. Of a rule made of rules it is about its own f alone: its
            parts have others, and are asked one by one (`Rule.check`).
        definition: of a rule with a theorem, the fewest clients that its formula itself needs, where these are fewer.
            Such a rule has a parameter ``bound: Reading``, which says which of the two is its bound.
        passes: of a rule, passes over the data at most: one for the statistics, one for the output. None where it
            grows with n.
        properties: of a rule, claims that `fedward.testing.check_rule` tries: permutation, translation, scale, columns,
            rotation, unanimity, mean (equal to Mean when f = 0), box (output within the range of each column),
            breakdown (colluders up to `Rule.withstands`, whatever they send, leave the output near the others). Where
            rows that differ tie in all that a rule looks at, as rows of signs alone do in their norms, the first ones
            count, whatever is claimed of permutations.
        in_memory: whether a rule looks at the rows themselves, so that all of them are copied into memory at once.
        root_data: whether a rule's decisions need the server's own data, through `Context.evaluator`.
        by_client: whether a rule or a mixer uses the clients' ids: memory per client, a client trusted by name, groups.
        server_rows: whether a rule's output holds something besides the clients' rows: a previous aggregate, noise.
        selects: whether a rule drops clients, by giving them no weight, so that it can stand as a filter before another
            rule: ``sign-guard >> median``.
        judges: whether a rule says of single clients whether they have a part in the output, if only by letting all of
            them have one. A plain function does not, so that nobody can tell whom it left out.
        recorded: names of a rule's scores that a run's records keep.
        recalls: whether a rule has rows of clients that are absent, too, so that its f is about all clients.
        starts: the first round that a rule decides by what it is, counted from 0, where it is switched on late.
        learns: how many rounds a rule must have seen before it decides by what it is; until then it leaves nobody out,
            or goes by less than it does later. 0 where it needs none.
        hears_alarms: whether a rule's decisions hang on alarms that clients raise (`fedward.clients.Siren`).
        diagonal: whether a mixer's matrix M is diagonal and at least 0.
        keeps_clients: whether row i of a mixer's M @ G still stands for client i.
        extra_passes: of a mixer, passes over the data besides those of the rule that follows.
        protocol: whether an attack changes what byzantine clients say, or when they take part.
        knows: what rows an attack uses; None for no rows at all.
        sends: of a client algorithm, what its rows are: a gradient g moves the model by -lr g, a delta by +lr delta.
            Every algorithm says it.
        talks: whether a client algorithm says anything besides its number of samples.
        by_class: how many classes, `Context.group`, a round has that clients answer for; 0 where rounds have none.
        draw: how these are chosen: "cyclic", all in turn, or "random"; None where rounds have none.
    """

    given: ClassVar[frozenset[str]] = frozenset()
    """Names of those that were said and not left to their default; all, of what `dataclasses.replace` has made."""

    # Each says how it is merged: from the values of the whole itself and of its parts to what the whole is taken for.
    history: bool = field(default=False, metadata={"merge": any})

    # Of rules.
    bound: Bound = field(default=Bound(), metadata={"merge": _first})
    definition: Bound | None = field(default=None, metadata={"merge": _first})
    passes: int | None = field(default=2, metadata={"merge": _most})
    properties: frozenset[str] = field(default=frozenset({"permutation", "scale"}), metadata={"merge": _intersection})
    in_memory: bool = field(default=False, metadata={"merge": any})
    root_data: bool = field(default=False, metadata={"merge": any})
    by_client: bool = field(default=False, metadata={"merge": any})
    server_rows: bool = field(default=False, metadata={"merge": any})
    selects: bool = field(default=False, metadata={"merge": all})
    judges: bool = field(default=True, metadata={"merge": all})
    recorded: tuple[str, ...] = field(default=(), metadata={"merge": _union})
    recalls: bool = field(default=False, metadata={"merge": any})
    starts: int = field(default=0, metadata={"merge": max})
    learns: int = field(default=0, metadata={"merge": max})
    hears_alarms: bool = field(default=False, metadata={"merge": any})

    # Of mixers.
    diagonal: bool = field(default=False, metadata={"merge": all})
    keeps_clients: bool = field(default=False, metadata={"merge": all})
    extra_passes: int = field(default=0, metadata={"merge": sum})

    # Of attacks.
    protocol: bool = field(default=False, metadata={"merge": any})
    knows: Knowledge | None = field(default="all", metadata={"merge": _joint})

    # Of client algorithms.
    sends: Literal["gradient", "delta"] | None = field(default=None, metadata={"merge": _said})
    talks: bool = field(default=False, metadata={"merge": any})
    by_class: int = field(default=0, metadata={"merge": max})
    draw: Draw | None = field(default=None, metadata={"merge": _said})

    def __new__(cls, **given: Any) -> Self:
        # A value cannot tell whether a default was meant or forgotten, and a subclass that forgets is refused.
        self = super().__new__(cls)
        object.__setattr__(self, "given", frozenset(given))
        return self

    def without(self, *claims: str) -> Traits:
        """The same without these claims among the properties."""
        return replace(self, properties=self.properties - {*claims})


MERGES: Mapping[str, Callable[[Sequence[Any]], Any]] = MappingProxyType(
    {trait.name: trait.metadata["merge"] for trait in fields(Traits)}
)
"""How each trait of parts becomes the whole's: from the values to the value."""

WHOLE = Traits(properties=CLAIMS, selects=True, diagonal=True, keeps_clients=True, knows=None)
"""What is made of other components adds nothing by itself: merged with the traits of parts, it changes none."""


def merged(own: Traits, *parts: Traits) -> Traits:
    """The traits of the whole, from what it declares itself and those of its parts."""
    every = (own, *parts)
    return Traits(**{name: merge([getattr(traits, name) for traits in every]) for name, merge in MERGES.items()})
