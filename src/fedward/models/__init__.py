"""Models to train, by name."""

from .images import MODELS, SignGuardCNN, build_model

__all__ = ["MODELS", "SignGuardCNN", "build_model"]
