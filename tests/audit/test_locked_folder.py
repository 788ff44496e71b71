"""A client's folder that nobody may look into is a verdict on that client, as a file that nobody may read is."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_commands import invoke


def test_a_folder_that_cannot_be_listed(updates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (updates / "locked").mkdir()
    listed = Path.iterdir

    def iterdir(self: Path) -> Iterator[Path]:
        if self.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)  # whoever runs the tests may be allowed everything
    status, text = invoke("audit", updates, "--base", "base.safetensors", "--json")
    assert status == 3, text
    [found] = (client for client in json.loads(text)["clients"] if client["id"] == "locked")
    assert (found["reason"], found["detail"]) == ("malformed", "cannot be read: Permission denied")


@pytest.mark.parametrize("command", [("audit",), ("aggregate", "--rule", "mean", "-o", "x.pt")])
def test_a_seed_below_0(updates: Path, command: tuple[str, ...]) -> None:
    status, text = invoke(*command, updates, "--base", "base.safetensors", "--seed", "-1")
    assert status == 2
    assert "--seed" in text
    assert "ValueError" not in text
