"""The checkpoint of a run on disk, which is its own: what another run has written is never replaced."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count
from logging import WARNING, getLogger
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAvg

from ..core import Aggregator
from ..sim.checkpoint import CheckpointError
from .resume import check_goes_on, check_not_there, check_place, is_marked, load_saved, restore, save

STOP_THE_OTHER = (
    "a run goes on after Ctrl-C on `flwr run --stream`: `flwr list` shows it, and `flwr stop RUN` ends it; or give "
    "this one files of its own (checkpoint=, audit=)"
)
"""What to do where another run has the files."""
_logger = getLogger("flwr")


class CheckpointFile:
    """Where a run is saved after every round, and resumed from.

    A lock keeps other processes away (`Hold`). Where there are no locks, or in the same process, this is what tells
    that another run has written meanwhile: a file that does not bear the mark of what was read or written last. A run
    that finds such a one in its place is saved under another name from then on, run-1.pt, and the log says so.

    Args:
        path: the file.
        fresh: whether to begin anew where there is one already.
    """

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self.path = path
        self._fresh = fresh
        self._mark: str | None = None
        """Of what is there, as far as is known; None of nothing, empty of a file of an earlier version."""

    def load(
        self, identity: Mapping[str, Any], settings: Mapping[str, Any], aggregator: Aggregator, strategy: FedAvg
    ) -> tuple[int, ArrayRecord | None]:
        """Take up what was saved; the round and its model, None where the run begins anew.

        Raises:
            CheckpointError: the file is damaged or of another run, or none can be written there.
        """
        if self._fresh or not self.path.exists():
            check_place(self.path)
            return 0, None
        saved = load_saved(self.path, identity, settings)
        aggregator.load_state_dict(saved.aggregator)
        restore(strategy, saved, self.path)
        self._mark = saved.mark
        return saved.round, saved.arrays

    def check_own(self) -> None:
        """Before a run.

        Raises:
            CheckpointError: somebody else has written there since this strategy did, or was made.
        """
        if self._mark is None and not self._fresh:
            check_not_there(self.path)
        if self._mark is not None and self._is_anothers():
            raise CheckpointError(
                f"{self.path} was written by another run since this strategy read or wrote it: make the strategy anew "
                "to go on from it, say fresh=True to replace it, or give this federation another place"
            )

    def check_model(self, kept: ArrayRecord | None, given: ArrayRecord) -> None:
        """Raise a ValueError if a run starts from another model than this one's."""
        check_goes_on(self.path, kept, given)

    def save(self, number: int, **content: Any) -> None:
        """Write a round down; see `resume.save` for the rest of what there is to it.

        Raises:
            OSError: it cannot be written.
        """
        if self._is_anothers():
            found, self.path = self.path, _free_beside(self.path)
            text = "%s is not as this run left it, so that another run may write there: from round %d on, this one is "
            text += "saved in %s; end one of them, or give each a checkpoint of its own"
            _logger.log(WARNING, text, found, number, self.path)
        self._mark = save(self.path, round=number, **content)

    def _is_anothers(self) -> bool:
        if self._mark == "" or (self._mark is None and self._fresh) or not os.path.lexists(self.path):
            return False
        return self._mark is None or not is_marked(self.path, self._mark)


def _free_beside(path: Path) -> Path:
    places = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(1))
    return next(place for place in places if not os.path.lexists(place))
