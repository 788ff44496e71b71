"""The page about a data set: what it holds, and what each client holds of it."""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..data import Dataset, FederatedData
from .pieces import count, document, figure, per_cent, save_page, table
from .runs import ReportError
from .series import Figure
from .style import PALETTE, base_axis, base_layout, margins

MOST_ROWS = 200
"""Clients and classes in tables; figures have all of them."""
_EACH = 8
"""Images of a class."""
_SHOWN = 20
"""Classes of which images are shown."""
_SIDE = 56  # pixels that an image is drawn with


def write_data(data: FederatedData, output: str | Path, title: str) -> Path:
    """Write the page about a data set that is dealt to clients; return its path. It needs no network to open.

    Raises:
        ReportError: the path is a folder, or plotly is not installed.
    """
    output = Path(output)
    if output.is_dir():
        raise ReportError(f"{output}: is a folder; name a file to write, such as {output / 'data.html'}")
    body = "".join((_clients(data), _images(data.dataset), _classes(data.dataset)))
    return save_page(output, document(title, _lead(data), body))


def _lead(data: FederatedData) -> str:
    dataset = data.dataset
    facts = [
        f"{len(dataset.train):,} samples to train with, {len(dataset.test):,} to test with",
        f"{' &times; '.join(map(str, dataset.shape))} numbers each",
        count(dataset.classes, "class") if dataset.classes == 1 else f"{dataset.classes:,} classes",
        count(data.n, "client"),
    ]
    if dataset.vocabulary:
        facts.append(f"texts of {dataset.vocabulary:,} tokens")
    return " &middot; ".join(facts)


# --- clients ------------------------------------------------------------------------------------------------


def held(data: FederatedData) -> NDArray[np.int64]:
    """(clients, classes) samples of each class that each client holds."""
    labels = data.dataset.train.labels
    return np.stack([labels[shard].bincount(minlength=data.dataset.classes).numpy() for shard in data.shards])


def _clients(data: FederatedData) -> str:
    counts = held(data)
    sizes = counts.sum(1)
    shares = counts / sizes[:, None]
    rows = [
        [
            str(client),
            f"{sizes[client]:,}",
            f"{int((counts[client] > 0).sum()):,}",
            f"{int(counts[client].argmax())}",
            per_cent(float(shares[client].max()), 1),
        ]
        for client in range(min(len(counts), MOST_ROWS))
    ]
    more = f"<p>And {len(counts) - MOST_ROWS:,} more clients.</p>\n" if len(counts) > MOST_ROWS else ""
    return (
        "<h2>What clients hold</h2>\n"
        + figure("sizes", _bars(sizes), "Training samples of each client.", "Training samples of each client")
        + figure(
            "shares",
            _map(shares),
            "Share of each class (row) among the samples of each client (column). Rows that are evenly coloured are "
            "classes that all clients hold alike.",
            "Share of each class among the samples of each client",
        )
        + table(["Client", "Samples", "Classes", "Most frequent", "Its share"], rows, 1)
        + more
    )


def _bars(sizes: NDArray[np.int64]) -> Figure:
    trace = {
        "type": "bar",
        "x": list(range(len(sizes))),
        "y": sizes.tolist(),
        "marker": {"color": PALETTE[0]},
        "hovertemplate": "client %{x}: %{y:,} samples<extra></extra>",
    }
    layout = base_layout(
        220, xaxis=base_axis("client"), yaxis=base_axis("samples"), margin=margins(12, 48), showlegend=False
    )
    return {"data": [trace], "layout": layout}


def _map(shares: NDArray[np.float64]) -> Figure:
    trace = {
        "type": "heatmap",
        "z": [[round(float(value), 3) for value in row] for row in shares.T],
        "zmin": 0,
        "zmax": round(float(shares.max()), 3),
        "colorscale": [[0, "#ffffff"], [1, PALETTE[0]]],
        "colorbar": {"tickformat": ".0%", "thickness": 12},
        "hovertemplate": "client %{x}, class %{y}: %{z:.1%}<extra></extra>",
    }
    height = 120 + min(18 * shares.shape[1], 620)
    rows = base_axis("class", autorange="reversed")
    layout = base_layout(height, xaxis=base_axis("client"), yaxis=rows, margin=margins(12, 48))
    return {"data": [trace], "layout": layout}


# --- samples ------------------------------------------------------------------------------------------------


def _images(dataset: Dataset) -> str:
    """The first images of each class; nothing, if samples are no images."""
    shape = dataset.shape
    if len(shape) != 3 or shape[0] not in (1, 3) or max(shape[1:]) > 512:
        return ""
    labels = dataset.train.labels
    rows = []
    for c in range(min(dataset.classes, _SHOWN)):
        places = (labels == c).nonzero().flatten()[:_EACH]
        if len(places):
            drawn = "".join(_img(picture) for picture in _visible(dataset.train.inputs[places]))
            rows.append([str(c), drawn])
    more = f" Of {dataset.classes} classes, the first {_SHOWN}." if dataset.classes > _SHOWN else ""
    caption = f'<p class="caption">The first images of each class in the training set.{more}</p>\n'
    return "<h2>Samples</h2>\n" + table(["Class", "Images"], rows, 2) + caption


def _visible(inputs: torch.Tensor) -> NDArray[np.uint8]:
    """(N, H, W, C) bytes: each image from its darkest to its brightest value, since they may be normalised."""
    flat = inputs.float().flatten(1)
    low, high = flat.min(1, keepdim=True).values, flat.max(1, keepdim=True).values
    scaled = ((flat - low) / (high - low).clamp_min(1e-12) * 255).round().to(torch.uint8)
    made: NDArray[np.uint8] = scaled.reshape(inputs.shape).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return made


def _img(picture: NDArray[np.uint8]) -> str:
    data = base64.b64encode(png(picture)).decode()
    style = f"height:{_SIDE}px;image-rendering:pixelated;margin-right:4px"
    return f'<img alt="" style="{style}" src="data:image/png;base64,{data}">'


def png(picture: NDArray[np.uint8]) -> bytes:
    """An (H, W, C) picture, grey or red, green and blue, as a PNG file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = picture.shape
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1)  # no filter
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _classes(dataset: Dataset) -> str:
    train, test = (s.labels.bincount(minlength=dataset.classes).tolist() for s in (dataset.train, dataset.test))
    rows = [[str(c), f"{train[c]:,}", f"{test[c]:,}"] for c in range(min(dataset.classes, MOST_ROWS))]
    name = escape(dataset.name)
    return f"<h2>Classes of {name}</h2>\n" + table(["Class", "To train with", "To test with"], rows, 1)
