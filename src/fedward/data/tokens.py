"""Text as tokens: a vocabulary that is built from the training set and from nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

PADDING = 0
UNKNOWN = 1
_FIRST = 2
"""The token of the most frequent word."""
_WORD = re.compile(r"\w+(?:'\w+)?")


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """Words as whole numbers: 0 is padding, 1 an unknown word, 2 the most frequent known one.

    A word is a run of letters and digits, in lower case; punctuation is dropped. The same texts make the same
    tokenizer, since of words that are equally frequent the first by alphabet comes first.

    Args:
        words: those that are known, the most frequent first.
        length: tokens of a text: longer ones are cut, shorter ones padded at their end.
    """

    words: tuple[str, ...]
    length: int

    @classmethod
    def built(cls, texts: Iterable[str], words: int = 10_000, length: int = 32) -> Tokenizer:
        """One that knows the most frequent words of these texts, so many of them at most."""
        counts = Counter(word for text in texts for word in split_words(text))
        order = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(words=tuple(order[:words]), length=length)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are: those of words, padding and the unknown word."""
        return len(self.words) + _FIRST

    def __call__(self, texts: Collection[str]) -> Tensor:
        """(N, L) int64."""
        numbers = {word: i for i, word in enumerate(self.words, _FIRST)}
        tokens = torch.full((len(texts), self.length), PADDING, dtype=torch.int64)
        for row, text in enumerate(texts):
            known = [numbers.get(word, UNKNOWN) for word in split_words(text)[: self.length]]
            tokens[row, : len(known)] = torch.tensor(known, dtype=torch.int64)
        return tokens


def split_words(text: str) -> list[str]:
    """The words of a text."""
    return _WORD.findall(text.lower())


def wordless(tokens: Tensor) -> list[int]:
    """Which texts have no known word."""
    return (tokens < _FIRST).all(1).nonzero().flatten().tolist()
