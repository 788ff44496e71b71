"""Kill what writes files at random moments, give the same command again, and compare with one that nobody disturbed.

    python scripts/kills.py [--only run sweep aggregate "Flower server"] [--kills 20] [--seed 0]

- run: `fedward run`; records and checkpoint.
- sweep: `fedward sweep` with its workers (scripts/kill_sweep.py).
- aggregate: `fedward aggregate` with a page, over an older model and without one; each file is the old one or the new.
- Flower server: a federation in one process; the checkpoint, and an audit that tells of no round that was not saved.

After every kill the files under final names are looked at, which are never partial. What is killed is forked from this
process, where all is loaded, so that moments fall into the work. Prints a table; exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parent))
import kill_sweep

from fedward.cli import audits, commands  # noqa: F401  # loaded once, before the first fork
from fedward.cli.app import app
from fedward.experiments.store import RunFolder

Work = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Something that writes files.

    Attributes:
        prepare: what has to be in its folder before.
        work: does it, from the beginning or from where it was stopped.
        content: all that must be the same in the end.
        partial: what is wrong with the files that are there after a kill, None if nothing is; told the content of the
            one that was not disturbed.
    """

    prepare: Callable[[Path], None]
    work: Work
    content: Callable[[Path], Any]
    partial: Callable[[Path, Any], str | None]


@dataclass(frozen=True, kw_only=True)
class Came:
    """What came of a surface: kills that fell into work, how often it was begun anew, all that was wrong."""

    kills: int
    finished: int
    wrong: list[str]


# --- processes ------------------------------------------------------------------------------------------------


def begun(work: Work, folder: Path) -> int:
    """A process that works in a folder, in a group of its own."""
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    os.chdir(folder)
    out = os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    status = 99
    try:
        work(folder)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException as error:
        os.write(2, repr(error).encode())
    finally:
        sys.stdout.flush()
        os._exit(status)


def ended(child: int, seconds: float) -> int | None:
    """How a process ended; None if it still works after so long."""
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.001)


