"""Images are moved once: of two augmentations around one another one would count, and the other be lost unseen."""

from __future__ import annotations

import pytest

from fedward.clients import Augment, Gradient, WorkerMomentum


def test_an_augmentation_around_another_is_refused() -> None:
    inner = Augment(inner=Gradient(batch_size=8), crop=2)
    for around in (inner, WorkerMomentum(inner=inner)):
        with pytest.raises(ValueError, match=r"Augment.*moves and mirrors images already: augment once"):
            Augment(inner=around)
