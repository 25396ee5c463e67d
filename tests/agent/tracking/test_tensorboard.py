"""TensorBoard's files, read back with TensorBoard."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent.tracking.samples import as_code
from agent.tracking.tensorboard import TensorBoard
from tests.agent.tracking.shown import HOSTILE, REPORT, sample


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0})
    found.Reload()
    return found


def texts(folder: Path, tag: str) -> list[tuple[int, str]]:
    found = events(folder).Tensors(f"{tag}/text_summary")
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in found]


def test_trajectories_come_back_as_text_with_their_pictures(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, 0, {})
    board.trajectories(5, [sample(pictures=2), sample("[prompt]\nother", pictures=0)])
    board.close()
    ((step, text),) = texts(tmp_path, "samples/1")
    assert step == 5
    assert text == ("    task 3, seed 7: reward 0.500, advantage -0.250, terminated\n    \n    [prompt]\n    How many?")
    assert "other" in texts(tmp_path, "samples/2")[0][1]
    assert events(tmp_path).Tags()["images"] == ["samples/1/image_1", "samples/1/image_2"]
    (image,) = events(tmp_path).Images("samples/1/image_2")
    with Image.open(io.BytesIO(image.encoded_image_string)) as picture:
        assert np.array_equal(np.asarray(picture), sample(pictures=2).images[1])


def test_hostile_text_is_a_block_of_code(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, 0, {"name": HOSTILE})
    board.trajectories(1, [sample(HOSTILE)])
    board.close()
    for tag in ("samples/1", "config"):
        ((_, text),) = texts(tmp_path, tag)
        assert all(line.startswith("    ") for line in text.splitlines())


def test_options_and_results_are_told(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, 0, {"run": {"seed": 5}})
    board.log(3, {"reward": 0.5})
    board.report(REPORT)
    board.close()
    assert texts(tmp_path, "config") == [(0, as_code("run:\n  seed: 5\n"))]
    ((step, results),) = texts(tmp_path, "results")
    assert step == 3
    assert "after, greedy: accuracy 75.0% (95% interval 65.0% to 85.0%), 8 episodes" in results
    assert "after - before, greedy: +50.0 (95% interval +25.0 to +75.0)" in results


def test_a_continued_run_forgets_what_is_done_again_and_tells_its_options_once(tmp_path: Path) -> None:
    for first, steps in ((0, (1, 2, 3)), (1, (2,))):
        board = TensorBoard(tmp_path, first, {"a": 1})
        for step in steps:
            board.log(step, {"reward": step / 10})
            board.trajectories(step, [sample(f"step {step}, after {first}")])
        board.close()
    assert [event.step for event in events(tmp_path).Scalars("reward")] == [1, 2]
    assert [event.step for event in events(tmp_path).Images("samples/1/image_1")] == [1, 2]
    assert "step 2, after 1" in texts(tmp_path, "samples/1")[-1][1]  # texts it keeps, of both
    assert len(texts(tmp_path, "config")) == 1
