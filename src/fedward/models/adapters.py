"""Models of other libraries: timm's for images, Hugging Face's for text, and LoRA adapters of any model by peft."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

from torch import Tensor, nn

from ..failures import MendableError, install
from ..registry.bounds import Count, NameOf, Positive, Share
from ..registry.entries import register
from .named import build_model
from .shapes import Shape, image

__all__ = ["MissingPackageError"]


class MissingPackageError(MendableError, ImportError):
    """A package that a model is made with is not installed."""


ModelText = Annotated[str, NameOf("model")]


def _needed(package: str, model: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"the model {model} needs {error.name}: {install(extra)}", name=error.name) from error


@register("timm", kind="model", example={"name": "mobilenetv3_small_050"})
def timm_model(
    name: str,
    pretrained: bool = False,
    patch: Count | None = None,
    shape: Shape = (3, 32, 32),
    classes: Count = 10,
) -> nn.Module:
    """Any image model of timm by its name there: ``timm:name=deit_small_patch16_224``.

    Models that are made for one size of image are made for the data's. Most have BatchNorm, whose running statistics
    never vote: see `Simulation`'s ``batch_norm``; vision transformers have none.

    Args:
        name: as ``timm.list_models()`` has it.
        pretrained: start from published weights, which timm looks for in its cache and downloads.
        patch: pixels of a vision transformer's patch, if not the model's own.
        shape: of an image, (C, H, W).
        classes: how many.

    Raises:
        MissingPackageError: timm is not installed.
        ValueError: timm has no such model, or it does not take these images.
    """
    timm = _needed("timm", "timm", "timm")
    channels, height, width = image("timm", shape)
    sizes: dict[str, Any] = {"img_size": (height, width)}
    if patch is not None:
        sizes["patch_size"] = patch
    given: dict[str, Any] = {"pretrained": pretrained, "num_classes": classes, "in_chans": channels}
    try:
        model: nn.Module = timm.create_model(name, **given, **sizes)
    except TypeError:  # convolutions take images of any size, and no argument for it
        if patch is not None:
            raise ValueError(f"timm's {name} has no patches: leave out patch, got {patch}") from None
        model = timm.create_model(name, **given)
    except RuntimeError as error:
        raise ValueError(f"timm makes no {name!r}: {error}; timm.list_models() has the names") from error
    return model


class _Sequences(nn.Module):
    """A Hugging Face classifier as a function from tokens to logits."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tokens: Tensor) -> Tensor:
        padding = self.inner.config.pad_token_id
        mask = None if padding is None else tokens.ne(padding).long()
        logits: Tensor = self.inner(input_ids=tokens, attention_mask=mask).logits
        return logits


@register("hugging-face", kind="model", example={"name": "prajjwal1/bert-tiny"})
def hugging_face(name: str, pretrained: bool = True, classes: Count = 4, vocabulary: Count | None = None) -> nn.Module:
    """A sequence classifier of Hugging Face's transformers, of a name on the hub or of a folder.

    Tokens must be those of the model's own tokenizer.

    Args:
        name: on the hub, or a folder with ``config.json`` and weights.
        pretrained: take the weights, all but those of the last layer if it has other classes; if not, ``config.json``
            is enough, and weights are drawn.
        classes: how many.
        vocabulary: how many tokens the data have.

    Raises:
        MissingPackageError: transformers is not installed.
        OSError: there is no such model, and it cannot be downloaded.
        ValueError: the data have more tokens than the model knows.
    """
    transformers = _needed("transformers", "hugging-face", "peft")
    makers = transformers.AutoModelForSequenceClassification
    plain: dict[str, Any] = {"trust_remote_code": False}  # a folder may bring code of its own
    config = transformers.AutoConfig.from_pretrained(name, num_labels=classes, **plain)
    if vocabulary is not None and vocabulary > config.vocab_size:
        raise ValueError(
            f"hugging-face: {name} knows {config.vocab_size} tokens, and the data have {vocabulary}: make them with "
            "its own tokenizer, or with fewer words (data ag-news:words=1000)"
        )
    if pretrained:
        return _Sequences(makers.from_pretrained(name, config=config, **plain, ignore_mismatched_sizes=True))
    return _Sequences(makers.from_config(config, **plain))


@register("lora", kind="model", example={"base": "text-transformer"})
def lora(
    base: ModelText,
    rank: Count = 8,
    scale: Positive = 16.0,
    dropout: Share = 0.0,
    targets: tuple[str, ...] = ("query", "value"),
    whole: tuple[str, ...] | None = None,
    shape: Shape = (32,),
    classes: Count = 4,
    vocabulary: Count | None = None,
) -> nn.Module:
    """LoRA adapters of another model, by peft: only they and the last layer are trained, sent and judged by rules.

    W + (scale / rank) B A, with B = 0 at first. Hu et al., "LoRA: low-rank adaptation of large language models", ICLR
    2022. ``lora:base='hugging-face:name=roberta-base',rank=4``.

    Args:
        base: another model, as text.
        rank: columns of B.
        scale: peft's ``lora_alpha``.
        dropout: before A, while training.
        targets: names of the linear layers that get an adapter.
        whole: names of layers that are trained as they are; the last linear one if None.
        shape, classes, vocabulary: the base's.

    Raises:
        MissingPackageError: peft is not installed.
        ValueError: the base has no layers of these names.
    """
    peft = _needed("peft", "lora", "peft")
    model = build_model(base, shape, classes, vocabulary)
    linear = [name for name, part in model.named_modules() if type(part) is nn.Linear]
    trained = linear[-1:] if whole is None else [name for name, _ in model.named_modules() if _ends(name, whole)]
    if whole and not trained:
        raise ValueError(f"lora: {base} has no layers called {', '.join(whole)}; linear ones are {', '.join(linear)}")
    config = peft.LoraConfig(r=rank, lora_alpha=scale, lora_dropout=dropout, target_modules=list(targets))
    try:
        adapted: nn.Module = peft.inject_adapter_in_model(config, model)
    except ValueError as error:
        raise ValueError(
            f"lora: {base} has no layers called {', '.join(targets)} ({error}); linear ones are {', '.join(linear)}"
        ) from error
    for name in trained:
        adapted.get_submodule(name).requires_grad_(True)
    return adapted


def _ends(name: str, wanted: tuple[str, ...]) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in wanted)
