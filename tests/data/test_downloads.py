"""Data sets that are fetched, and everything that a server or a network may do instead."""

import dataclasses
import functools
import gzip
import http.server
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedward.data import known as data
from fedward.data.idx import FILES
from fedward.data.known import load_source
from fedward.data.sources import DataError, Source
from tests.data.idx_files import TRAIN_IMAGES, TRAIN_LABELS, contents, fill, pixels


@pytest.fixture
def served(tmp_path: Path, source: Source) -> Iterator[tuple[Source, Path]]:
    """The source with a server of its own, and the folder that it serves."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder = fill(tmp_path / "served", contents())
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield dataclasses.replace(source, base=f"http://127.0.0.1:{server.server_port}/"), folder
        server.shutdown()
        thread.join()


def cached(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "cache").rglob("*") if file.is_file())


def test_download_into_the_cache_and_once_only(tmp_path: Path, served: tuple[Source, Path]) -> None:
    source, folder = served
    with pytest.raises(DataError, match="downloading is switched off"):
        load_source(source, download=False)
    assert pixels(load_source(source)) == contents()[TRAIN_IMAGES][16:]
    assert cached(tmp_path) == sorted(f"{name}.gz" for name in FILES)
    for file in folder.iterdir():
        file.unlink()
    assert len(load_source(source).train) == 40


def test_recompressed_download_is_the_same_data(served: tuple[Source, Path]) -> None:
    source, folder = served
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(contents()[TRAIN_IMAGES], 1, mtime=12345))
    assert pixels(load_source(source)) == contents()[TRAIN_IMAGES][16:]


@pytest.mark.parametrize("damage", ["other content", "truncated", "error page"])
def test_corrupted_download_leaves_nothing(tmp_path: Path, served: tuple[Source, Path], damage: str) -> None:
    source, folder = served
    file = folder / f"{TRAIN_LABELS}.gz"
    good = file.read_bytes()
    bad = {
        "other content": gzip.compress(contents()[TRAIN_LABELS][:-1] + b"\7"),
        "truncated": good[:-3],
        "error page": b"<html>please log in</html>",
    }
    file.write_bytes(bad[damage])
    pattern = rf"{source.base}{TRAIN_LABELS}\.gz: .*not the published file.*{source.sha256[TRAIN_LABELS]}"
    with pytest.raises(DataError, match=pattern) as caught:
        load_source(source)
    assert "apt-get install tiny" in str(caught.value)
    assert cached(tmp_path) == [f"{TRAIN_IMAGES}.gz"]  # fetched before and good
    # The same folder is completed once the server is in order, and what is there is not fetched again.
    file.write_bytes(good)
    (folder / f"{TRAIN_IMAGES}.gz").unlink()
    assert len(load_source(source).train) == 40


@pytest.mark.parametrize("zipped", [True, False])
def test_endless_download_is_cut_off(
    tmp_path: Path, served: tuple[Source, Path], monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    """Neither what comes nor what it unpacks to may fill the disk or the memory."""
    source, folder = served
    source = dataclasses.replace(source, largest=2_000)
    monkeypatch.setattr("fedward.data.content.CHUNK", 500)
    endless = bytes(100_000)
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(endless) if zipped else endless)
    with pytest.raises(DataError, match=r": [\d,]+ bytes, [12],\d\d\d decompressed"):
        load_source(source)
    assert cached(tmp_path) == []


def assert_helpful(error: DataError, tmp_path: Path) -> None:
    text = str(error)
    assert "the download failed" in text
    assert "Run `apt-get install tiny`" in text
    assert all(f"{name}.gz" in text for name in FILES)
    assert all(place in text for place in (str(tmp_path / "cache/fedward/tiny"), "path=", "FEDWARD_DATA"))
    assert cached(tmp_path) == []


def test_server_down(tmp_path: Path, source: Source) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    source = dataclasses.replace(source, base=f"http://127.0.0.1:{port}")
    with pytest.raises(DataError, match=rf"127\.0\.0\.1:{port}/{TRAIN_IMAGES}\.gz: .*refused") as caught:
        load_source(source)
    assert_helpful(caught.value, tmp_path)


def test_file_missing_on_the_server(tmp_path: Path, served: tuple[Source, Path]) -> None:
    source, folder = served
    (folder / f"{TRAIN_IMAGES}.gz").unlink()
    with pytest.raises(DataError, match="404") as caught:
        load_source(source)
    assert_helpful(caught.value, tmp_path)


def test_silent_server_times_out(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedward.data.sources.TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        source = dataclasses.replace(source, base=f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(DataError, match="timed out") as caught:
            load_source(source)
    assert time.monotonic() - start < 60  # and not for ever
    assert_helpful(caught.value, tmp_path)


def test_unwritable_cache(tmp_path: Path, served: tuple[Source, Path]) -> None:
    source, _ = served
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"the download failed: .*cache"):
        load_source(source)


def test_offline_mnist_and_fashion_mnist_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in data.SOURCES[:2]:
        offline = dataclasses.replace(known, base="http://127.0.0.1:9/", system=())
        with pytest.raises(DataError, match="the download failed") as caught:
            load_source(offline)
        assert all(f"{name}.gz" in str(caught.value) for name in FILES)
        debian = "Run `apt-get install dataset-fashion-mnist`, or put the four files"
        assert (debian in str(caught.value)) == (known.name == "fashion-mnist")


def test_addresses_and_checksums_are_complete() -> None:
    for known in data.SOURCES[:2]:
        assert set(known.sha256) == set(FILES)
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in known.sha256.values())
        assert re.fullmatch(r"https://[\w./-]+/", known.base)
    assert len({digest for known in data.SOURCES[:2] for digest in known.sha256.values()}) == 8
