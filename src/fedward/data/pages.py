"""What the pages of a Parquet file say that they become, before anything unpacks them.

At the end of a file stands where its pages are; a page is a header and so many bytes. These are structures in Thrift's
compact protocol. Arrow sets as much memory aside as a header claims, and what it tells of the end of a damaged file may
abort the process, so both are looked at here first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from .content import room

_MAGIC = b"PAR1"
_GROUPS, _COLUMNS, _CHUNK = 4, 1, 3  # fields of the file, of a group of rows, of a column in it
_COUNT, _FIRST_PAGE, _FIRST_WORDS = 5, 9, 11  # of what is said of that column
_SIZE, _PACKED, _PLAIN_PAGE, _DICTIONARY, _SECOND_PAGE = 2, 3, 5, 7, 8  # of a page's header
_VALUES = 1  # of the header of its kind
_TRUE, _FALSE, _BYTE, _DOUBLE, _TEXT, _LIST, _SET, _STRUCTURE = 1, 2, 3, 7, 8, 9, 10, 12
_NUMBERS = (4, 5, 6)
_DEEPEST = 16

_Structure = dict[int, Any]


def check_pages(content: bytes | bytearray) -> int:
    """The bytes of the largest page of a Parquet file, unpacked.

    Raises:
        ValueError: pages become far more than the file is, or are none.
    """
    left, largest, pages = room(len(content)), 1, 0
    for count, place in _columns(content):
        seen = 0
        while seen < count:
            header, place = _structure(content, place)
            size, packed = _whole(header, _SIZE), _whole(header, _PACKED)
            pages += 1
            left -= size
            largest = max(largest, size)
            if left < 0 or pages > len(content):
                raise ValueError(f"its pages become far more than its {len(content):,} bytes")
            place += packed
            seen += _values(header)
    return largest


def _columns(content: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Of each column of each group of rows, how many values it has, and where its first page is."""
    if len(content) < 12 or content[-4:] != _MAGIC:
        raise ValueError("it does not end as Parquet files do")
    [size] = struct.unpack("<I", content[-8:-4])
    if size > len(content) - 12:
        raise ValueError("its end is longer than it is")
    end, _ = _structure(content, len(content) - 8 - size)
    for group in _structures(end, _GROUPS):
        for column in _structures(group, _COLUMNS):
            chunk = column.get(_CHUNK)
            if not isinstance(chunk, dict):
                raise ValueError("a column of which nothing is said")
            place = _whole(chunk, _FIRST_PAGE)
            words = _whole(chunk, _FIRST_WORDS) if _FIRST_WORDS in chunk else 0
            yield _whole(chunk, _COUNT), words if 0 < words < place else place


def _structures(fields: _Structure, number: int) -> list[_Structure]:
    found = fields.get(number, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("a field that is no list")
    return found


def _whole(fields: _Structure, number: int) -> int:
    value = fields.get(number)
    if type(value) is not int or value < 0:
        raise ValueError("a number that is none")
    return value


def _values(header: _Structure) -> int:
    if _DICTIONARY in header:
        return 0
    kind = header.get(_PLAIN_PAGE, header.get(_SECOND_PAGE))
    return _whole(kind if isinstance(kind, dict) else {}, _VALUES)


def _structure(content: bytes | bytearray, place: int, deep: int = 0) -> tuple[_Structure, int]:
    """The fields of a structure by number, and where it ends."""
    if deep > _DEEPEST:
        raise ValueError("structures nested too deeply")
    fields: _Structure = {}
    number = 0
    while (head := _byte(content, place)) != 0:
        place += 1
        step, kind = head >> 4, head & 15
        if step:
            number += step
        else:
            number, place = _number(content, place)
        if number in fields:  # which of two Arrow would take is not for us to know
            raise ValueError("a field twice")
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], place = _value(content, place, kind, deep)
    return fields, place + 1


def _value(content: bytes | bytearray, place: int, kind: int, deep: int) -> tuple[Any, int]:
    """A value of a kind, of text none, and where it ends."""
    if kind in _NUMBERS:
        return _number(content, place)
    if kind in (_TRUE, _FALSE, _BYTE):  # in lists, flags take a byte
        return _byte(content, place), place + 1
    if kind == _DOUBLE:
        return _byte(content, place + 7), place + 8
    if kind == _TEXT:
        size, place = _varint(content, place)
        return None, place + size
    if kind in (_LIST, _SET):
        head = _byte(content, place)
        count, place = (head >> 4, place + 1) if head >> 4 < 15 else _varint(content, place + 1)
        values = []
        for _ in range(count):
            value, place = _value(content, place, head & 15, deep + 1)
            values.append(value)
        return values, place
    if kind == _STRUCTURE:
        return _structure(content, place, deep + 1)
    raise ValueError(f"a field of type {kind}")


def _byte(content: bytes | bytearray, place: int) -> int:
    if not 0 <= place < len(content):
        raise ValueError("a page beyond the end")
    return content[place]


def _varint(content: bytes | bytearray, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = _byte(content, place)
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number of too many digits")


def _number(content: bytes | bytearray, place: int) -> tuple[int, int]:
    value, place = _varint(content, place)
    return (value >> 1) ^ -(value & 1), place
