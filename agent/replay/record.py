"""Writing a step, so that it can be gone through again without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..lesson import Lesson
from ..model.processor import ProcessedImage
from ..model.states import packs
from ..parts import Parts
from ..records import write_trajectories
from ..tracking.samples import Sample, samples_of
from ..types import Trajectory
from .recording import Recording, circumstances, fields_of, write_tensors


def recording_of(parts: Parts) -> Recording:
    """For a step that begins now."""
    return Recording(circumstances(parts.kl_coef, parts.ranks.size, parts.memory.device, packs(parts.vlm.model)))


def record(
    parts: Parts,
    folder: Path,
    step: int,
    lesson: Lesson,
    greedy: Sequence[Trajectory] | None,
    recording: Recording,
    show: Callable[[int, list[Sample]], None] = lambda step, samples: None,
) -> None:
    """Write every trajectory of a step with its pictures and credit, and what the models said of them: enough for
    `python -m agent replay`. The trajectories come last: where they are, all is. `show` is then given a few of
    them, for people.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    shares = parts.ranks.gathered(recording.share)
    everything = [*lesson.trajectories, *(greedy or ())]
    pixels = shared_pictures(parts, everything)
    if not parts.ranks.first:
        return
    decode, name = parts.vlm.processor.decode, f"{step:06d}"
    looked = {index: told for _, of_share in shares for index, told in of_share.items()}
    write_tensors(folder / f"step_{name}.safetensors", [tensors for tensors, _ in shares], recording.around)
    if greedy is not None:
        groups = [{"group": group} for group in range(len(greedy))]
        write_trajectories(folder, f"greedy_{name}", greedy, pixels, decode, groups)
    fields = fields_of(lesson, looked)
    write_trajectories(folder, f"step_{name}", lesson.trajectories, pixels, decode, fields)
    show(step, samples_of(lesson.trajectories, pixels, decode, fields))


def shared_pictures(parts: Parts, trajectories: Sequence[Trajectory]) -> Callable[[str], ProcessedImage]:
    """The pictures of a step's trajectories, also of those that other processes played."""
    if parts.ranks.size == 1:
        return parts.renderer.pixels
    named = {span.sha256 for t in trajectories for row in t.rows for span in row.images}
    own = {sha256: found for sha256 in sorted(named) if (found := parts.renderer.known(sha256)) is not None}
    pictures = {sha256: picture for share in parts.ranks.gathered(own) for sha256, picture in share.items()}
    return pictures.__getitem__
