"""Models for text as tokens: (B, L) whole numbers below the vocabulary's size. None normalises over batches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..registry.bounds import Count, Share
from ..registry.entries import register
from .shapes import Shape

__all__ = ["TextRNN", "TextTransformer"]

_WORDS = 10_002
"""10,000 words, the unknown one and the padding: the vocabulary that TextRNN's published count leads back to."""


def _length(name: str, shape: Shape) -> int:
    if len(shape) != 1 or shape[0] < 1:
        raise ValueError(f"{name} takes texts of L tokens, samples of shape (L,), got {shape}: take a model for images")
    return shape[0]


@register("text-rnn", kind="model", paper="Xu et al. 2022")
class TextRNN(nn.Module):
    """Two bidirectional LSTM layers over word embeddings, as in the SignGuard papers: 3,837,212 parameters for AG-News.

    The linear layer sees the outputs at the last token. The layers are modules of their own, so that dropout between
    them draws from each client's own stream. Passes of several clients cannot be shared, because of the LSTMs.

    Args:
        embedding: numbers that a word becomes.
        hidden: units of each LSTM and direction.
        dropout: after the first LSTM, while training.
        shape: of a text, (L,).
        classes: how many.
        vocabulary: how many tokens there are.

    Shapes: (B, L) tokens in, (B, classes) logits out.
    """

    def __init__(
        self,
        embedding: Count = 300,
        hidden: Count = 128,
        dropout: Share = 0.5,
        shape: Shape = (32,),
        classes: Count = 4,
        vocabulary: Count = _WORDS,
    ) -> None:
        super().__init__()
        _length("text-rnn", shape)
        self.words = nn.Embedding(vocabulary, embedding)
        self.first = nn.LSTM(embedding, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.LSTM(2 * hidden, hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * hidden, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, classes) of tokens (B, L)."""
        hidden, _ = self.first(self.words(tokens.long()))
        hidden, _ = self.second(self.dropout(hidden))
        logits: Tensor = self.output(hidden[:, -1])
        return logits


class _Layer(nn.Module):
    """Attention and two linear layers, each after a normalisation and around a shortcut."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.joined = nn.Linear(width, width)
        self.before_wide = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = inputs + self.dropout(self._attended(self.before_attention(inputs)))
        wide: Tensor = self.wide(self.before_wide(inputs))
        output: Tensor = inputs + self.dropout(self.narrow(nn.functional.gelu(wide)))
        return output

    def _attended(self, inputs: Tensor) -> Tensor:
        batch, length, width = inputs.shape
        parts = (layer(inputs).view(batch, length, self.heads, -1) for layer in (self.query, self.key, self.value))
        query, key, value = (part.transpose(1, 2) for part in parts)
        # Written out: PyTorch's own attention has no deterministic gradient on every device.
        weights = (query @ key.transpose(2, 3) / (width // self.heads) ** 0.5).softmax(-1)
        output: Tensor = self.joined((weights @ value).transpose(1, 2).reshape(batch, length, width))
        return output


@register("text-transformer", kind="model")
class TextTransformer(nn.Module):
    """A small transformer for text: 742,532 parameters for AG-News at 32 tokens.

    Embeddings of words and of places, layers of attention with the normalisation first, the mean over the text, one
    linear layer. Passes of several clients are shared.

    Args:
        width: numbers that a word becomes; a multiple of heads.
        heads: of attention.
        depth: layers.
        dropout: in every layer, while training.
        shape: of a text, (L,).
        classes: how many.
        vocabulary: how many tokens there are.

    Shapes: (B, L) tokens in, (B, classes) logits out.

    Raises:
        ValueError: a width that heads do not divide, or samples that are no text.
    """

    def __init__(
        self,
        width: Count = 64,
        heads: Count = 4,
        depth: Count = 2,
        dropout: Share = 0.1,
        shape: Shape = (32,),
        classes: Count = 4,
        vocabulary: Count = _WORDS,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"text-transformer: width is a multiple of heads, got {width} and {heads}")
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(_length("text-transformer", shape), width)
        self.layers = nn.Sequential(*(_Layer(width, heads, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, classes) of tokens (B, L)."""
        places = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
        hidden = self.layers(self.words(tokens.long()) + self.places(places))
        logits: Tensor = self.output(self.norm(hidden).mean(1))
        return logits
