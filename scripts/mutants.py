"""Mutation testing: does a test fail when an operator, a number or a call of the library is changed?

    .venv/bin/pip install cosmic-ray==8.7.0
    .venv/bin/python scripts/mutants.py            # the same sample each time, in about half an hour of one core
    .venv/bin/python scripts/mutants.py --count 40 --seed 1 --only rules/sign.py

A fixed sample of mutants of rules, stack and some of core, spread over the files by their size, each against the tests
of its file alone. A mutant lives in a copy of the tree, and its tests in a fork of a process that has imported torch
already.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from difflib import unified_diff
from importlib import import_module
from importlib.util import cache_from_source
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src/fedward")
PATIENCE = 3  # a mutant whose tests take so many times as long as without it is killed: its loop may have no end

INPUTS = "stack/test_inputs.py stack/test_few_rows.py stack/test_oddities.py stack/test_stack.py"
VIEWS = "stack/test_statistics.py stack/test_views.py stack/test_stack.py"
ROUNDS = "conformance/test_round_by_round.py conformance/test_memory.py"
MEMORY = f"{ROUNDS} conformance/test_recovery.py conformance/test_forgetting.py"
SIREN = "conformance/test_siren.py conformance/test_siren_award.py"
MIXERS = "conformance/test_mixers.py conformance/test_groups.py conformance/test_chains_of_mixers.py"
CHAINS = f"conformance/test_chain.py {MIXERS} conformance/test_layers.py"
NUMBERS = "conformance/test_numbers.py"
# What is about a file, besides the tests of its rules in conformance/test_rules.py.
TESTS = {
    "core/chain.py": f"{CHAINS} -k 'not before_every_rule'",
    "core/state.py": MEMORY,
    "rules/center.py": f"{NUMBERS} {ROUNDS}",
    "rules/classwise.py": "conformance/test_classwise.py",
    "rules/clustering.py": f"conformance/test_clusterings.py {ROUNDS} conformance/test_forgetting.py",
    "rules/copod.py": NUMBERS,
    "rules/distance.py": NUMBERS,
    "rules/fldetector.py": MEMORY,
    "rules/layerwise.py": f"conformance/test_layers.py {NUMBERS}",
    "rules/meanshift.py": "conformance/test_mean_shift.py conformance/test_signguard.py",
    "rules/messages.py": f"conformance/test_messages.py {SIREN}",
    "rules/mixture.py": ROUNDS,
    "rules/remembered.py": MEMORY,
    "rules/reputation.py": MEMORY,
    "rules/sign.py": f"conformance/test_signguard.py conformance/test_signguard_oracles.py {NUMBERS}",
    "rules/siren.py": SIREN,
    "rules/spectral.py": NUMBERS,
    "rules/subset.py": f"conformance/test_subset.py {NUMBERS}",
    "rules/trust.py": "conformance/test_parameters_evaluated.py",
    "rules/weiszfeld.py": NUMBERS,
    "rules/wrapped.py": f"{SIREN} conformance/test_classwise.py",
    "stack/blocks.py": VIEWS,
    "stack/buffers.py": "stack/test_buffers.py",
    "stack/copies.py": f"{VIEWS} conformance/test_memory.py",
    "stack/election.py": "conformance/test_rules.py::test_equals_its_oracle_anywhere stack/test_kernels.py",
    "stack/entries.py": INPUTS,
    "stack/files.py": "stack/test_files.py",
    "stack/geometry.py": f"{VIEWS} {NUMBERS}",
    "stack/intake.py": INPUTS,
    "stack/kernels.py": f"stack/test_kernels.py {NUMBERS}",
    "stack/layered.py": "conformance/test_layers.py",
    "stack/layout.py": INPUTS,
    "stack/networks.py": "stack/test_kernels.py",
    "stack/parts.py": "sim/test_fresh_statistics.py attacks/test_adaptive.py",
    "stack/ranks.py": "stack/test_ranks.py stack/test_kernels.py",
    "stack/reference.py": INPUTS,
    "stack/rowmaps.py": VIEWS,
    "stack/sample.py": VIEWS,
    "stack/sources.py": f"{VIEWS} stack/test_inputs.py",
    "stack/stats.py": VIEWS,
    "stack/updates.py": VIEWS,
    "stack/views.py": f"{VIEWS} stack/test_inputs.py",
}

Position = tuple[int, int]
Mutant = tuple[str, str, str]
"""The file, what is changed, and its text afterwards."""


def files() -> list[str]:
    """The files of rules and stack, and of core what chains and remembers."""
    core = [PACKAGE / "core" / name for name in ("chain.py", "state.py")]
    found = [*core, *(p for part in ("rules", "stack") for p in (ROOT / PACKAGE / part).glob("*.py"))]
    names = {(ROOT / path).relative_to(ROOT / PACKAGE).as_posix() for path in found}
    return sorted(name for name in names if not name.endswith("__init__.py"))


def annotations(tree: ast.AST) -> list[tuple[Position, Position]]:
    """Where annotations are: nothing there is run."""
    nodes = (getattr(node, name, None) for node in ast.walk(tree) for name in ("annotation", "returns"))
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in nodes if n is not None]


def calls(text: str) -> Iterator[tuple[Position, str, str]]:
    """``x.clone()`` and other methods become ``x``: a call forgotten."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            held = node.func.value
            begin = starts[held.end_lineno - 1] + held.end_col_offset
            end = starts[node.end_lineno - 1]
            yield (node.lineno, node.col_offset), "call forgotten", text[:begin] + text[end + node.end_col_offset :]


