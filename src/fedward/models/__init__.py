"""Models to train, by name. A new one is a class or function in a file here, with `register(..., kind="model")`."""

from .images import SignGuardCNN
from .named import ANY_SAMPLES, MODELS, build_model, check_model, make_model

__all__ = ["ANY_SAMPLES", "MODELS", "SignGuardCNN", "build_model", "check_model", "make_model"]
