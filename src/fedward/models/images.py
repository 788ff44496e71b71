"""Small models for images of any size, in any number of classes. All return logits: the softmax belongs to the loss.

None of them normalises over batches, so none has running statistics. Where a network is written as ReLU and then pool,
the pool is first here: the maximum commutes with ReLU, outputs and gradients are the same to the last bit, and ReLU has
a quarter of the work.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..registry.bounds import Count, Share
from ..registry.entries import register
from .shapes import GREY, Shape, features_of, image, size_of

__all__ = ["SignGuardCNN"]


def _pooled(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    """A convolution and what follows it: 2x2 maxima, then a ReLU."""
    return convolution, nn.MaxPool2d(2), nn.ReLU()


@register("signguard-cnn", kind="model", paper="Xu et al. 2022")
class SignGuardCNN(nn.Module):
    """The convolutional network of the SignGuard papers for MNIST and Fashion-MNIST: 51,710 parameters.

    conv 1-8 (5x5, no padding), pool; conv 8-16 (3x3, padding 1), pool; conv 16-32 (3x3, padding 1), pool;
    fully connected 288-120-84-10. Pools are 2x2 maxima, every hidden layer has a ReLU, and dropout follows
    both hidden fully connected layers, as in the authors' code. Other images change the first and the 288, other
    classes the 10.

    The paper (Xu et al., ICDCS 2022) prints 57,620 parameters. That number cannot be: the layers that it
    lists have 208 + 1,168 + 4,640 + 34,680 + 10,164 + 850 = 51,710, and with their widths and biases every
    choice of kernel sizes and paddings gives 6 modulo 8, while 57,620 is 4 modulo 8.

    Args:
        dropout: probability of dropping a hidden unit while training, 0 to 1.
        shape: of an image, (C, H, W).
        classes: how many.

    Shapes: (B, C, H, W) in, (B, classes) logits out.

    Raises:
        ValueError: parameters out of bounds, or images too small.
    """

    def __init__(self, dropout: Share = 0.5, shape: Shape = GREY, classes: Count = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_pooled(nn.Conv2d(image("signguard-cnn", shape)[0], 8, 5)),
            *_pooled(nn.Conv2d(8, 16, 3, padding=1)),
            *_pooled(nn.Conv2d(16, 32, 3, padding=1)),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(features_of("signguard-cnn", self.features, shape), 120),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(84, classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        logits: Tensor = self.classifier(self.features(inputs))
        return logits


@register("small-cnn", kind="model")
def small_cnn(shape: Shape = (3, 32, 32), classes: Count = 10, width: Count = 16, hidden: Count = 64) -> nn.Module:
    """Three convolutions for small colour images, fast on a CPU: 89,834 parameters at 3 x 32 x 32.

    3x3 convolutions to width, 2 width and 4 width channels, each with a pool and a ReLU, then one hidden layer.

    Args:
        shape: of an image, (C, H, W).
        classes: how many.
        width: channels of the first convolution.
        hidden: units of the hidden layer.

    Raises:
        ValueError: parameters out of bounds, or images too small.
    """
    channels, _, _ = image("small-cnn", shape)
    features = nn.Sequential(
        *_pooled(nn.Conv2d(channels, width, 3, padding=1)),
        *_pooled(nn.Conv2d(width, 2 * width, 3, padding=1)),
        *_pooled(nn.Conv2d(2 * width, 4 * width, 3, padding=1)),
        nn.Flatten(),
    )
    return nn.Sequential(
        *features, nn.Linear(features_of("small-cnn", features, shape), hidden), nn.ReLU(), nn.Linear(hidden, classes)
    )


@register("lenet", kind="model", paper="LeCun et al. 1998")
def lenet(shape: Shape = GREY, classes: Count = 10) -> nn.Module:
    """LeNet-5 with ReLU and maxima, as it is trained today: 61,706 parameters at 28 x 28 grey, 62,006 at CIFAR-10's.

    conv 6 (5x5), pool, conv 16 (5x5), pool, 120, 84, classes. Grey images of 28 x 28 are padded to 32 x 32, as LeCun,
    Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition", 1998, have it.

    Raises:
        ValueError: parameters out of bounds, or images too small.
    """
    channels, height, _ = image("lenet", shape)
    features = nn.Sequential(
        *_pooled(nn.Conv2d(channels, 6, 5, padding=2 if height == 28 else 0)),
        *_pooled(nn.Conv2d(6, 16, 5)),
        nn.Flatten(),
    )
    count = features_of("lenet", features, shape)
    return nn.Sequential(
        *features, nn.Linear(count, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)
    )


@register("siren-cnn", kind="model", paper="Guo et al. 2021")
def siren_cnn(shape: Shape = GREY, classes: Count = 10) -> nn.Module:
    """SIREN's network for Fashion-MNIST (Guo et al. 2021, as in the authors' code): 3,382,346 parameters.

    4,827,338 at CIFAR-10's images.

    Raises:
        ValueError: parameters out of bounds, or images too small.
    """
    channels, _, _ = image("siren-cnn", shape)
    features = nn.Sequential(nn.Conv2d(channels, 64, 5), nn.ReLU(), nn.Conv2d(64, 64, 5), nn.ReLU())
    return nn.Sequential(
        *features,
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(features_of("siren-cnn", features, shape), 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, classes),
    )


@register("siren-cifar-cnn", kind="model", paper="Guo et al. 2021")
def siren_cifar_cnn(shape: Shape = (3, 32, 32), classes: Count = 10) -> nn.Module:
    """SIREN's network for CIFAR-10 (Guo et al. 2021, as in the authors' code): 122,570 parameters.

    3x3 convolutions without padding to 32, pool, 64, pool, 64 channels, then 64 and the classes.

    Raises:
        ValueError: parameters out of bounds, or images too small.
    """
    channels, _, _ = image("siren-cifar-cnn", shape)
    features = nn.Sequential(
        *_pooled(nn.Conv2d(channels, 32, 3)),
        *_pooled(nn.Conv2d(32, 64, 3)),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
    )
    count = features_of("siren-cifar-cnn", features, shape)
    return nn.Sequential(*features, nn.Linear(count, 64), nn.ReLU(), nn.Linear(64, classes))


@register("desgd-cnn", kind="model", paper="DeSGD")
def desgd_cnn(shape: Shape = GREY, classes: Count = 10) -> nn.Module:
    """Two convolutions with pools and two linear layers, as DeSGD says; it gives no sizes, these are 80,202.

    Raises:
        ValueError: parameters out of bounds, or images too small.
    """
    channels, _, _ = image("desgd-cnn", shape)
    features = nn.Sequential(
        *_pooled(nn.Conv2d(channels, 16, 5)),
        *_pooled(nn.Conv2d(16, 32, 5)),
        nn.Flatten(),
    )
    count = features_of("desgd-cnn", features, shape)
    return nn.Sequential(*features, nn.Linear(count, 128), nn.ReLU(), nn.Linear(128, classes))


@register("mlp", kind="model")
def mlp(shape: Shape = GREY, classes: Count = 10, hidden: Count = 64) -> nn.Module:
    """One hidden layer, for samples of any shape: 50,890 parameters at 28 x 28 grey.

    Raises:
        ValueError: parameters out of bounds.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(size_of(shape), hidden), nn.ReLU(), nn.Linear(hidden, classes))


@register("linear", kind="model")
def linear(shape: Shape = GREY, classes: Count = 10) -> nn.Module:
    """Multinomial logistic regression, a convex problem, for samples of any shape: 7,850 parameters at 28 x 28 grey.

    Raises:
        ValueError: parameters out of bounds.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(size_of(shape), classes))
