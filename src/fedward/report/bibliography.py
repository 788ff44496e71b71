"""BibTeX of what a sweep used: rules, mixers, attacks, client algorithms, by the papers that their entries name.

Only what this repository knows is written: surnames, titles, venues, years, arXiv ids. A paper of which it knows no
more than who and when is an entry that says so.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ..experiments.load import names_in_config
from ..registry.entries import Entry, name_of, registered
from ..registry.notation import parse
from .sweep_table import SweepData

_FILE = Path(__file__).with_name("papers.toml")
_KINDS = {"rule": "rule", "attack": "attack", "algorithm": "client"}
"""Keys of a run that are components, and their kinds."""


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What is known of a paper.

    Attributes:
        paper: who and when, as components name it.
        authors: surnames; "others" where not all are known.
        title, arxiv: empty where they are not known.
        venue, journal: where it came out, one of them at most.
        of: names of components, where several papers go by that name.
    """

    paper: str
    authors: tuple[str, ...] = ()
    title: str = ""
    venue: str = ""
    journal: str = ""
    arxiv: str = ""
    of: tuple[str, ...] = ()

    @property
    def year(self) -> str:
        """Of the four digits in its name; empty without."""
        return next(iter(re.findall(r"\b(?:19|20)\d\d\b", self.paper)), "")


@cache
def papers() -> tuple[Paper, ...]:
    """All papers of which more is known than who and when."""
    whole = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(
        Paper(**{**entry, "authors": tuple(entry["authors"]), "of": tuple(entry.get("of", ()))})
        for entry in whole["paper"]
    )


def paper_of(entry: Entry) -> Paper:
    """The paper that a component names."""
    for paper in papers():
        if paper.paper == entry.paper and (not paper.of or entry.name in paper.of):
            return paper
    return Paper(paper=entry.paper)


def used(configs: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The components of runs, those within others included, by name."""
    found: dict[str, Entry] = {}
    for key, kind in _KINDS.items():
        for text in dict.fromkeys(str(config[key]) for config in configs if config.get(key)):
            try:
                with names_in_config():  # a folder may be anybody's: nothing is imported because it is named there
                    made = parse(text, kind)
            except ValueError:  # of somebody else's module, or of a version that named it otherwise
                continue
            for name in _names(made):
                entry = registered(name)
                if entry is not None and entry.paper != "-":
                    found[name] = entry
    return [found[name] for name in sorted(found)]


def _names(component: Any) -> Iterator[str]:
    """The names of a component and of all that it holds."""
    if isinstance(component, list | tuple):
        for one in component:
            yield from _names(one)
    elif isinstance(component, Mapping):
        yield from _names(list(component.values()))
    elif is_dataclass(component) and not isinstance(component, type):
        name = name_of(component)  # type: ignore[arg-type]
        if name is not None:
            yield name
        for field in fields(component):
            yield from _names(getattr(component, field.name, None))


def bibtex(data: SweepData) -> str:
    """An entry for each paper that the rules, attacks and client algorithms of a sweep name, and one for fedward."""
    users: dict[Paper, list[str]] = {}
    for entry in used([row.config for row in data.rows]):
        users.setdefault(paper_of(entry), []).append(entry.name)
    # One paper that components name in two ways is one entry.
    merged: dict[str, tuple[Paper, list[str]]] = {}
    for paper, names in users.items():
        key = paper.title or paper.paper
        merged[key] = (paper, sorted({*merged.get(key, (paper, []))[1], *names}))
    taken: set[str] = set()
    parts = [_entry(paper, names, taken) for paper, names in sorted(merged.values(), key=lambda both: both[0].paper)]
    return "\n".join([*(parts or ["% No component of this sweep names a paper.\n"]), _itself()])


def _itself() -> str:
    """The entry of this package, as CITATION.cff has it, of the version that is installed."""
    about = metadata.metadata("fedward")
    urls = dict(line.split(", ", 1) for line in about.get_all("Project-URL", []))
    return (
        "% what ran it\n@misc{fedward,\n  author = {{The fedward developers}},\n"
        f"  title = {{{{fedward: {_tex(about['Summary'].rstrip('.'))}}}}},\n"
        f"  url = {{{urls['Source']}}},\n  note = {{Version {about['Version']}}},\n}}\n"
    )


def _entry(paper: Paper, names: Sequence[str], taken: set[str]) -> str:
    surname = paper.authors[0] if paper.authors else paper.paper.split(" ")[0]
    key = _key(f"{surname}{paper.year}", taken)
    known = {
        "author": " and ".join(map(_whole, paper.authors or _named(paper))),
        "title": paper.title and f"{{{paper.title}}}",
        "booktitle": paper.venue,
        "journal": paper.journal,
        "year": paper.year,
        "eprint": paper.arxiv,
        "archiveprefix": paper.arxiv and "arXiv",
        "note": "" if paper.title else f"{paper.paper}; no more is known here, complete it",
    }
    kind = "inproceedings" if paper.venue else "article" if paper.journal else "misc"
    lines = "".join(f"  {name} = {{{_tex(value)}}},\n" for name, value in known.items() if value)
    return f"% {', '.join(names)}\n@{kind}{{{key},\n{lines}}}\n"


def _named(paper: Paper) -> list[str]:
    """The authors as far as the name of a paper tells them: ``Sun et al. 2019``."""
    who = re.sub(r"\s*\b(?:19|20)\d\d\b.*$", "", paper.paper)
    listed = re.split(r"\s*(?:,|&)\s*", who.removesuffix(" et al."))
    return [*listed, *(["others"] if who.endswith(" et al.") else [])]


def _whole(surname: str) -> str:
    """A surname of several words is not a first name and a last one."""
    return f"{{{surname}}}" if " " in surname else surname


def _key(text: str, taken: set[str]) -> str:
    """A key of plain letters and digits that no other entry has."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^a-z0-9]", "", plain.lower())
    key = next(name for name in (stem, *(f"{stem}{letter}" for letter in "bcdefghij")) if name not in taken)
    taken.add(key)
    return key


def _tex(text: str) -> str:
    return re.sub(r"([&%$#_])", r"\\\1", text)
