"""Flower is quiet, keeps to itself, and leaves nothing behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, value in {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "FLWR_HOME": str(tmp_path / "flwr"),
    }.items():
        monkeypatch.setenv(name, value)
    logger = logging.getLogger("flwr")
    level, propagate = logger.level, logger.propagate
    logger.propagate = True  # for caplog
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(level)
    logger.propagate = propagate
