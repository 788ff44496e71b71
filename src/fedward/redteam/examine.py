"""The examination of rules: every attack played, then the model trained under the worst.

Each result is in the file as soon as it is there, so that an examination that was stopped can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ..experiments.pool import Failed, run_jobs, stop_if_asked
from ..experiments.spec import RunSpec, SpecError
from ..experiments.versions import versions
from ..registry.notation import describe, parse
from .arsenal import ALL_ATTACKS, family, played_on
from .basis import Basis, outdated_told
from .capture import CAPTURED, as_examined, capture, check_captured
from .findings import NONE, Examination, FindingsFile, RedTeamError, differing, results_in
from .play import check_on_rows, check_played, play


def examine(
    spec: RunSpec,
    file: Path,
    *,
    warmup: int = 20,
    rounds: int = CAPTURED,
    worst: int = 3,
    attacks: Sequence[str] | None = None,
    also: Sequence[str] = (),
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Examination:
    """Examine the rule of a specification: its data, model and clients make the rows, its rounds the short training.

    A rule that hears alarms is examined among clients that raise them (`as_examined`), and by attacks that do.

    Every finding is a line of the file as soon as it is there; the same call resumes an unfinished file. Results of
    before the data or the user's own rule, attack, model or clients changed are made again; the file with them is set
    aside, with a number after its name.

    Args:
        spec: the rule, and the training that it is examined on.
        file: JSON lines: settings, then one line a result.
        warmup: honest rounds before the rows are captured.
        rounds: successive rounds that are captured; attacks play in all but the first, or but those that the rule must
            have seen before (`Traits.learns`), where there are more. Else the findings say that it never decided.
        worst: how many kinds of attack the model is trained under.
        attacks: which, as text; all there are for the rule if None (`attacks_on`), and in the place of "all".
        also: attacks that the model is trained under in any case, those on data too.
        on_progress: told what is being done, how much is done, and how much there is in all.

    Raises:
        RedTeamError: the file holds an examination with other settings; it is left as it is.
        SpecError: nobody is byzantine, clients send several rows in a round, or an attack cannot be played on captured
            rows: it poisons data (that is for ``also``), or attacks in none of the rounds.
        DataError: data files are missing or damaged.

    Examples:
        >>> import tempfile
        >>> from fedward.experiments import RunSpec
        >>> spec = RunSpec(data="fashion-mnist-subset", model="linear", clients=8, byzantine=2, rounds=2, rule="mean")
        >>> file = Path(tempfile.mkdtemp()) / "mean.jsonl"
        >>> found = examine(spec, file, warmup=1, rounds=2, worst=0, attacks=["zero"])
        >>> [finding.attack for finding in found.findings]
        ['zero']
    """
    spec = as_examined(spec)
    check_attacked(spec)
    rule = spec.make_rule()
    settings = _settings(spec, warmup, rounds, worst, attacks, also)
    attacks, also = settings["attacks"], settings.get("also", ())
    for text in attacks:
        try:
            check_played(rule, parse(text, "attack"), rounds, spec.seed)
        except ValueError as error:
            raise SpecError(f"attack: {error}") from None
    found = _opened(file, spec, settings)
    total = examination_steps(attacks, worst, also)

    def tell(what: str) -> None:
        stop_if_asked()
        if on_progress is not None:
            on_progress(what, len(found.played) + len(found.trained), total)

    missing = [text for text in attacks if text not in found.played]
    if missing:
        tell("honest training")
        captured = capture(spec, warmup, rounds)
        for text in missing:
            tell(text)
            finding = play(rule, parse(text, "attack"), captured, byzantine=spec.byzantine, seed=spec.seed)
            found.add(finding)
    chosen = [finding.attack for _, finding in found.examination().worst() if finding.attack not in (NONE, *also)]
    for text in dict.fromkeys((*also, *chosen[:worst], NONE)):
        if text not in found.trained:
            tell(f"training under {text}")
            found.add_accuracy(text, _accuracy(spec, text))
    astray = found.examination().astray()
    if worst and astray is not None and astray.attack not in found.forged:
        tell(f"training under statistics forged as by {astray.attack}")
        found.add_forged(astray.attack, _accuracy(spec.model_copy(update={"forge": "statistics"}), astray.attack))
    tell("done")
    return found.examination()


def _opened(file: Path, spec: RunSpec, settings: Mapping[str, Any]) -> FindingsFile:
    attacks = (*settings["attacks"], *settings.get("also", ()))
    return FindingsFile(file, settings, versions("redteam"), Basis.of(spec, attacks))


def set_outdated_aside(
    jobs: Mapping[Path, RunSpec],
    *,
    warmup: int = 20,
    rounds: int = CAPTURED,
    worst: int = 3,
    attacks: Sequence[str] | None = None,
    also: Sequence[str] = (),
) -> list[str]:
    """Do what `examine` does about results of before something changed, for all of `examine_all`; say what it is.

    Args:
        jobs, warmup, rounds, worst, attacks, also: as `examine_all`. Files that it would refuse are left to it.

    Returns:
        A sentence for each reason; nothing where all results hold.
    """
    outdated = []
    for file, given in jobs.items():
        spec = as_examined(given)
        with suppress(RedTeamError):
            if file.exists():
                outdated.append(_opened(file, spec, _settings(spec, warmup, rounds, worst, attacks, also)).outdated)
    return outdated_told(one for one in outdated if one is not None)


def check_attacked(spec: RunSpec) -> None:
    """Raise SpecError where nobody is byzantine, so that there is nothing to examine, or rows are not one a client."""
    if not spec.answers.byzantine:
        raise SpecError("byzantine = 0: where nobody attacks there is nothing to examine; take 1 at least")
    check_captured(as_examined(spec))


def checked_attack(text: str) -> str:
    """An attack to play, as it was typed, if it is one for captured rows; or all of them.

    Raises:
        SpecError: it is none.
    """
    if text == ALL_ATTACKS:
        return text
    try:
        check_on_rows(parse(text, "attack"))
    except ValueError as error:
        raise SpecError(f"attack: {error}") from None
    return text


def examination_steps(attacks: Sequence[str], worst: int, also: Sequence[str] = ()) -> int:
    """How many results an examination has; a model with running statistics has one more, which takes as long."""
    kinds = {family(attack) for attack in attacks} - {NONE}
    return len(set(attacks)) + min(worst, len(kinds)) + len({*also, NONE})


def check_resumed(
    jobs: Mapping[Path, RunSpec],
    out: Path,
    *,
    warmup: int = 20,
    rounds: int = CAPTURED,
    worst: int = 3,
    attacks: Sequence[str] | None = None,
    also: Sequence[str] = (),
) -> None:
    """Raise RedTeamError where files that are there hold examinations of other settings than `examine_all` would make.

    Args:
        jobs, warmup, rounds, worst, attacks, also: as `examine_all`.
        out: the folder that the error names.
    """
    differ = [
        differing(file, _settings(as_examined(spec), warmup, rounds, worst, attacks, also))
        for file, spec in jobs.items()
    ]
    others = [names for names in differ if names]
    if others:
        named = ", ".join(dict.fromkeys(name for names in others for name in names))
        files = "file of its" if len(others) == 1 else f"{len(others)} files of their"
        raise RedTeamError(
            f"{out} holds {'an examination' if len(others) == 1 else 'examinations'} of other settings ({named}): "
            f"choose another folder, such as --out {out}-2. (--fresh would delete the {files} results, and start anew.)"
        )


def _settings(
    spec: RunSpec, warmup: int, rounds: int, worst: int, attacks: Sequence[str] | None, also: Sequence[str]
) -> dict[str, Any]:
    """What the first line of an examination's file has."""
    played = [*dict.fromkeys(describe(parse(text, "attack")) for text in played_on(spec.make_rule(), attacks))]
    settings = {**spec.resolved(), "warmup": warmup, "captured": rounds, "worst": worst, "attacks": played}
    settings |= {"also": [describe(parse(text, "attack")) for text in also]} if also else {}
    del settings["attack"]
    return settings


