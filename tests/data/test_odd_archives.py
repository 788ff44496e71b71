"""Archives that Python's own readers stumble over, and labels that are none: a sentence."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from fedward.data.content import FormatError, members
from fedward.data.leaf import read_writers
from fedward.data.texts import read_texts


def zipped(**changed: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("folder/a", b"content")
    return out.getvalue()


CENTRE = zipped().index(b"PK\x01\x02")


def changed(place: int, *values: int) -> bytes:
    content = bytearray(zipped())
    content[CENTRE + place : CENTRE + place + len(values)] = bytes(values)
    return bytes(content)


ODD = {
    "encrypted": changed(8, 1, 0),
    "a name of no letters": changed(8, 0, 8)[: CENTRE + 46] + b"\xdc" + changed(8, 0, 8)[CENTRE + 47 :],
    "an empty name": changed(28, 0, 0, 8, 0),
}


@pytest.mark.parametrize("case", list(ODD))
def test_an_odd_archive_is_a_sentence(case: str, tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_bytes(ODD[case])
    with pytest.raises(FormatError, match="found a damaged one or none"):
        members(tmp_path / "archive.zip", ("a",))


def test_labels_in_labels_are_a_sentence(tmp_path: Path) -> None:
    files = {}
    for part, y in (("train", [[[1]], [[2]]]), ("test", [1, 2])):
        text = json.dumps({"user_data": {"u": {"x": [[0.5] * 784] * 2, "y": y}}})
        files[f"{part}/a.json"] = tmp_path / f"{part}.json"
        files[f"{part}/a.json"].write_text(text)
    with pytest.raises(FormatError, match="expected one label for each sample of user u"):
        read_writers(files)


@pytest.mark.parametrize("label", ["9" * 5000, "9" * 30, "²", "-1"])
def test_a_label_of_no_number_is_a_sentence(label: str, tmp_path: Path) -> None:
    files = {f"{part}.csv": tmp_path / f"{part}.csv" for part in ("train", "test")}
    for file in files.values():
        file.write_text(f"1,some words\n{label},more\n", encoding="utf-8")
    with pytest.raises(FormatError, match="found row 2"):
        read_texts(files)
