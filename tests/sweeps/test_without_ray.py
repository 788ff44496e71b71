"""What whoever has no Ray is told."""

from __future__ import annotations

import sys

import pytest

from fedward.experiments.spec import SpecError
from fedward.sweeps.ray import Ray


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SpecError, match="Ray is not installed: pip install ray "):
        Ray(address="local").work({}, on_progress=None, on_done=lambda place, outcome: None)