def operators(text: str) -> Iterator[tuple[Position, str, int]]:
    """What cosmic-ray can change, by position: the name of its operator and which of its occurrences."""
    nodes = list(ast_nodes(get_ast(text)))
    for name in sorted(cosmic_ray.plugins.operator_names()):
        operator = cosmic_ray.plugins.get_operator(name)
        if operator.arguments() or name.endswith("/NoOp"):
            continue
        positions = (start for node in nodes for start, _ in operator().mutation_positions(node))
        yield from ((start, name, k) for k, start in enumerate(positions))


def mutants(file: str, count: int, seed: int) -> list[Mutant]:
    """A sample of the places in a file that can be changed, and one change for each."""
    text = (ROOT / PACKAGE / file).read_text(encoding="utf-8")
    untouched = annotations(ast.parse(text))
    places: dict[Position, list[tuple[str, str | int]]] = defaultdict(list)
    for place, name, change in (*operators(text), *calls(text)):
        if not any(start <= place < stop for start, stop in untouched):
            places[place].append((name, change))
    order = sorted(places)
    made = []
    random.Random(f"{seed} {file}").shuffle(order)
    for place in order[:count]:  # so that a smaller sample is a part of a larger one
        name, change = random.Random(f"{seed} {file} {place}").choice(places[place])
        if isinstance(change, int):
            change = mutate_code(text, cosmic_ray.plugins.get_operator(name)(), change)
        made.append((file, name.removeprefix("core/"), change))
    return made


def shares(count: int) -> dict[str, int]:
    """How many mutants of each file: by its lines, at least 2."""
    lines = {file: len((ROOT / PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file in files()}
    return {file: max(2, round(count * lines[file] / sum(lines.values()))) for file in lines}


def selections(file: str) -> list[list[str]]:
    """What to give to pytest for a file, one call after the other."""
    words = shlex.split(TESTS.get(file, ""))
    runs = []
    if words:
        runs.append([f"tests/{word}" if ".py" in word else word for word in words])
    if file.startswith("rules/"):
        tree = ast.parse((ROOT / PACKAGE / file).read_text(encoding="utf-8"))
        names = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        if names:
            runs.insert(0, ["tests/conformance/test_rules.py", "-k", " or ".join(names)])
            runs.append([f"tests/conformance/{test}.py" for test in ("test_values", "test_limits")])
    return runs


def passes(copy: Path, file: str, seconds: int = 1800) -> tuple[bool, float]:
    """Whether the tests of a file pass in the copy, and the seconds of a processor that they took."""
    # Two mutants of one second and one size would be taken for one another.
    Path(cache_from_source(str(copy / PACKAGE / file))).unlink(missing_ok=True)
    child = os.fork()
    if not child:
        # Of the processor, not of the clock: on a busy machine slow tests are not failing ones.
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        run_tests(copy, file)
    _, status, used = os.wait4(child, 0)
    return status == 0, used.ru_utime + used.ru_stime


def run_tests(copy: Path, file: str) -> None:
    """Run the tests of a file, and end the process with what they say."""
    import pytest

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1), os.dup2(silence, 2)
    os.chdir(copy)
    sys.path.insert(0, str(copy / "src"))
    code = 1
    try:
        already = "ignore::pytest.PytestAssertRewriteWarning"  # a second call finds modules of the first
        quiet = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", already]
        code = int(any(pytest.main([*quiet, *selection]) for selection in selections(file)))
    finally:
        os._exit(code)


def copied(to: Path) -> None:
    """The tracked and the new files of the tree."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src", "tests", "pyproject.toml"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)


def told(file: str, name: str, before: str, after: str) -> str:
    """What was changed, in a few lines."""
    changes = unified_diff(before.splitlines(), after.splitlines(), file, name, n=0, lineterm="")
    return "\n".join(line for line in changes if not line.startswith("+++"))


def main() -> None:
    parser = argparse.ArgumentParser(description="A sample of mutants, and the share that survives.")
    parser.add_argument("--count", type=int, default=150, help="mutants in all, about")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--only", nargs="*", default=None, help="files, such as rules/sign.py")
    given = parser.parse_args()
    for name in ("numba", "scipy.stats", "sklearn.cluster", "torch"):
        import_module(name)  # so that no fork has to
    made = Counter()
    survived = Counter()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        copied(copy)
        for file, count in shares(given.count).items():
            if given.only is not None and file not in given.only:
                continue
            target = copy / PACKAGE / file
            text = target.read_text(encoding="utf-8")
            well, took = passes(copy, file)
            if not well:
                print(f"{file}: its tests fail without a mutant", flush=True)
                continue
            for _, name, changed in mutants(file, count, given.seed):
                target.write_text(changed, encoding="utf-8")
                lives, _ = passes(copy, file, 10 + round(PATIENCE * took))
                made[file] += 1
                survived[file] += lives
                if lives:
                    print(told(file, name, text, changed), flush=True)
            target.write_text(text, encoding="utf-8")
            print(f"{file}: {made[file]} mutants, {survived[file]} survived", flush=True)
    total = made.total()
    left = survived.total()
    print(f"{total} mutants, {total - left} killed, {left} survived ({left / max(total, 1):.0%})")


if __name__ == "__main__":
    main()
