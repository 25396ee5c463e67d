"""What an environment said, kept where it must be shown again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from agent.rollout.dialogue import Dialogue
from agent.rollout.render import Renderer
from tests.agent.rollout.families import processor_of


def test_a_picture_is_shown_again_as_it_was_whatever_its_array_holds_by_then(
    tmp_path: Path, picture: Callable[..., np.ndarray]
) -> None:
    renderer = Renderer(processor_of(tmp_path, "thinking"))
    dialogue, canvas, shown = Dialogue(renderer), picture(30, 30, 0), []
    segment = dialogue.opened("One", (canvas,), 0)
    for turn in (1, 2):
        shown.append(renderer.processor.process(canvas).sha256)
        canvas[:] = picture(30, 30, turn)
        segment = dialogue.continued(renderer.processor.encode("a"), False, "Next", (canvas,), turn)
    shown.append(renderer.processor.process(canvas).sha256)
    assert segment.kind == "prompt"
    assert [span.sha256 for span in segment.images] == shown and len(set(shown)) == 3


def test_where_turns_are_appended_nothing_is_kept(tmp_path: Path, picture: Callable[..., np.ndarray]) -> None:
    dialogue = Dialogue(Renderer(processor_of(tmp_path, "tiny")))
    dialogue.opened("One", (picture(30, 30, 0),), 0)
    assert dialogue.continued((65,), False, "Two", (), 1).kind == "observation"
    assert dialogue._messages == []
