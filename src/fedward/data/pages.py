"""What the pages of a Parquet file say that they become, before anything unpacks them.

A page is a header, a structure in Thrift's compact protocol, and so many bytes. Arrow sets as much memory aside as a
header claims and unpacks whatever is there, so headers are looked at first.
"""

from __future__ import annotations

from typing import Any

from .content import room

_SIZE, _PACKED, _PLAIN_PAGE, _DICTIONARY, _SECOND_PAGE = 2, 3, 5, 7, 8  # fields of a page's header
_VALUES = 1  # of the header of its kind
_TRUE, _FALSE, _BYTE, _DOUBLE, _TEXT, _LIST, _SET, _STRUCTURE = 1, 2, 3, 7, 8, 9, 10, 12
_NUMBERS = (4, 5, 6)
_DEEPEST = 8

_Structure = dict[int, Any]


def check_pages(content: bytes | bytearray, metadata: Any) -> int:
    """The bytes of the largest page of a Parquet file, unpacked.

    Args:
        content: the file.
        metadata: what pyarrow read at its end.

    Raises:
        ValueError: pages become far more than the file is, or are none.
    """
    left, largest, pages = room(len(content)), 1, 0
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            place = chunk.data_page_offset
            if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < place:
                place = chunk.dictionary_page_offset
            seen = 0
            while seen < chunk.num_values:
                header, place = _structure(content, place)
                size, packed = header.get(_SIZE), header.get(_PACKED)
                if not (isinstance(size, int) and isinstance(packed, int) and size >= 0 and packed >= 0):
                    raise ValueError("a page without sizes")
                pages += 1
                left -= size
                largest = max(largest, size)
                if left < 0 or pages > len(content):
                    raise ValueError(f"its pages become far more than its {len(content):,} bytes")
                place += packed
                seen += _values(header)
    return largest


def _values(header: _Structure) -> int:
    if _DICTIONARY in header:
        return 0
    kind = header.get(_PLAIN_PAGE, header.get(_SECOND_PAGE))
    values = kind.get(_VALUES) if isinstance(kind, dict) else None
    if not isinstance(values, int) or values < 0:
        raise ValueError("a page without values")
    return values


def _structure(content: bytes | bytearray, place: int, deep: int = 0) -> tuple[_Structure, int]:
    """The fields of a structure by number, and where it ends."""
    if deep > _DEEPEST:
        raise ValueError("headers of pages nested too deeply")
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
            raise ValueError("a field twice in the header of a page")
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], place = _value(content, place, kind, deep)
    return fields, place + 1


def _value(content: bytes | bytearray, place: int, kind: int, deep: int) -> tuple[Any, int]:
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
        for _ in range(count):
            _, place = _value(content, place, head & 15, deep + 1)
        return None, place
    if kind == _STRUCTURE:
        return _structure(content, place, deep + 1)
    raise ValueError(f"a field of type {kind} in the header of a page")


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
            raise ValueError("a number of too many digits in the header of a page")


def _number(content: bytes | bytearray, place: int) -> tuple[int, int]:
    value, place = _varint(content, place)
    return (value >> 1) ^ -(value & 1), place
