"""What an environment says, as a segment: appended where the chat family allows it, a new row's prompt where not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model.processor import Picture
from ..types import Segment
from .conversation import Message
from .render import Renderer


class Dialogue:
    """One episode's messages since its prompt was last rebuilt; kept only if they must be rendered again."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        self._messages: list[Message] = []

    def opened(self, text: str, images: Sequence[Picture], turn: int) -> Segment:
        """The prompt that an environment shows first, or all anew: what was said before is gone."""
        prompt = self.renderer.prompt(text, images, turn)
        if self.renderer.family.rewrites_history:
            self._messages = [Message("user", text, _copied(images))]
        return prompt

    def continued(self, answer: Sequence[int], ended: bool, text: str, images: Sequence[Picture], turn: int) -> Segment:
        """What an environment says after the policy's answer: an observation, or the prompt of a new row.

        answer: Token ids of the turn before. ended: whether its end token is among them.
        """
        family = self.renderer.family
        if not family.rewrites_history:
            return self.renderer.observation(text, images, turn, ended)
        self._messages.append(Message("assistant", self.renderer.action_text(answer)))
        self._messages.append(Message(family.observations, text, _copied(images)))
        return self.renderer.conversation(self._messages, turn)


def _copied(images: Sequence[Picture]) -> tuple[Picture, ...]:
    # They are rendered again with every later turn; an environment may draw its next picture into the same array.
    return tuple(image.copy() if isinstance(image, np.ndarray) else image for image in images)
