"""Options that are keys of a specification: what each is for, and what is taken where nobody gives it.

A command chooses the type, `list[int] | None` where several values make a grid, and takes the rest from here. Defaults
are the specification's own, said once more since that takes its time to load; tests hold one against the other.
"""

from __future__ import annotations

from typing import Any

import typer

from .completing import names_of, one_of

DATA_PANEL = "Data and model"
CLIENTS_PANEL = "Clients"
DEFENCE_PANEL = "Defence and attack"
TRAINING_PANEL = "Training"
MACHINE_PANEL = "Machine"
FILES_PANEL = "Input and output"
EXAMINATION_PANEL = "Examination"


def spec_option(text: str, metavar: str, panel: str, default: str | None = None, **more: Any) -> Any:
    """An option, as Typer takes it in an annotation."""
    shown: dict[str, Any] = {} if default is None else {"show_default": default}
    return typer.Option(help=text, metavar=metavar, rich_help_panel=panel, **shown, **more)


_DATA = names_of("data set")
_MODEL = names_of("model")
_RULE = names_of("rule", "mixer")
_ATTACK = names_of("attack")
_PARTITION = names_of("partition")

# --- data and model -----------------------------------------------------------------------------------------

DATA = spec_option(
    "Data set (`fedward list data`), or an import path.",
    "NAME",
    DATA_PANEL,
    "fashion-mnist",
    autocompletion=_DATA,
)
EXAMINED_DATA = spec_option(
    "Data set (`fedward list data`), or an import path; the default comes with the package.",
    "NAME",
    DATA_PANEL,
    "fashion-mnist-subset",
    autocompletion=_DATA,
)
DATA_PATH = spec_option("Folder with the data files.", "FOLDER", DATA_PANEL, "$FEDWARD_DATA and the usual places")
MODEL = spec_option(
    "Model (`fedward list models`), or an import path.",
    "NAME",
    DATA_PANEL,
    "signguard-cnn",
    autocompletion=_MODEL,
)
PARTITION = spec_option(
    "Who holds what (`fedward list partitions`), such as s-fraction:s=0.5.",
    "NAME",
    DATA_PANEL,
    "iid",
    autocompletion=_PARTITION,
)
CHOICE_PARTITIONS = spec_option(
    "Who holds what (`fedward list partitions`); several are examined one by one.",
    "NAME",
    DATA_PANEL,
    "iid, and dirichlet:alpha=0.5",
    autocompletion=_PARTITION,
)
VALIDATION = spec_option("Share of training data to test on instead.", "SHARE", DATA_PANEL, "0")
ROOT = spec_option("Samples of the server's own, for rules with data.", "N", DATA_PANEL, "100")
ROOT_APART = spec_option("Whether no client trains on the server's samples.", "", DATA_PANEL, "no-root-apart")

# --- clients ------------------------------------------------------------------------------------------------

CLIENTS = spec_option("Clients in all.", "N", CLIENTS_PANEL, "50")
BYZANTINE = spec_option("How many of them are byzantine, or which: 3,4.", "N|IDS", CLIENTS_PANEL, "10")
CHOICE_BYZANTINE = spec_option("How many of them may be byzantine, or which: 3,4.", "N|IDS", CLIENTS_PANEL, "10")
BYZANTINE_DATA = spec_option(
    "What byzantine clients hold: own, or all.",
    "WHAT",
    CLIENTS_PANEL,
    "own",
    autocompletion=one_of("own", "all"),
)
ALGORITHM = spec_option(
    "What clients compute (`fedward list clients`), such as local-sgd:epochs=1,optimizer=adamw,lr=0.001.",
    "NAME",
    CLIENTS_PANEL,
    "gradient",
    autocompletion=names_of("client"),
)
BATCH_SIZE = spec_option("Samples in a client's batch.", "N", CLIENTS_PANEL, "60")
EXAMINED_BATCH_SIZE = spec_option("Samples in a client's batch.", "N", CLIENTS_PANEL, "20")
PARTICIPATION = spec_option(
    "Share of clients in a round; below 1 an f that is not given is smaller.", "SHARE", CLIENTS_PANEL, "1"
)
DROPOUT = spec_option("Share of these that never answer.", "SHARE", CLIENTS_PANEL, "0")
LATE = spec_option("Share of these whose answer comes a round late.", "SHARE", CLIENTS_PANEL, "0")

# --- defence and attack -------------------------------------------------------------------------------------

