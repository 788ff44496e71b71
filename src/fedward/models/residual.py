"""Deep networks for small images: ResNet-18, -34 and -20, and VGG-11, with BatchNorm or GroupNorm.

What becomes of running statistics: ``norm="batch"`` has them, they never vote, and the simulation's ``batch_norm`` says
what the server makes of those that clients send. ``norm="group"`` has none, normalises every sample by itself, and so
is what federations of unlike clients take; passes of several clients can be shared then, too. Both have as many
parameters.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from ..registry.bounds import Count
from ..registry.entries import register
from .shapes import Shape, image

__all__ = ["ResNet"]

Norm = Literal["batch", "group"]

_COLOUR: Shape = (3, 32, 32)
_CHANNELS_IN_A_GROUP = 16  # Wu & He, "Group normalization", 2018: as good as 32 groups, and it fits narrow layers


def _normalised(norm: str, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(max(channels // _CHANNELS_IN_A_GROUP, 1), channels)


class _Padded(nn.Module):
    """Every second pixel, and zeros for the channels that are new: a shortcut without parameters."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def forward(self, inputs: Tensor) -> Tensor:
        front = self.more // 2
        return nn.functional.pad(inputs[:, :, ::2, ::2], (0, 0, 0, 0, front, self.more - front))


class _Block(nn.Module):
    """Two 3x3 convolutions, and a shortcut around them."""

    def __init__(self, before: int, channels: int, stride: int, *, norm: str, projected: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.first_norm = _normalised(norm, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = _normalised(norm, channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != channels:
            self.shortcut = _Padded(channels - before)
            if projected:
                projection = nn.Conv2d(before, channels, 1, stride, bias=False)
                self.shortcut = nn.Sequential(projection, _normalised(norm, channels))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.first_norm(self.first(inputs)).relu()
        output: Tensor = self.second_norm(self.second(hidden)) + self.shortcut(inputs)
        return output.relu()


class ResNet(nn.Module):
    """A residual network for images of about 32 x 32: a 3x3 stem without a pool, stages of blocks, a mean, one layer.

    He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016.

    Args:
        blocks: in each stage; every stage but the first halves the image.
        widths: channels of each stage.
        norm: "batch" or "group".
        projected: whether shortcuts to more channels are 1x1 convolutions; zeros are added otherwise.
        shape: of an image, (C, H, W).
        classes: how many.
    """

    def __init__(
        self,
        *,
        blocks: tuple[int, ...],
        widths: tuple[int, ...],
        norm: Norm,
        projected: bool,
        shape: Shape,
        classes: int,
    ) -> None:
        super().__init__()
        before = widths[0]
        self.stem = nn.Conv2d(image("resnet", shape)[0], before, 3, padding=1, bias=False)
        self.stem_norm = _normalised(norm, before)
        stages = []
        for stage, (count, channels) in enumerate(zip(blocks, widths, strict=True)):
            for k in range(count):
                stride = 2 if stage and not k else 1
                stages.append(_Block(before, channels, stride, norm=norm, projected=projected))
                before = channels
        self.stages = nn.Sequential(*stages)
        self.output = nn.Linear(before, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        hidden = self.stages(self.stem_norm(self.stem(inputs)).relu())
        logits: Tensor = self.output(hidden.mean((2, 3)))
        return logits


_WIDE = (64, 128, 256, 512)


@register("resnet-18", kind="model", paper="He et al. 2016")
def resnet_18(norm: Norm = "batch", shape: Shape = _COLOUR, classes: Count = 10) -> nn.Module:
    """ResNet-18 for 32 x 32, as the field trains it on CIFAR-10: 11,173,962 parameters. See `ResNet`."""
    return ResNet(blocks=(2, 2, 2, 2), widths=_WIDE, norm=norm, projected=True, shape=shape, classes=classes)


@register("resnet-34", kind="model", paper="He et al. 2016")
def resnet_34(norm: Norm = "batch", shape: Shape = _COLOUR, classes: Count = 10) -> nn.Module:
    """ResNet-34 for 32 x 32: 21,282,122 parameters. See `ResNet`."""
    return ResNet(blocks=(3, 4, 6, 3), widths=_WIDE, norm=norm, projected=True, shape=shape, classes=classes)


@register("resnet-20", kind="model", paper="He et al. 2016")
def resnet_20(norm: Norm = "batch", shape: Shape = _COLOUR, classes: Count = 10) -> nn.Module:
    """The paper's own ResNet-20 for CIFAR-10, shortcuts without parameters: 269,722 parameters. See `ResNet`."""
    return ResNet(blocks=(3, 3, 3), widths=(16, 32, 64), norm=norm, projected=False, shape=shape, classes=classes)


@register("vgg-11", kind="model", paper="Simonyan & Zisserman 2015")
def vgg_11(norm: Literal["batch", "group", "none"] = "batch", shape: Shape = _COLOUR, classes: Count = 10) -> nn.Module:
    """VGG-11 for 32 x 32, one linear layer: 9,231,114 parameters, 9,225,610 with ``norm="none"``.

    Eight 3x3 convolutions and five pools, then the mean over what is left of the image. Simonyan & Zisserman, "Very
    deep convolutional networks for large-scale image recognition", ICLR 2015.

    Raises:
        ValueError: parameters out of bounds, or images below 32 x 32.
    """
    before, height, width = image("vgg-11", shape)
    if min(height, width) < 32:
        raise ValueError(f"vgg-11 halves images five times and takes 32 x 32 or more, got {height} x {width}")
    layers: list[nn.Module] = []
    for channels, pooled in [(64, 1), (128, 1), (256, 0), (256, 1), (512, 0), (512, 1), (512, 0), (512, 1)]:
        layers += [
            nn.Conv2d(before, channels, 3, padding=1),
            *([] if norm == "none" else [_normalised(norm, channels)]),
        ]
        layers += [nn.MaxPool2d(2)] if pooled else []
        layers.append(nn.ReLU())
        before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))
