"""No model comes without a count of its parameters that a test holds it to."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from fedward.models import MODELS

OTHERS_MODELS = {"timm", "hugging-face", "lora"}


def test_every_model_has_a_stated_count() -> None:
    stated = set()
    for name in ("test_any_shape", "test_residual", "test_text"):
        spec = importlib.util.spec_from_file_location(f"counted_{name}", Path(__file__).with_name(f"{name}.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        stated |= {text.partition(":")[0] for text, *_ in module.STATED}
    assert stated | OTHERS_MODELS == set(MODELS)
