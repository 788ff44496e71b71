"""A sweep as an array of jobs of SLURM: each task is the same command, and works at its share of the cells."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ..experiments.spec import SpecError
from .grid import Sweep
from .work import Jobs

_SCRIPT = """\
#!/bin/sh
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4G
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
# Cells: {cells}, tasks: {tasks}. A task that is ended or requeued resumes where it was; so does this script when it is
# submitted again. The folder has to lie on a file system that all nodes see.
export OMP_NUM_THREADS=1
{command} --task "$SLURM_ARRAY_TASK_ID/{tasks}" &
child=$!
trap 'kill -TERM "$child"' TERM
wait "$child" || wait "$child"
"""
_MOST = 1000
"""Tasks of an array that most clusters take."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """One of several equal shares of a sweep.

    Attributes:
        number: from 0.
        of_all: how many there are.
    """

    number: int
    of_all: int

    @classmethod
    def of(cls, text: str) -> Share:
        """Of ``NUMBER/COUNT``, such as 3/16.

        Raises:
            SpecError: not of this form, or a number that there is not.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if found is None or int(found[1]) >= int(found[2]):
            raise SpecError(f"--task takes NUMBER/COUNT, 0/16 to 15/16, got {text!r}")
        return cls(number=int(found[1]), of_all=int(found[2]))

    def of_cells(self, jobs: Jobs) -> Jobs:
        """Its own of the cells, by their keys: every cell is in one share, whatever is done already."""
        return {place: job for place, job in jobs.items() if int(job[2], 16) % self.of_all == self.number}


def job_script(command: Sequence[str], sweep: Sweep) -> str:
    """The script that ``sbatch`` takes.

    Args:
        command: what carries the sweep out.
        sweep: how many cells it has says how many tasks there are.
    """
    tasks = min(len(sweep.cells), _MOST)
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in sweep.name)
    return _SCRIPT.format(
        name=name, last=tasks - 1, tasks=tasks, cells=len(sweep.cells), command=shlex.join(command)
    ).rstrip("\n")