def killed(child: int) -> None:
    """End a process and all that it started, without warning."""
    for place in (os.killpg, os.kill):  # it may not have its group yet
        try:
            place(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.waitpid(child, 0)


def finish(work: Work, folder: Path) -> float:
    """Let it work to the end, and say how long that took."""
    start = time.monotonic()
    status = ended(begun(work, folder), 600)
    if status != 0:
        raise SystemExit(f"it ended with {status}: {(folder / 'said.txt').read_text()[-2000:]}")
    return time.monotonic() - start


def disturbed(surface: Surface, folder: Path, kills: int, seed: int) -> Came:
    """One surface undisturbed, then killed so many times; begun anew in another folder whenever it is done."""
    numbers = random.Random(seed)
    quiet = folder / "quiet"
    quiet.mkdir()
    surface.prepare(quiet)
    seconds = finish(surface.work, quiet)
    due = surface.content(quiet)
    wrong: list[str] = []
    done = finished = 0
    while done < kills:
        place = folder / f"killed-{finished}"
        place.mkdir()
        surface.prepare(place)
        status = None
        while done < kills and status is None:
            child = begun(surface.work, place)
            status = ended(child, numbers.uniform(0, seconds))
            if status is None:
                killed(child)
                done += 1
                if what := surface.partial(place, due):
                    wrong.append(f"after kill {done}: {what}")
        if status:
            wrong.append(f"given again, it ended with {status}: {(place / 'said.txt').read_text()[-500:]}")
        finish(surface.work, place)
        finished += 1
        if surface.content(place) != due:
            wrong.append(f"after kill {done} and a last time undisturbed it is another")
    return Came(kills=done, finished=finished, wrong=wrong)


def fedward(*words: str) -> None:
    """A command line, in this process."""
    sys.argv = ["fedward", *words]
    app()


# --- a run ----------------------------------------------------------------------------------------------------


def run(folder: Path) -> None:
    setting = "--data fashion-mnist-subset --model linear --clients 6 --byzantine 1 --batch-size 5 --rounds 60"
    how = "--evaluate-every 2 --rule median --attack alie --threads 1"
    fedward("run", *setting.split(), *how.split(), "--out", str(folder / "run"))


def content_of_run(folder: Path) -> Any:
    stored = RunFolder(folder / "run")
    plain = [kill_sweep.settled(record.to_json()) for record in stored.read_records().records]
    return plain, kill_sweep.settled(torch.load(stored.checkpoint, weights_only=True))


def partial_run(folder: Path, due: Any) -> str | None:
    stored = RunFolder(folder / "run")
    if stored.checkpoint.exists():
        torch.load(stored.checkpoint, weights_only=True)
    if (folder / "run" / "run.json").exists():
        records = [kill_sweep.settled(record.to_json()) for record in stored.read_records().records]
        if records != due[0][: len(records)]:
            return "records that are others"
    return None


# --- aggregate ------------------------------------------------------------------------------------------------

OLD = b"an older one"
WRITTEN = ("new.safetensors", "page.html")
SAID = ("said.txt",)
_WHEN = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(Z| UTC)")


def models(folder: Path) -> None:
    """Clients' models; and, in every other folder, what an earlier aggregate has left."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(300, 400, generator=generator)
    save_file({"w": base}, folder / "base.safetensors")
    for k in range(8):
        moved = base + 0.01 * torch.randn(300, 400, generator=generator)
        save_file({"w": moved}, folder / f"client-{k}.safetensors")
    if folder.name.endswith(("1", "3", "5", "7", "9")):
        for name in WRITTEN:
            (folder / name).write_bytes(OLD)


def aggregate(folder: Path) -> None:
    clients = [f"client-{k}.safetensors" for k in range(8)]
    written = ["-o", WRITTEN[0], "--report", WRITTEN[1]]
    fedward("aggregate", *clients, "--base", "base.safetensors", "--rule", "multi-krum:f=1,m=8", "--json", *written)


def content_of_aggregate(folder: Path) -> Any:
    written, said = ([placeless(folder, (folder / name).read_bytes()) for name in names] for names in (WRITTEN, SAID))
    return written, said


def placeless(folder: Path, told: bytes) -> bytes:
    """Without when and where it was made, which a page and JSON say."""
    whole = told.replace(b"<wbr>", b"")  # where a page may break a path
    return _WHEN.sub(b"WHEN", whole).replace(os.fsencode(folder), b"FOLDER")


def partial_aggregate(folder: Path, due: Any) -> str | None:
    for name, whole in zip(WRITTEN, due[0], strict=True):
        if not (folder / name).exists():
            continue
        found = placeless(folder, (folder / name).read_bytes())
        if found not in (whole, OLD):
            return f"{len(found):,} bytes of {name}, of {len(whole):,}"
    return None


# --- a Flower server ------------------------------------------------------------------------------------------


def serve(folder: Path) -> None:
    from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp.strategy import FedAdam

    from fedward.flower import Robust
    from fedward.flower.testing import InProcess

    client = ClientApp()

    @client.train()
    def train(message: Message, context: Context) -> Message:
        target = 1.0 + 0.1 * int(context.node_config["partition-id"])
        moved = {
            name: Array(a.numpy() + np.float32(0.5) * (np.float32(target) - a.numpy()))
            for name, a in message.content["arrays"].items()
        }
        content = RecordDict({"arrays": ArrayRecord(moved), "metrics": MetricRecord({"num-examples": 10})})
        return Message(content, reply_to=message)

    strategy = Robust(
        FedAdam(fraction_evaluate=0, eta=0.1),
        rule="bucketing:s=2 >> centered-clipping:radius=1.0",
        audit=folder / "audit.jsonl",
        checkpoint=folder / "server.pt",
    )
    arrays = ArrayRecord({"w": Array(np.zeros((100, 400), np.float32))})
    strategy.start(InProcess(client, range(100, 110)), arrays, num_rounds=40)


def told_of(folder: Path) -> list[int]:
    """The rounds that the audit has, read as the report reads it: a line that a kill cut short is none."""
    from fedward.report.audits import load_audit

    return [entry.round for entry in load_audit(folder / "audit.jsonl").rounds]


def content_of_server(folder: Path) -> Any:
    saved = kill_sweep.settled(torch.load(folder / "server.pt", weights_only=True))
    return {key: value for key, value in saved.items() if key != "mark"}  # each saving has one of its own


def partial_server(folder: Path, due: Any) -> str | None:
    saved = 0
    if (folder / "server.pt").exists():
        saved = torch.load(folder / "server.pt", weights_only=True)["round"]
    if not (folder / "audit.jsonl").exists() or not (folder / "audit.jsonl").read_bytes().count(b"\n"):
        return None
    told = told_of(folder)
    if max(told) > saved:
        return f"the audit has round {max(told)}, the checkpoint {saved}"
    return None


SURFACES = {
    "run": Surface(prepare=lambda folder: None, work=run, content=content_of_run, partial=partial_run),
    "aggregate": Surface(prepare=models, work=aggregate, content=content_of_aggregate, partial=partial_aggregate),
    "Flower server": Surface(
        prepare=lambda folder: None, work=serve, content=content_of_server, partial=partial_server
    ),
}


def sweep(folder: Path, kills: int, seed: int) -> Came:
    """See scripts/kill_sweep.py, whose processes are begun as a shell would."""
    result = kill_sweep.tried(folder, kills=kills, cells=4, workers=2, seed=seed, rounds=40)
    whole = result["same"] and result["done"] == result["cells"] and not result["left over"]
    return Came(kills=sum(result["kills"].values()), finished=1, wrong=[] if whole else [str(result)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[*SURFACES, "sweep"])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args()
    print("| surface | kills | finished | wrong | seconds |\n|---|---:|---:|---:|---:|")
    all_wrong = []
    for name in given.only:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            came = (
                sweep(Path(place), given.kills, given.seed)
                if name == "sweep"
                else disturbed(SURFACES[name], Path(place), given.kills, given.seed)
            )
        row = (name, came.kills, came.finished, len(came.wrong), f"{time.monotonic() - start:.0f}")
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
        all_wrong += [f"{name}: {text}" for text in came.wrong]
    print("\n".join(all_wrong))
    return 1 if all_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
