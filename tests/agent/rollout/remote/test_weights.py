"""Weights on their way through a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from agent.errors import CheckpointError
from agent.rollout.remote import weights as module
from agent.rollout.remote.weights import WeightFolder


def read(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in sorted(folder.iterdir()) for name, tensor in load_file(path).items()}


def test_weights_are_read_as_they_were_in_as_many_files_as_it_takes(
    tmp_path: Path, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 60)
    written = WeightFolder(tmp_path / "new" / "deep").write(weights.items())
    assert len(list(written.iterdir())) == 2
    found = read(written)
    assert set(found) == set(weights)
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_one_tensor_under_two_names_and_one_that_is_a_view_are_written(tmp_path: Path) -> None:
    tied = torch.arange(12.0).reshape(3, 4)
    given = {"embedding": tied, "head": tied, "turned": tied.T, "half": tied.to(torch.bfloat16)}
    found = read(WeightFolder(tmp_path).write(given.items()))
    assert all(torch.equal(found[name], given[name]) and found[name].dtype == given[name].dtype for name in given)


def test_what_is_being_written_does_not_bear_the_name_of_weights(
    tmp_path: Path, weights: dict[str, torch.Tensor]
) -> None:
    def slowly() -> Iterator[tuple[str, torch.Tensor]]:
        for item in weights.items():
            assert list(tmp_path.glob("weights_*")) == []
            yield item

    assert WeightFolder(tmp_path).write(slowly()).name == "weights_000001"


def test_numbers_go_on_where_an_earlier_run_ended(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    first = WeightFolder(tmp_path).write(weights.items())
    folder = WeightFolder(tmp_path)
    second = folder.write(weights.items())
    assert [first.name, second.name] == ["weights_000001", "weights_000002"]
    folder.keep_only(second)
    assert not first.exists() and second.exists()


def test_a_folder_that_cannot_be_written_is_told_and_leaves_nothing_half_done(
    tmp_path: Path, weights: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(CheckpointError, match=r"engine\.remote\.folder.*No space left"):
        WeightFolder(tmp_path).write(weights.items())
    assert list(tmp_path.iterdir()) == []
