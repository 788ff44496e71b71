"""What people who bring their own data and models stumble over is said in their terms, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset

import fedward as fw
from fedward import clients, rules, sim
from fedward.data import federate, load, own_dataset
from fedward.data.sources import DataError
from fedward.experiments.spec import SpecError, make_spec
from fedward.failures import sentence
from fedward.models import build_model
from fedward.report.pieces import cut

OURS = "data that comes with fedward"


def pair(count: int = 24) -> tuple[Tensor, Tensor]:
    return torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(count) % 3


class Unmeasured(TorchDataset[Any]):
    def __getitem__(self, i: int) -> Any:
        return pair()[0][i], 0


class WithNaN(TorchDataset[Any]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int) -> Any:
        return np.full((3, 4, 4), np.nan if i == 5 else 0.5, dtype=np.float32), i % 3


# --- data ---------------------------------------------------------------------------------------------------


def test_who_brings_data_is_not_sent_to_other_data(tmp_path: Path) -> None:
    with pytest.raises(DataError) as wrong:
        own_dataset((pair(), (pair()[0], pair()[1][:3])))
    assert sentence(wrong.value).endswith("one for each is needed")
    with pytest.raises(DataError) as wrong:
        load("image-folder", tmp_path / "nowhere")
    assert OURS not in sentence(wrong.value)
    lazy = own_dataset((WithNaN(), pair()))
    with pytest.raises(DataError) as wrong:
        lazy.train.inputs[4:6]
    assert OURS not in sentence(wrong.value)


def test_whose_files_are_missing_is_told_of_others_in_a_sentence_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DataError) as wrong:
        load("ag-news", tmp_path / "nowhere")
    assert "ag_news_csv/ (Or take the data that comes with fedward: --data" in sentence(wrong.value)


def test_a_sample_with_nan_is_named_once() -> None:
    with pytest.raises(DataError, match=r"^train sample 5 holds NaN"):
        own_dataset((WithNaN(), pair())).train.inputs[4:6]


def test_a_dataset_without_length() -> None:
    with pytest.raises(DataError, match=r"Unmeasured.*__len__"):
        own_dataset((Unmeasured(), pair()))


def test_a_missing_test_file_is_to_be_added_and_nothing_to_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text('"1","war","war and peace"\n"2","goal","a goal"\n')
    with pytest.raises(DataError, match=r"one file") as wrong:
        load("ag-news", tmp_path)
    assert "delete" not in str(wrong.value)
    assert "add" in str(wrong.value)


@pytest.mark.parametrize(("made", "lacking"), [([], "train and test are missing"), (["train"], "test is missing")])
def test_folders_of_images_that_are_missing(tmp_path: Path, made: list[str], lacking: str) -> None:
    for part in made:
        (tmp_path / part / "cat").mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / part / "cat" / "0.png")
    with pytest.raises(DataError, match=lacking):
        load("image-folder", tmp_path)


def test_data_that_nobody_has_dealt_are_not_printed() -> None:
    with pytest.raises(ValueError, match=r"got a tuple.*federate\(data, clients=") as wrong:
        fw.Simulation(model=nn.Flatten, data=(pair(), pair()), rule=rules.Mean())  # type: ignore[arg-type]
    assert len(str(wrong.value)) < 300


def test_a_partition_as_text() -> None:
    with pytest.raises(ValueError, match=r"'shards' is no partition.*fedward\.parse\('shards', 'partition'\)"):
        federate((pair(), pair()), 4, "shards")
    shards = fw.parse("shards", "partition")
    assert len(federate((pair(), pair()), 4, shards).shards) == 4


# --- models -------------------------------------------------------------------------------------------------


class Wrapped(nn.Module):
    """What gives its logits in a wrapping."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        self.inner, self.wrap = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), wrap

    def forward(self, inputs: Tensor) -> Any:
        return self.wrap(self.inner(inputs))


def simulated(model: nn.Module) -> fw.Simulation:
    data = sim.federate((pair(), pair()), clients=4)
    return fw.Simulation(model=model, data=data, rule=rules.Mean(), clients=clients.Gradient(batch_size=2))


@pytest.mark.parametrize("wrap", [lambda logits: {"logits": logits}, lambda logits: (logits, None)])
def test_a_model_that_wraps_its_logits(wrap: Any) -> None:
    with pytest.raises(ValueError, match=r"gives a (dict|tuple).*return the logits alone"):
        simulated(Wrapped(wrap))


def test_a_model_that_has_nothing_to_train() -> None:
    with pytest.raises(ValueError, match=r"no parameter that requires a gradient"):
        simulated(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).requires_grad_(False))


READY = nn.Linear(2, 2)


def test_a_model_that_is_made_already() -> None:
    with pytest.raises(ValueError, match=r"got an object of class Linear$"):
        build_model(f"{__name__}:READY")


# --- specifications -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["rule", "attack", "seed", "lr"])
def test_several_values_where_one_is_needed(key: str) -> None:
    with pytest.raises(SpecError, match=rf"^{key}: one value here; several make a grid.*fedward sweep"):
        make_spec({key: ["mean", "median"]})


def load_pairs() -> Any:
    return pair(), pair()


def test_a_folder_for_a_function_that_takes_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"takes no path: .*--data-path"):
        load(f"{__name__}:load_pairs", tmp_path)
    assert load(f"{__name__}:load_pairs").classes == 3


def test_a_module_that_is_named_by_its_file() -> None:
    with pytest.raises(ValueError, match=r"my\.module:Net, not its file"):
        build_model("./my/module.py:Net")


def test_labels_cut_short_keep_the_end_that_tells_them_apart() -> None:
    first, second = (cut(f"sign-guard >> trimmed-mean:f=2,note=long · rounds {n}") for n in (6, 10))
    assert first.endswith("rounds 6</span>")
    assert second.endswith("rounds 10</span>")
    assert cut("x" * 40) == "x" * 40
    assert len(cut("y" * 41).partition(">")[2].replace("&hellip;", ".").removesuffix("</span>")) == 40


def test_texts_of_which_one_is_none() -> None:
    with pytest.raises(DataError, match=r"train sample 2 is NoneType, others are texts"):
        own_dataset(((["good", "bad", None, "good"], [0, 1, 0, 1]), (["good"], [0])))
