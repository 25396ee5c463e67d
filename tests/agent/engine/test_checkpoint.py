"""Checkpoints: whole or absent, whatever happens while they are written."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agent.engine.checkpoint import STATE, latest_checkpoint, load_state, save_checkpoint
from agent.errors import CheckpointError
from agent.model.load import VLM, load_vlm
from tests.agent.run_fixtures import disk_of_one_mib, largest_file, tiny_vlm


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return tiny_vlm()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save(folder: Path, step: int, vlm: VLM, keep: int = 2) -> Path:
    return save_checkpoint(folder, step, vlm, {"engine": {"steps_taken": step, "moments": torch.ones(5000)}}, keep)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of_one_mib(tmp_path):
        yield tmp_path


def test_a_saved_folder_loads_as_the_model_that_was_saved(tmp_path: Path, vlm: VLM) -> None:
    loaded = load_vlm(save(tmp_path, 3, vlm))
    expected = vlm.model.state_dict()
    assert loaded.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.model.state_dict().items())
    assert loaded.processor.tokenizer.get_vocab() == vlm.processor.tokenizer.get_vocab()
    assert loaded.processor.tokenizer.chat_template == vlm.processor.tokenizer.chat_template


def test_the_state_comes_back_with_its_step(tmp_path: Path, vlm: VLM) -> None:
    state = load_state(save(tmp_path, 3, vlm))
    assert state["step"] == 3
    assert torch.equal(state["engine"]["moments"], torch.ones(5000))


def test_the_newest_are_kept_and_the_start_always(tmp_path: Path, vlm: VLM) -> None:
    for step in (0, 2, 10, 9, 11):
        save(tmp_path, step, vlm, keep=2)
    assert names(tmp_path) == ["step_0", "step_10", "step_11"]


def test_steps_are_ordered_as_numbers(tmp_path: Path) -> None:
    for step in (9, 10, 100, 99):
        (tmp_path / f"step_{step}").mkdir()
    assert latest_checkpoint(tmp_path) == tmp_path / "step_100"


def test_without_a_checkpoint_there_is_no_latest(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nowhere") is None
    assert latest_checkpoint(tmp_path) is None


def test_what_is_not_a_whole_checkpoint_is_never_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "step_1").mkdir()
    for name in (".partial_step_7", ".removed_step_8", "step_9x", "xstep_9", "step_"):
        (tmp_path / name).mkdir()
    (tmp_path / "step_12").write_text("a file")
    assert latest_checkpoint(tmp_path) == tmp_path / "step_1"


def test_an_exception_while_writing_leaves_the_earlier_checkpoint_and_nothing_else(tmp_path: Path, vlm: VLM) -> None:
    save(tmp_path, 1, vlm)
    before = {path.name: path.read_bytes() for path in (tmp_path / "step_1").iterdir()}
    with pytest.raises(CheckpointError, match=r"step 2 could not be written.*step_1 is whole"):
        save_checkpoint(tmp_path, 2, vlm, {"engine": lambda: None}, 2)  # a lambda cannot be pickled
    assert names(tmp_path) == ["step_1"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "step_1").iterdir()} == before


@pytest.mark.parametrize("size", [1_000, 20_000, 60_000])
def test_a_file_that_cannot_be_finished_leaves_the_earlier_checkpoint(tmp_path: Path, vlm: VLM, size: int) -> None:
    """At 1 kB the config does not fit, at 20 kB the weights or the state."""
    save(tmp_path, 1, vlm)
    with largest_file(size), pytest.raises(CheckpointError, match="step 2 could not be written"):
        save_checkpoint(tmp_path, 2, vlm, {"engine": torch.ones(50_000)}, 2)
    assert names(tmp_path) == ["step_1"]
    assert load_state(tmp_path / "step_1")["step"] == 1
    save(tmp_path, 2, vlm)
    assert names(tmp_path) == ["step_1", "step_2"]


def test_a_full_disk_leaves_the_earlier_checkpoint(small_disk: Path, vlm: VLM) -> None:
    folder = small_disk / "checkpoints"
    save(folder, 1, vlm)
    with pytest.raises(CheckpointError, match=r"No space left|os error 28|unexpected pos"):
        save_checkpoint(folder, 2, vlm, {"engine": torch.ones(1_000_000)}, 2)
    assert names(folder) == ["step_1"]
    assert load_state(folder / "step_1")["step"] == 1
    load_vlm(folder / "step_1")


def test_without_an_earlier_checkpoint_the_message_does_not_promise_one(tmp_path: Path, vlm: VLM) -> None:
    with largest_file(1_000), pytest.raises(CheckpointError) as raised:
        save(tmp_path, 0, vlm)
    assert "is whole" not in str(raised.value)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, vlm: VLM) -> None:
    (tmp_path / "checkpoints").write_text("a file stands here")
    with pytest.raises(CheckpointError, match="checkpoints"):
        save(tmp_path / "checkpoints", 1, vlm)


def test_leftovers_of_a_killed_process_are_removed_by_the_next_save(tmp_path: Path, vlm: VLM) -> None:
    (tmp_path / ".partial_step_5").mkdir()
    (tmp_path / ".partial_step_5" / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".removed_step_1").mkdir()
    save(tmp_path, 6, vlm)
    assert names(tmp_path) == ["step_6"]


def test_writing_a_step_again_replaces_it(tmp_path: Path, vlm: VLM) -> None:
    save(tmp_path, 1, vlm)
    save_checkpoint(tmp_path, 1, vlm, {"engine": "second"}, 2)
    assert load_state(tmp_path / "step_1")["engine"] == "second"
    assert names(tmp_path) == ["step_1"]


def test_a_checkpoint_loses_its_name_before_its_files(
    tmp_path: Path, vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed while it removes a checkpoint must not leave half of one under a checkpoint's name."""
    save(tmp_path, 1, vlm)
    removed: list[str] = []
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: removed.append(Path(path).name))
    save_checkpoint(tmp_path, 2, replace(vlm), {"engine": 0}, 1)
    assert removed == [".removed_step_1"]
    assert latest_checkpoint(tmp_path) == tmp_path / "step_2"


@pytest.mark.parametrize("damage", [b"", b"not a state", None])
def test_a_damaged_state_names_its_file_and_what_to_do(tmp_path: Path, vlm: VLM, damage: bytes | None) -> None:
    folder = save(tmp_path, 4, vlm)
    if damage is None:
        (folder / STATE).unlink()
    else:
        (folder / STATE).write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"step_4/trainer\.pt cannot be read.*delete .*step_4") as raised:
        load_state(folder)
    assert "weights_only" not in str(raised.value)


def test_a_truncated_state_is_noticed(tmp_path: Path, vlm: VLM) -> None:
    folder = save(tmp_path, 4, vlm)
    whole = (folder / STATE).read_bytes()
    (folder / STATE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"trainer\.pt"):
        load_state(folder)


def test_a_state_cannot_run_code(tmp_path: Path, vlm: VLM) -> None:
    """Unpickling runs whatever the file says; a checkpoint that somebody else made must not."""

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    folder = save(tmp_path, 4, vlm)
    torch.save({"engine": Hostile()}, folder / STATE)
    with pytest.raises(CheckpointError):
        load_state(folder)
    assert not (tmp_path / "owned").exists()
