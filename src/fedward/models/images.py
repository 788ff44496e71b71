"""Models for 28 x 28 grey images in ten classes. All return logits: the softmax belongs to the loss."""

from __future__ import annotations

from torch import Tensor, nn

from ..registry.bounds import Share
from ..registry.entries import register

__all__ = ["SignGuardCNN"]


@register("signguard-cnn", kind="model", paper="Xu et al. 2022")
class SignGuardCNN(nn.Module):
    """The convolutional network of the SignGuard papers for MNIST and Fashion-MNIST: 51,710 parameters.

    conv 1-8 (5x5, no padding), pool; conv 8-16 (3x3, padding 1), pool; conv 16-32 (3x3, padding 1), pool;
    fully connected 288-120-84-10. Pools are 2x2 maxima, every hidden layer has a ReLU, and dropout follows
    both hidden fully connected layers, as in the authors' code.

    The paper (Xu et al., ICDCS 2022) prints 57,620 parameters. That number cannot be: the layers that it
    lists have 208 + 1,168 + 4,640 + 34,680 + 10,164 + 850 = 51,710, and with their widths and biases every
    choice of kernel sizes and paddings gives 6 modulo 8, while 57,620 is 4 modulo 8.

    Args:
        dropout: probability of dropping a hidden unit while training, 0 to 1.

    Shapes: (B, 1, 28, 28) in, (B, 10) logits out.
    """

    def __init__(self, dropout: Share = 0.5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(288, 120),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(84, 10),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, 10) of images (B, 1, 28, 28)."""
        logits: Tensor = self.classifier(self.features(inputs))
        return logits


@register("siren-cnn", kind="model", paper="Guo et al. 2021")
def siren_cnn() -> nn.Module:
    """SIREN's network for Fashion-MNIST (Guo et al. 2021, as in the authors' code): 3,382,346 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 5),
        nn.ReLU(),
        nn.Conv2d(64, 64, 5),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(25_600, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


@register("desgd-cnn", kind="model", paper="DeSGD")
def desgd_cnn() -> nn.Module:
    """Two convolutions with pools and two linear layers, as DeSGD says; it gives no sizes, these are 80,202."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


@register("mlp", kind="model")
def mlp() -> nn.Module:
    """One hidden layer of 64 units: 50,890 parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


@register("linear", kind="model")
def linear() -> nn.Module:
    """Multinomial logistic regression, a convex problem: 7,850 parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
