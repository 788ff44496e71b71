"""What commands are made of: how they are read, explained and carried out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..failures import MendableError, sentence
from .helping import write_help
from .terminal import INTERRUPTED, interrupts_raise, say_error

_ASKED = 2
"""Exit status where what was asked for cannot be: what click has for a command line that cannot be read."""

MEANT = {
    **dict.fromkeys(("-j", "--jobs", "--n-jobs", "--cores", "--cpus", "--processes"), ("--workers", "--threads")),
    **dict.fromkeys(("--epochs", "--iterations", "--num-rounds"), ("--rounds",)),
    **dict.fromkeys(("--aggregator", "--aggregation", "--defense", "--defence"), ("--rule",)),
    **dict.fromkeys(("--malicious", "--attackers", "--adversaries"), ("--byzantine",)),
    **dict.fromkeys(("--gpu", "--cuda"), ("--device",)),
    "--learning-rate": ("--lr",),
}
"""What options of other programs are called here; a command has one of these, or none."""


class Commands(TyperGroup):
    """Several commands under one word."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """What `--help` says."""
        write_help(self, ctx, formatter)


class Command(TyperCommand):
    """A command that refuses an option given twice, and says in a sentence what went wrong."""

    failed = 1
    """Exit status after an error while it was at work; after one in what was asked for it is 2, as typer has it."""
    resumes = "; what was done is saved. The same command resumes"
    """What is said after "Stopped" when an interrupt has ended it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Arguments and options by name. Of an option that takes one value, no second one may replace the first."""
        try:
            return self._parsed(ctx, args)
        except Exception as error:
            if hasattr(error, "possibilities"):  # an option that there is not, whose likeness of letters may mislead
                own = {name for param in self.params for name in param.opts}
                meant = [name for name in MEANT.get(str(getattr(error, "option_name", "")), ()) if name in own]
                error.possibilities = meant or error.possibilities
            raise

    def _parsed(self, ctx: Any, args: list[str]) -> list[str]:
        if any("\0" in arg for arg in args):  # only a program can say that, and no file is called so
            raise typer.BadParameter("there is a null character in what was given; leave it out.", ctx)
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for param, times in Counter(order).items():
                several = param.multiple or param.is_eager or param.param_type_name == "argument"
                if times > 1 and not several:
                    raise typer.BadParameter(f"given {times} times, but it takes one value; give it once.", ctx, param)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """What `--help` says."""
        write_help(self, ctx, formatter)

    def announce(self, ctx: Any) -> None:
        """What is to be said before anything is loaded, which takes seconds."""

    def invoke(self, ctx: Any) -> Any:
        """Carry the command out."""
        try:
            self.announce(ctx)
            from . import commands  # noqa: F401  # all that takes long to load

            interrupts_raise()
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo(f"Stopped{self.resumes}.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except Exception as error:
            say_error(sentence(error))
            asked = isinstance(error, MendableError) and error.asked
            raise typer.Exit(_ASKED if asked else self.failed) from None


class Looking(Command):
    """A command that writes nothing, or all at once: there is nothing to be resumed."""

    resumes = ""


class Watching(Looking):
    """A command that says at once what it waits for, and whose option --serve may do without a value."""

    def announce(self, ctx: Any) -> None:
        """What is watched, or waited for."""
        from .awaited import say_awaited

        given = ctx.params
        wanted = {name: given[name] for name in ("once", "serve", "host")}
        say_awaited(Path(given["audit"]), as_json=given["as_json_"], **wanted)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Whatever follows --serve is its port if it is a number; without one, any free port is taken."""
        given: list[str] = []
        for place, arg in enumerate(args):
            given.append(arg)
            follows = args[place + 1] if place + 1 < len(args) else ""
            if arg == "--serve" and not follows.isdecimal():
                given.append("0")
        return super().parse_args(ctx, given)


class OwnCommand(Command):
    """One whose user may name modules of the working folder; the others never load any from there."""

    def invoke(self, ctx: Any) -> Any:
        """Carry the command out."""
        from .imports import own_modules

        with own_modules(ctx.params.values(), trust=ctx.params.get("trust_imports", False)):
            return super().invoke(ctx)


class Judgement(OwnCommand):
    """A command whose status 3 says that somebody was dropped; 2 is any error, as it is for wrong options."""

    failed = _ASKED
    resumes = ""
