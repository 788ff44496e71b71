"""No model comes without a count of its parameters that a test holds it to."""

from __future__ import annotations

from fedward.models import MODELS
from tests.models import test_any_shape, test_residual, test_text

OTHERS_MODELS = {"timm", "hugging-face", "lora"}


def test_every_model_has_a_stated_count() -> None:
    counted = (test_any_shape, test_residual, test_text)
    stated = {text.partition(":")[0] for module in counted for text, *_ in module.STATED}
    assert stated | OTHERS_MODELS == set(MODELS)