RULE = spec_option(
    "Defence (`fedward list rules`), such as multi-krum:f=10.",
    "RULE",
    DEFENCE_PANEL,
    "sign-guard",
    autocompletion=_RULE,
)
EXAMINED_RULE = spec_option(
    "Rule (`fedward list rules`), or import path of one, such as my.rules.Mine:f=10; all for every rule.",
    "RULE",
    DEFENCE_PANEL,
    autocompletion=names_of("rule", "mixer", also=("all",)),
)
CANDIDATE = spec_option(
    "Candidate (`fedward list rules`), or all.",
    "RULE",
    DEFENCE_PANEL,
    "a short list",
    autocompletion=names_of("rule", "mixer", also=("all",)),
)
ONE_RULE = spec_option(
    "Defence (`fedward list rules`), such as multi-krum:f=2.",
    "RULE",
    DEFENCE_PANEL,
    autocompletion=_RULE,
)
PANEL_RULE = spec_option(
    "Rule to ask (`fedward list rules`).",
    "RULE",
    DEFENCE_PANEL,
    "five different ideas",
    autocompletion=_RULE,
)
ATTACK = spec_option(
    "Attack (`fedward list attacks`), such as alie:z=1.",
    "ATTACK",
    DEFENCE_PANEL,
    "alie",
    autocompletion=_ATTACK,
)
PLAYED_ATTACK = spec_option(
    "Attack to play (`fedward list attacks`), or all, to which others add.",
    "ATTACK",
    DEFENCE_PANEL,
    "all, at several strengths",
    autocompletion=names_of("attack", also=("all",)),
)
CHOICE_ATTACK = spec_option(
    "Attack to train every candidate under (`fedward list attacks`), or all, to which others add.",
    "ATTACK",
    DEFENCE_PANEL,
    "alie, min-max, sign-flip and label-flip",
    autocompletion=names_of("attack", also=("all",)),
)
F = spec_option(
    "What rules are told: expected in a round, half, twice, or unknown.",
    "WHAT",
    DEFENCE_PANEL,
    "expected",
    autocompletion=one_of("expected", "half", "twice", "unknown"),
)
CONFIDENCE = spec_option("Share of rounds that an f that is not given is enough for.", "SHARE", DEFENCE_PANEL, "0.99")
FORGE = spec_option(
    "What they forge: rows, both (running statistics too), or statistics.",
    "WHAT",
    DEFENCE_PANEL,
    "rows",
    autocompletion=one_of("rows", "both", "statistics"),
)
BATCH_NORM = spec_option(
    "Running statistics: mean of the accepted, robust (medians), or frozen.",
    "HOW",
    DEFENCE_PANEL,
    "mean",
    autocompletion=one_of("mean", "robust", "frozen"),
)

# --- training -----------------------------------------------------------------------------------------------

ROUNDS = spec_option("Rounds in all.", "N", TRAINING_PANEL, "1200")
EXAMINED_ROUNDS = spec_option("Rounds of the short training runs.", "N", TRAINING_PANEL, "60")
SERVER = spec_option(
    "Its optimiser (`fedward list servers`), such as fed-adam:lr=0.01.",
    "NAME",
    TRAINING_PANEL,
    "sgd",
    autocompletion=names_of("server"),
)
LR = spec_option(
    "Of the server's steps; 1 adds deltas as they are.", "X", TRAINING_PANEL, "0.1 for gradients, 1 for deltas"
)
EXAMINED_LR = spec_option("The server's learning rate.", "X", TRAINING_PANEL, "0.05")
CHOICE_LR = spec_option("The server's learning rate.", "X", TRAINING_PANEL, "0.05 for gradients, 1 for deltas")
MOMENTUM = spec_option("The server's momentum.", "X", TRAINING_PANEL, "0.9 for gradients, 0 for deltas")
WEIGHT_DECAY = spec_option("The server's weight decay.", "X", TRAINING_PANEL, "0.0005 for gradients, 0 for deltas")
EVALUATE_EVERY = spec_option("Rounds between tests and checkpoints.", "N", TRAINING_PANEL, "20")
SEED = spec_option("Of everything random.", "N", TRAINING_PANEL, "0")

# --- machine ------------------------------------------------------------------------------------------------

DEVICE = spec_option("cpu, cuda, ...", "NAME", MACHINE_PANEL, "cpu", autocompletion=one_of("cpu", "cuda", "mps"))
PRECISION = spec_option(
    "Trained in: float32, or bfloat16 on a GPU.",
    "TYPE",
    MACHINE_PANEL,
    "float32",
    autocompletion=one_of("float32", "bfloat16"),
)
THREADS = spec_option("Cores to use.", "N", MACHINE_PANEL, "all", min=1)
