"""What is said to a chat server, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .pictures import PictureUrls


@dataclass(frozen=True, eq=False)
class ChatMessage:
    """One message. `images`: uint8 (height, width, 3); they come before the text."""

    role: Literal["user", "assistant"]
    text: str
    images: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class ChatReply:
    """What a model answered.

    Attributes:
        text: The whole turn, its thoughts included, without the token that ends it.
        stop_reason: "length": cut by the limit of tokens.
        prompt_tokens: As the server counts them, pictures included; 0 where it does not say.
        completion_tokens: Likewise.
        tries: Requests that it took.
    """

    text: str
    stop_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    tries: int


def to_json(messages: Sequence[ChatMessage], urls: PictureUrls) -> list[dict[str, Any]]:
    """The messages as the interface has them. Without pictures a content is a string, which every server takes.

    Raises:
        ObservationError: a picture is none, see `image_sha256`.
    """
    return [{"role": message.role, "content": _content(message, urls)} for message in messages]


def _content(message: ChatMessage, urls: PictureUrls) -> str | list[dict[str, Any]]:
    # A lone surrogate has no UTF-8 form; the renderer of local models puts "?" in its place too.
    text = message.text.encode("utf-8", "replace").decode("utf-8")
    if not message.images:
        return text
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": urls.of(image)}} for image in message.images
    ]
    return [*parts, {"type": "text", "text": text}] if text else parts


def estimated_tokens(messages: Sequence[ChatMessage]) -> int:
    """About how many tokens a prompt has: three letters or 28 x 28 pixels each, rather too many than too few."""
    letters = sum(len(message.text) for message in messages)
    pixels: int = sum(image.shape[0] * image.shape[1] for message in messages for image in message.images)
    return letters // 3 + pixels // 28**2 + 8 * len(messages)
