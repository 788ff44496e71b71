"""What a stranger wrote is repeated so that all of it can be seen: one sanitiser says what cannot be."""

from __future__ import annotations

from itertools import chain

import pytest

from fedward.failures import as_seen, tamed

# DerivedCoreProperties.txt of Unicode 16, Default_Ignorable_Code_Point.
IGNORABLE = [
    *[(0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)],
    *[(0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)],
    *[(0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)],
]
BLANK = "\u2800\U0001d159\U00016fe4\U00013441\U00013442"
SIGNS = [chr(k) for k in chain.from_iterable(range(first, last + 1) for first, last in IGNORABLE)] + list(BLANK)


def test_of_what_cannot_be_seen_the_code_is_shown() -> None:
    for sign in SIGNS:
        told = tamed(f"a{sign}b")
        assert told == f"a{sign.encode('unicode_escape').decode()}b"
        assert tamed(told) == told


def test_what_can_be_seen_stays() -> None:
    text = "Universit\u00e4tsklinikum \u6771\u4eac \u0434\u043e\u043c \u05d1\u05d9\u05ea \u0e01\u0e34\u0301 \U0001f3e5"
    assert tamed(text) == text
    assert as_seen(text) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("clinic-a\ufe0f", "clinic-a"),
        ("cli\u200bnic", "clinic"),
        ("\u845b\U000e0100\u57ce", "\u845b\u57ce"),
        ("clinic\u2800a", "clinic a"),
        ("  a\t\n b\xa0", "a b"),
        ("cafe\u034f\u0301", "caf\u00e9"),
        ("\uff43linic", "clinic"),
        ("\u3164\ufe0f", ""),
    ],
)
def test_a_name_is_what_is_seen_of_it(text: str, name: str) -> None:
    assert as_seen(text) == name


def test_no_sign_makes_another_name_unseen() -> None:
    for code in range(0x18000):
        name = as_seen(f"a{chr(code)}b")
        assert name == tamed(name) == as_seen(name), hex(code)
    for sign in SIGNS:
        assert as_seen(f"a{sign}") == as_seen(f"a{sign}{sign}") == "a"
