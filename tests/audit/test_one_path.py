"""One path in the place of a list of them, and a sound file of another format, are told what to do instead."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import fedward as fw
from fedward.audit import AuditError, ModelSource, run_aggregate, run_audit
from fedward.stack import Files


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_is_no_list_of_them(kind: type) -> None:
    with pytest.raises(TypeError, match=r"paths is a list of files, one a client, .* got .*updates.*: pass \[\.\.\.\]"):
        Files(kind("updates"))
    source = ModelSource(clients=kind("updates"))
    for work in (lambda: run_audit(source), lambda: run_aggregate(source, fw.rules.Mean())):
        with pytest.raises(AuditError, match=r"clients is a list of .*, got .*updates.*: pass \[\.\.\.\] around it"):
            work()


def test_files_of_another_format_are_told_who_reads_them(tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.pt" for k in range(3)]
    for k, path in enumerate(paths):
        torch.save({"w": torch.full((3,), float(k))}, path)
    told = r"Files read \.safetensors alone; fedward aggregate and fedward\.audit\.run_aggregate read \.pt, too"
    with pytest.raises(ValueError, match=told):
        Files(paths)
    with pytest.raises(ValueError, match=f"the base: .*{told}"):
        Files([tmp_path / "a.safetensors"], base=paths[0])
    found = run_aggregate(ModelSource(clients=paths, raw=True), fw.rules.Mean())  # as it says
    assert found.result.output.tolist() == [1.0, 1.0, 1.0]
