"""Messages and pictures to tokens, and tokens back to text: the only place where a segment is made.

Text is encoded when it comes in and never again. A segment is complete when it leaves here: every picture has exactly
as many placeholder tokens as it has features, and no text has become a control token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CheckpointError, ObservationError
from ..model.processor import Picture, ProcessedImage, Processor
from ..types import ImageSpan, Row, Segment
from .chat import FIRST, ChatFamily, ObservationRole, read_chat_family
from .conversation import Conversations, Message, cutter


@dataclass(frozen=True)
class Trusted:
    """Template text: the control tokens spelled in it are meant."""

    text: str


@dataclass(frozen=True)
class Untrusted:
    """Text from an environment or a tool: nothing in it is ever a control token."""

    text: str


class Renderer:
    """Makes segments for one checkpoint's tokenizer, pictures and chat template, and keeps the pixels it rendered.

    `pixels(sha256)` gives sampler and trainer the very same tensors.

    Args:
        processor: Of the checkpoint.
        observations: As what an environment's answers are rendered: "user" messages, or the family's "tool" responses.

    Raises:
        CheckpointError: the chat template or the tokenizer cannot be used (see `chat.read_chat_family`).
    """

    def __init__(self, processor: Processor, observations: ObservationRole = "user") -> None:
        self.processor = processor
        self.family: ChatFamily = read_chat_family(processor.tokenizer, processor.image_token, observations)
        self._conversations = Conversations(processor.tokenizer, processor.control_tokens, self.family.plain_roles)
        self._control = cutter(processor.control_tokens)
        self._pixels: dict[str, ProcessedImage] = {}
        self._prompts: dict[tuple[str, tuple[str, ...], int], Segment] = {}
        self._cuts: dict[str, list[str]] = {}
        self._check_tokens()

    def prompt(self, text: str, images: Sequence[Picture], turn: int = 0) -> Segment:
        """The first (or rebuilt) prompt, up to where the policy's answer begins. Siblings share one."""
        content = self._content(text, images, self.family.image)
        key = (text, tuple(part.sha256 for part in content if isinstance(part, ProcessedImage)), turn)
        if key not in self._prompts:
            if self.family.rewrites_history:
                self._prompts[key] = self.conversation([Message("user", text, tuple(images))], turn)
            else:
                parts = [Trusted(self.family.opening), *content, Trusted(self.family.reply)]
                self._prompts[key] = self._segment("prompt", parts, turn)
        return self._prompts[key]

    def conversation(self, messages: Sequence[Message], turn: int) -> Segment:
        """The prompt of a new row: what the family's template makes of a whole conversation, token for token, up to
        where the next answer begins. For families that rewrite history.

        Raises:
            CheckpointError: the template refuses the conversation, or drops pictures of it.
        """
        pictures = [self._processed(image) for message in messages for image in message.images]
        pieces = self._conversations.cut(messages)
        shown = pieces[1::2].count(self.processor.image_token)
        if shown != len(pictures):
            raise CheckpointError(
                f"the chat template shows {shown} of a conversation's {len(pictures)} pictures, and not which; use a "
                "template that shows all, or an environment that restarts its context"
            )
        waiting = iter(pictures)
        parts: list[Trusted | Untrusted | ProcessedImage] = []
        for index, piece in enumerate(pieces):
            if index % 2 == 0:
                parts.append(Untrusted(piece))
            else:
                parts.append(next(waiting) if piece == self.processor.image_token else Trusted(piece))
        return self._segment("prompt", parts, turn)

    def observation(self, text: str, images: Sequence[Picture], turn: int, answer_ended: bool) -> Segment:
        """What the environment answered, as the next message, up to where the next answer begins.

        `answer_ended`: whether the policy sampled its end token; if not (cut by the token limit), the end token is put
        here, as a token that nobody is trained on.

        Raises:
            CheckpointError: the family rewrites history, so that nothing can be appended (see `conversation`), or has
                no place for pictures here.
        """
        family = self.family
        if family.rewrites_history:
            raise CheckpointError("this chat template rewrites earlier turns: nothing can be appended to a row of its")
        if images and family.observation_image is None:
            raise CheckpointError(
                f"this chat template has no place for pictures in a {family.observations} message after the first "
                "turn; use an environment that answers without pictures"
                + (", or set rollout.observations to 'user'" if family.observations == "tool" else "")
            )
        head = family.following if answer_ended else family.closing + family.following
        content = self._content(text, images, family.observation_image or "")
        return self._segment("observation", [Trusted(head), *content, Trusted(family.resuming)], turn)

    def demonstration(self, text: str, turn: int) -> Segment:
        """An action written by somebody else than the policy, with its end token: what a cold start imitates."""
        return Segment("action", (*self.processor.encode(text), *self.processor.stop_ids[:1]), turn)

    def action_text(self, token_ids: Sequence[int]) -> str:
        """What an environment's `step` is given: the turn's text, special tokens spelled out, without the end token."""
        ids = list(token_ids)
        while ids and ids[-1] in self.processor.stop_ids:
            ids.pop()
        return self.processor.decode(ids)

    def pixels(self, sha256: str) -> ProcessedImage:
        return self._pixels[sha256]

    def known(self, sha256: str) -> ProcessedImage | None:
        """The picture with this hash, if this process has it."""
        return self._pixels.get(sha256)

    def pictures(self, row: Row) -> list[ProcessedImage]:
        """The row's pictures in order."""
        return [self._pixels[span.sha256] for segment in row.segments for span in segment.images]

    def forget(self, keep: Sequence[str] = ()) -> None:
        """Drop the pixels of episodes that are over; `keep` names those still needed."""
        self._pixels = {key: self._pixels[key] for key in keep}
        self._prompts.clear()  # they hold pictures that may be gone now

    def _check_tokens(self) -> None:
        """Text is encoded between control tokens, piece by piece: a tokenizer for which that is not the same is none
        whose tokens could be told."""
        family = self.family
        ours = self._encode([Trusted(family.opening), Untrusted(FIRST), Trusted(family.reply)])
        text = family.opening + FIRST + family.reply
        own = self.processor.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        if ours != own:
            raise CheckpointError(
                f"the tokenizer makes {own[:20]} of the chat template's text {text[:80]!r} as a whole, and {ours[:20]} "
                "of the pieces between its control tokens: it looks across them. Use a byte-level tokenizer"
            )

    def _content(self, text: str, images: Sequence[Picture], frame: str) -> list[Trusted | Untrusted | ProcessedImage]:
        """A message's content; `frame` is what stands for one picture."""
        before, _, after = frame.partition(self.processor.image_token)
        parts: list[Trusted | Untrusted | ProcessedImage] = []
        for image in images:
            parts += [Trusted(before), self._processed(image), Trusted(after)]
        return [*parts, Untrusted(text)]

    def _processed(self, image: Picture) -> ProcessedImage:
        return image if isinstance(image, ProcessedImage) else self.processor.process(image)

    def _segment(self, kind: str, parts: Sequence[Trusted | Untrusted | ProcessedImage], turn: int) -> Segment:
        ids: list[int] = []
        spans: list[ImageSpan] = []
        # Neighbouring texts are encoded together: a template's newline and a message's first letters may be one token.
        pending: list[Trusted | Untrusted] = []

        def flush() -> None:
            ids.extend(self._encode(pending))
            pending.clear()

        for part in parts:
            if not isinstance(part, ProcessedImage):
                pending.append(part)
                continue
            flush()
            spans.append(ImageSpan(len(ids), part.tokens, part.grid, part.sha256))
            ids += [self.processor.image_token_id] * part.tokens
            self._pixels[part.sha256] = part
        flush()
        return Segment(kind, tuple(ids), turn, tuple(spans))  # type: ignore[arg-type]

    def _encode(self, parts: Sequence[Trusted | Untrusted]) -> list[int]:
        ids: list[int] = []
        plain = ""
        for part in parts:
            if isinstance(part, Untrusted):
                plain += part.text
                continue
            for piece in self._pieces(part.text):
                if piece in self.processor.control_tokens:
                    ids += self.processor.encode(plain) if plain else []
                    ids.append(self.processor.control_tokens[piece])
                    plain = ""
                else:
                    plain += piece
        return ids + (self.processor.encode(plain) if plain else [])

    def _pieces(self, text: str) -> list[str]:
        """A template's text cut at its control tokens. A family has a handful of such texts."""
        if text not in self._cuts:
            self._cuts[text] = [piece for piece in self._control.split(text) if piece]
        return self._cuts[text]


def checked_observation(observation: object, where: str) -> tuple[str, tuple[np.ndarray, ...]]:
    """Text and images of an observation.

    Raises:
        ObservationError: it is not `{"text": str, "images": sequence of arrays}`. `where` names environment and step.
    """
    if not isinstance(observation, Mapping) or not {"text", "images"} <= set(observation):
        came = sorted(map(str, observation)) if isinstance(observation, Mapping) else type(observation).__name__
        raise ObservationError(
            f'{where}: an observation must be {{"text": str, "images": tuple of arrays}}, got {came}'
        )
    text, images = observation["text"], observation["images"]
    if not isinstance(text, str):
        raise ObservationError(f'{where}: observation["text"] must be a str, got {type(text).__name__}')
    if not isinstance(images, (tuple, list)):
        raise ObservationError(f'{where}: observation["images"] must be a tuple of arrays, got {type(images).__name__}')
    return text, tuple(images)
