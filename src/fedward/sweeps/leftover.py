"""Cells that lie in the folder of a sweep and are none of it any more: what is other about them, and what to do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..experiments.own_code import edited_since
from ..experiments.spec import RunSpec
from ..experiments.store import FolderError, RunFolder
from ..failures import tamed
from .key import NOT_PART
from .work import Planned

_SHOWN = 3
"""Values of a setting that are all told; of more, so many."""
_LONGEST = 60  # characters of one


def left_over_told(planned: Planned) -> list[str]:
    """A sentence for each reason for which cells of the folder are not in the table, most of them first."""
    here = {_comparable(head.config): cell.spec for cell, head in planned.cells}
    configs = [json.loads(text) for text in here]
    reason = partial(_reason, here=here, configs=configs)
    found = Counter(map(reason, planned.folder.left_over()))
    return [
        f"{'1 cell of this folder is' if count == 1 else f'{count} cells of this folder are'} kept, but not in the "
        f"table: {why}"
        for why, count in found.most_common()
    ]


def _reason(place: Path, *, here: Mapping[str, RunSpec], configs: list[dict[str, Any]]) -> str:
    """Why the cell in this folder is not in the table, and what to do about it, after how many cells that is so of."""
    out = "or name another folder with --out"
    try:
        head = RunFolder(place).read_head()
    except FolderError:
        return "what made it cannot be read; name another folder with --out to keep the tables apart"
    theirs = _comparable(head.config)
    if theirs in here:
        edited = edited_since(head.own, head.imported, here[theirs])
        if not edited:
            return (
                "of the same settings, made by another version of fedward or of other data; those of the table are "
                "made anew. To keep the tables apart name another folder with --out"
            )
        were = "was" if len(edited) == 1 else "were"
        return (
            f"made before {', '.join(map(tamed, edited))} {were} edited. Undo the edit, and what was made counts "
            f"again; to have both in one table put the edit into a file of its own, {out}"
        )
    others = _others(json.loads(theirs), configs)
    given = "give both values" if len(others) == 1 else "give both values of each"
    if not others:
        return f"their values do not come together in it. Give the settings that are missing, {out}"
    return f"made with {', '.join(others)}. To have both in one table {given}, {out}"


def _others(theirs: Mapping[str, Any], configs: list[dict[str, Any]]) -> list[str]:
    """The settings whose value no cell of the table has, each with those that they have."""
    told = []
    for key, value in theirs.items():
        mine = list(dict.fromkeys(_shown(config.get(key)) for config in configs))
        if _shown(value) not in mine:
            more = " ..." if len(mine) > _SHOWN else ""
            told.append(f"{tamed(key)} = {_shown(value)} (here {' and '.join(mine[:_SHOWN])}{more})")
    return told


def _shown(value: object) -> str:
    return tamed(value, _LONGEST)


def _comparable(config: Mapping[str, Any]) -> str:
    """A configuration as files hold it, without what a cell does not hang on."""
    kept = {key: value for key, value in config.items() if key not in NOT_PART}
    return json.dumps(kept, sort_keys=True, default=repr)
