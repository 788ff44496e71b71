"""How papers train: learning rates that change over rounds, and images that are cropped and flipped."""

from .augment import crop_and_flip
from .schedules import Cosine, LearningRates, MultiStep, TorchSchedule, WarmUp

__all__ = ["Cosine", "LearningRates", "MultiStep", "TorchSchedule", "WarmUp", "crop_and_flip"]
