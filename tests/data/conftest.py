"""Nothing of the user's own is read; a data set that lies nowhere."""

import hashlib
from pathlib import Path

import pytest

from fedward.data.sources import Source
from tests.data.idx_files import contents


@pytest.fixture(autouse=True)
def _nothing_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDWARD_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def source() -> Source:
    """A small data set on a server that does not exist."""
    return Source(
        name="tiny",
        base="http://127.0.0.1:9/never",
        install="apt-get install tiny",
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in contents().items()},
    )
