"""The numbers of rounds in Flower's log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Filter, Logger, LogRecord


class _CountingOn(Filter):
    """Flower counts the rounds of one start; after a restart these are not the federation's."""

    def __init__(self, done: int) -> None:
        super().__init__()
        self.done = done

    def filter(self, record: LogRecord) -> bool:
        counts = record.msg == "[ROUND %s/%s]" or str(record.msg).endswith("Number of rounds: %d")
        if counts and isinstance(record.args, tuple) and all(isinstance(n, int) for n in record.args):
            record.args = tuple(int(str(n)) + self.done for n in record.args)
        return True


@contextmanager
def counting_on(logger: Logger, done: int) -> Iterator[None]:
    """Let a log of Flower's count so many rounds more than Flower does."""
    counting = _CountingOn(done)
    logger.addFilter(counting)
    try:
        yield
    finally:
        logger.removeFilter(counting)
