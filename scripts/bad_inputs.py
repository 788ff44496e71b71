"""What comes back for bad files: each among five good clients, and the table of all of them.

``python scripts/bad_inputs.py`` writes docs/evidence/bad-inputs.md. A bad client is a verdict, a bad base an error, and
nothing is a traceback, a hang or silence.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from fedward.audit import AuditError, ModelSource, run_audit

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "bad-inputs.md"
HEAD = """# What comes back for bad files

Each of these files was a client among five good ones, or the base of six good ones, of `fedward audit --base`. A bad
client is a verdict on that client, and the others go on; a bad base is an error. Written by `scripts/bad_inputs.py`.

| input | what came back | why |
|---|---|---|
"""

MARK = Path(tempfile.gettempdir()) / f"fedward-was-here-{os.getpid()}"
"""What is there once a pickle has been run."""

Make = Callable[[Path], Path]


def base() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"w": torch.randn(40, 30, generator=generator), "b": torch.randn(30, generator=generator)}


def client(k: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1 + k)
    common = torch.Generator().manual_seed(100)
    return {
        name: t + 0.01 * torch.randn(t.shape, generator=common) + 0.01 * torch.randn(t.shape, generator=generator)
        for name, t in base().items()
    }


# --- makers -------------------------------------------------------------------------------------------------------


def written(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def tensors(**changed: Tensor | None) -> Make:
    """Safetensors of a good client with something else in it."""
    held = {**client(7), **changed}
    return written("odd.safetensors", save({name: t.contiguous() for name, t in held.items() if t is not None}))


def header(said: object, body: bytes = b"", size: int | None = None) -> Make:
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return written("odd.safetensors", struct.pack("<Q", len(text) if size is None else size) + text + body)


def entry(dtype: str = "F32", shape: object = (30,), place: object = (0, 120)) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape) if isinstance(shape, tuple) else shape, "data_offsets": place}


def torched(value: object, name: str = "odd.pt", **how: bool) -> Make:
    file = io.BytesIO()
    torch.save(value, file, **how)
    return written(name, file.getvalue())


def zipped(entries: Mapping[str, bytes], name: str = "odd.npz", how: int = zipfile.ZIP_STORED) -> Make:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for part, content in entries.items():
            archive.writestr(part, content)
    return written(name, file.getvalue())


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> Make:
    return zipped({f"{name}.npy": npy(array) for name, array in arrays.items()})


def folder_of(inside: str = "", **files: bytes) -> Make:
    def make(folder: Path) -> Path:
        (folder / "odd" / inside).mkdir(parents=True)
        for name, content in files.items():
            (folder / "odd" / inside / name.replace("__", ".")).write_bytes(content)
        return folder / "odd"

    return make


def index(said: object, **files: bytes) -> Make:
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return folder_of(**{"model__safetensors__index__json": text, **files})


def adapter(config: object, **held: Tensor) -> Make:
    text = config if isinstance(config, bytes) else json.dumps(config).encode()
    return folder_of(adapter_config__json=text, adapter_model__safetensors=save(held))


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "odd.safetensors")
    return folder / "odd.safetensors"


def device(folder: Path) -> Path:
    (folder / "odd.safetensors").symlink_to("/dev/zero")
    return folder / "odd.safetensors"


def listening(folder: Path) -> Path:
    place = os.getcwd()
    os.chdir(folder)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("odd.safetensors")
    os.chdir(place)
    return folder / "odd.safetensors"


def dangling(folder: Path) -> Path:
    (folder / "odd.pt").symlink_to("nowhere.pt")
    return folder / "odd.pt"


def loop(folder: Path) -> Path:
    (folder / "odd.npz").symlink_to("odd.npz")
    return folder / "odd.npz"


def leading_out(folder: Path) -> Path:
    (folder / "odd").mkdir()
    save_file(client(7), folder / "secret.safetensors")
    (folder / "odd" / "model.safetensors").symlink_to("../secret.safetensors")
    return folder / "odd"


def named_as_folder(folder: Path) -> Path:
    (folder / "odd.safetensors").mkdir()
    return folder / "odd.safetensors"


def absent(folder: Path) -> Path:
    return folder / "odd.safetensors"


def truncated(make: Make, share: float) -> Make:
    def cut(folder: Path) -> Path:
        path = make(folder)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        return path

    return cut


def flipped(make: Make) -> Make:
    """One byte in the middle is another."""

    def flip(folder: Path) -> Path:
        path = make(folder)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        return path

    return flip


def spoilt_stream(folder: Path) -> Path:
    path = zipped({"b.npy": NPY}, how=zipfile.ZIP_DEFLATED)(folder)
    content = bytearray(path.read_bytes())
    start = 30 + len("b.npy")  # past the header of the part
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    return path


def nested(depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for _ in range(depth):
        found = {"a": found}
    return found


class Runs:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {MARK}",)


W, B = client(7)["w"], client(7)["b"]
NAN = torch.full((30,), torch.nan)
SHARD = save({"w": W})
BOTH = save(client(7))
LORA = {"l.lora_A.weight": torch.zeros(4, 8), "l.lora_B.weight": torch.zeros(8, 4)}
NPY = npy(B.numpy())
VAST = NPY.replace(b"(30,), }" + b" " * 14, b"(1125899906842624,), }")
TWICE = b'{"b":%b,"b":%b}' % ((json.dumps(entry()).encode(),) * 2)
DEFLATED = zipfile.ZIP_DEFLATED

CLIENTS: dict[str, tuple[str, Make]] = {
    # files
    "no file": ("malformed", absent),
    "an empty file": ("malformed", written("odd.safetensors", b"")),
    "five bytes": ("malformed", written("odd.safetensors", b"12345")),
    "noise as safetensors": ("malformed", written("odd.safetensors", bytes(range(256)) * 40)),
    "noise as .pt": ("malformed", written("odd.pt", bytes(range(256)) * 40)),
    "noise as .npz": ("malformed", written("odd.npz", bytes(range(256)) * 40)),
    "text as .bin": ("malformed", written("odd.bin", b"<html>404</html>")),
    "another suffix": ("malformed", written("odd.gguf", b"GGUF")),
    "a FIFO": ("malformed", fifo),
    "a link to /dev/zero": ("malformed", device),
    "a socket": ("malformed", listening),
    "a link to nowhere": ("malformed", dangling),
    "a link to itself": ("malformed", loop),
    "a link out of the client's folder": ("malformed", leading_out),
    "an empty folder called .safetensors": ("malformed", named_as_folder),
    "a client's folder with two models": (
        "malformed",
        folder_of("client", one__safetensors=BOTH, two__safetensors=BOTH),
    ),
    "a client's folder with a model of another format": ("malformed", folder_of("client", model__onnx=b"ONNX")),
    # safetensors
    "safetensors cut in the header": ("malformed", truncated(tensors(), 0.01)),
    "safetensors cut in the data": ("malformed", truncated(tensors(), 0.6)),
    "bytes after the data": ("malformed", written("odd.safetensors", save(client(7)) + b"more")),
    "a header of 2^62 bytes": ("malformed", header({}, size=1 << 62)),
    "a header of a gigabyte": ("malformed", header({}, size=1 << 30)),
    "a header that is no JSON": ("malformed", header(b"{nonsense")),
    "a header that is a list": ("malformed", header([1, 2])),
    "a header of 100,000 brackets": ("malformed", header(b'{"a":' + b"[" * 100_000)),
    "a header with half a character": ("malformed", header(b'{"\\ud800": 3}')),
    "overlapping tensors": ("malformed", header({"w": entry(), "b": entry()}, bytes(120))),
    "a hole between tensors": ("malformed", header({"b": entry(place=(8, 128))}, bytes(128))),
    "a name twice": ("malformed", header(TWICE, bytes(120))),
    "a shape of negative size": ("malformed", header({"b": entry(shape=(-30,))}, bytes(120))),
    "a shape of 2^60 entries": ("malformed", header({"b": entry(shape=(1 << 60,))}, bytes(120))),
    "a shape of text": ("malformed", header({"b": entry(shape="30")}, bytes(120))),
    "places beyond the end": ("malformed", header({"b": entry(place=(0, 1 << 50))}, bytes(120))),
    "places in reverse": ("malformed", header({"b": entry(place=(120, 0))}, bytes(120))),
    "an unknown type": ("malformed", header({"b": entry(dtype="F3")}, bytes(120))),
    "metadata of numbers": ("malformed", header({"__metadata__": {"a": 3}, "b": entry()}, bytes(120))),
    "no tensors at all": ("malformed", header({})),
    # models
    "a tensor too few": ("malformed", tensors(b=None)),
    "a tensor too many": ("malformed", tensors(more=B)),
    "another name": ("malformed", tensors(b=None, bias=B)),
    "another shape": ("malformed", tensors(b=torch.zeros(31))),
    "another shape of as many entries": ("malformed", tensors(w=W.reshape(30, 40))),
    "integers for weights": ("malformed", tensors(b=torch.zeros(30, dtype=torch.int64))),
    "complex numbers": ("malformed", torched({"w": W, "b": torch.zeros(30, dtype=torch.complex64)})),
    "a name of control characters": ("malformed", tensors(**{"\x1b[2J\x07": B})),
    "a name of a path": ("malformed", tensors(**{"../../etc/passwd": B})),
    "NaN": ("nonfinite", tensors(b=NAN)),
    "one Inf": ("nonfinite", tensors(b=torch.cat([torch.tensor([torch.inf]), B[1:]]))),
    "NaN in bfloat16": ("nonfinite", tensors(b=NAN.to(torch.bfloat16))),
    "numbers whose squares overflow": ("overflow", tensors(b=torch.full((30,), 1e300, dtype=torch.float64))),
    # PyTorch
    "a pickle that runs a command": ("malformed", torched({"w": W, "b": Runs()})),
    "a plain pickle of one": ("malformed", written("odd.pt", pickle.dumps(Runs()))),
    "a whole module": ("malformed", torched(torch.nn.Linear(2, 2))),
    "a tensor and no names": ("malformed", torched(W)),
    "a list of tensors": ("malformed", torched([W, B])),
    "two models in one file": ("malformed", torched({"one": client(7), "two": client(7)})),
    "a .pt of before PyTorch 1.6": ("malformed", torched(client(7), _use_new_zipfile_serialization=False)),
    "a .pt cut off": ("malformed", truncated(torched(client(7)), 0.5)),
    "a .pt with compressed parts": ("malformed", zipped({"a/data.pkl": bytes(10**6)}, "odd.pt", DEFLATED)),
    "a zip of nothing as .pt": ("malformed", zipped({}, "odd.pt")),
    "one entry spread over 2^40": ("malformed", torched({"w": torch.zeros(1).expand(1 << 40), "b": B})),
    "mappings 300 deep": ("malformed", torched(nested(300))),
    # NumPy
    "objects in an .npz": ("malformed", zipped({"w.npy": npy(np.array([{}], dtype=object))})),
    "an .npz of text": ("malformed", npz(w=W.numpy(), b=np.array(["a"] * 30))),
    "an .npz that claims 2^50 entries": ("malformed", zipped({"b.npy": VAST})),
    "a bomb in an .npz": ("malformed", zipped({"b.npy": npy(np.zeros(10**7))}, how=zipfile.ZIP_DEFLATED)),
    "an .npz with another file": ("malformed", zipped({"b.npy": NPY, "evil.py": b"import os"})),
    "an .npz cut off": ("malformed", truncated(npz(w=W.numpy(), b=B.numpy()), 0.7)),
    "an .npz of no compressed stream": ("malformed", spoilt_stream),
    "an .npz with a wrong checksum": ("malformed", flipped(zipped({"b.npy": NPY}, how=DEFLATED))),
    # shards
    "an index that is no JSON": ("malformed", index(b"{")),
    "an index without a map": ("malformed", index({"metadata": {}})),
    "an index of a shard that is not there": ("malformed", index({"weight_map": {"w": "a.safetensors"}})),
    "an index of a shard in another folder": ("malformed", index({"weight_map": {"w": "../base.safetensors"}})),
    "an index of /etc/passwd": ("malformed", index({"weight_map": {"w": "/etc/passwd"}})),
    "a shard without its tensor": ("malformed", index({"weight_map": {"b": "a.safetensors"}}, a__safetensors=SHARD)),
    "a shard with one more": (
        "malformed",
        index({"weight_map": {"w": "a.safetensors"}}, a__safetensors=save(client(7))),
    ),
    # adapters
    "an adapter among models": ("malformed", adapter({"peft_type": "LORA"}, **LORA)),
    "an adapter without a file": ("malformed", folder_of(adapter_config__json=b"{}")),
    "an adapter of a broken configuration": ("malformed", adapter(b"[]", **LORA)),
    "an adapter of another kind": ("malformed", adapter({"peft_type": "PREFIX_TUNING"}, **LORA)),
    "an adapter with half of its factors": ("malformed", adapter({}, **{"l.lora_A.weight": torch.zeros(4, 8)})),
    "an adapter of unlike ranks": ("malformed", adapter({}, **{**LORA, "l.lora_B.weight": torch.zeros(8, 5)})),
}
"""Bad clients: what comes back, and how they are made."""

BASES: dict[str, tuple[str, Make]] = {
    "a base with NaN": ("error", tensors(b=NAN)),
    "a base cut off": ("error", truncated(tensors(), 0.5)),
    "a base that is not there": ("error", absent),
    "a base of other shapes": ("error", tensors(b=torch.zeros(31))),
    "a base that runs a command": ("error", torched({"w": W, "b": Runs()})),
    "an empty folder for a base": ("error", named_as_folder),
}
"""Bad bases."""


@dataclass(frozen=True, kw_only=True)
class Came:
    """What came back for one input."""

    name: str
    expected: str
    found: str
    why: str


def tried(name: str, expected: str, make: Make, *, is_base: bool) -> Came:
    """Audit five good clients with a bad one, or six with a bad base."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_file(base(), folder / "base.safetensors")
        for k in range(5 + is_base):
            save_file(client(k), folder / f"good-{k}.safetensors")
        good = sorted(folder.glob("good-*"))
        odd = make(folder)
        source = ModelSource(clients=[*good, odd], base=folder / "base.safetensors")
        if is_base:
            source = ModelSource(clients=good, base=odd)
        try:
            audit = run_audit(source)
        except AuditError as error:
            return Came(name=name, expected=expected, found="error", why=str(error).replace(place, ""))
        if not all(audit.accepted[:5]):
            return Came(name=name, expected=expected, found="others dropped", why=str(audit.details))
        last = audit.names[-1]
        return Came(
            name=name, expected=expected, found=audit.reasons[-1], why=audit.details.get(last, "").replace(place, "")
        )


def all_tried() -> Iterator[Came]:
    """Every input in turn."""
    for name, (expected, make) in CLIENTS.items():
        yield tried(name, expected, make, is_base=False)
    for name, (expected, make) in BASES.items():
        yield tried(name, expected, make, is_base=True)


def main() -> int:
    lines, wrong = [], []
    for came in all_tried():
        why = came.why.replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {came.name} | {came.found} | {why[:200]} |\n")
        if came.found != came.expected:
            wrong.append(f"{came.name}: {came.found}, {came.expected} was due ({came.why})")
    PAGE.write_text(HEAD + "".join(lines), encoding="utf-8")
    print(f"{len(lines)} bad inputs, {len(wrong)} not as they should be")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