def examine_all(
    jobs: Mapping[Path, RunSpec],
    *,
    warmup: int = 20,
    rounds: int = CAPTURED,
    worst: int = 3,
    attacks: Sequence[str] | None = None,
    also: Sequence[str] = (),
    workers: int | None = None,
    on_progress: Callable[[Mapping[Path, int]], None] | None = None,
) -> dict[Path, Examination | Failed]:
    """Examine many rules, one process a core with one thread each; one that fails stops no other.

    Args:
        jobs: specifications by file.
        warmup, rounds, worst, attacks, also: as `examine`.
        workers: processes; all cores if None.
        on_progress: called twice a second with the results in each file.
    """
    work = partial(examine, warmup=warmup, rounds=rounds, worst=worst, attacks=attacks, also=also)
    arguments = {file: (spec, file) for file, spec in jobs.items()}
    return run_jobs(work, arguments, workers=workers, progress=results_in, on_progress=on_progress)


def _accuracy(spec: RunSpec, attack: str) -> float:
    """Test accuracy after the specification's rounds under an attack."""
    simulation = spec.simulation(attack=parse(attack, "attack"))
    for _ in simulation.run(spec.rounds, evaluate_every=spec.rounds):
        stop_if_asked()
    accuracy = simulation.records[-1].accuracy
    assert accuracy is not None  # the last round is always evaluated
    return accuracy
