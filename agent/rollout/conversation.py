"""A chat template applied to a whole conversation, such that no text in it can become a control token.

Some templates write earlier turns anew when a new one comes: thoughts are dropped, or a note moves to the last turn.
There nothing can be appended, and the only exact prompt is what the template makes of the whole conversation. It is
given the real texts, since it may look for words in them (such as "</think>"), with every spelling of a control token
broken by a mark that is taken out afterwards. A second application, with texts that are broken wherever a control
token could begin, must show the same control tokens: then all of them are the template's own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import jinja2
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from ..errors import CheckpointError

PRIVATE_USE = range(0xE000, 0xF8FF)


@dataclass(frozen=True, eq=False)
class Message:
    """One message: `role` is "user", "assistant" or "tool"; `images` come before the text."""

    role: str
    text: str
    images: tuple[Picture, ...] = ()


def apply_template(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], plain_roles: Collection[str]
) -> str:
    """The template's text for these messages, up to where the next answer begins.

    `plain_roles`: whose contents are given as one string; those of the others are lists of parts.

    Raises:
        CheckpointError: the template refuses them.
    """
    conversation = []
    for message in messages:
        parts = [*[{"type": "image"}] * len(message.images), {"type": "text", "text": message.text}]
        conversation.append({"role": message.role, "content": message.text if message.role in plain_roles else parts})
    try:
        return str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))
    except (TemplateError, ValueError, TypeError) as error:
        raise CheckpointError(f"the chat template cannot be applied to a plain conversation: {error}") from error


def cutter(control_tokens: Collection[str]) -> re.Pattern[str]:
    """A pattern whose `split` puts text and control tokens in turn; where two could begin, the longer is taken."""
    return re.compile("(" + "|".join(map(re.escape, sorted(control_tokens, key=len, reverse=True))) + ")")


class Conversations:
    """Applies one tokenizer's template to conversations."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, control_tokens: Collection[str], plain_roles: Collection[str]
    ) -> None:
        self.tokenizer = tokenizer
        self.plain_roles = plain_roles
        self.source = str(tokenizer.get_chat_template())
        self._control = cutter(control_tokens)
        first = re.escape("".join(sorted({token[0] for token in control_tokens})))
        # Left whole are the words that the template may look for: its own strings.
        strings = {token.value for token in jinja2.Environment().lexer.tokenize(self.source) if token.type == "string"}
        words = [word for word in strings if len(word) > 1 and not self._control.search(word)]
        whole = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
        self._anywhere = re.compile(f"[{first}]")
        self._where_unsought = re.compile(f"(?P<sought>{whole})|[{first}]") if whole else self._anywhere

    def cut(self, messages: Sequence[Message]) -> list[str]:
        """The template's text with every control token at an odd index and the text between them at the even ones.

        A spelling of a control token in a message stands in the text between.

        Raises:
            CheckpointError: the template refuses the messages, or puts texts together such that it cannot be told
                which control tokens are its own.
        """
        said = self.source + "".join(message.text for message in messages)
        mark = next(chr(code) for code in PRIVATE_USE if chr(code) not in said)
        shown = self._control.split(self._applied([self._broken(message, mark) for message in messages]))
        checked = self._control.split(self._applied([self._shattered(message, mark) for message in messages]))
        if shown[1::2] != checked[1::2]:
            raise CheckpointError(
                "the chat template's control tokens depend on what is said, so that it cannot be told which are its "
                "own; use a template that frames every message alike"
            )
        return [piece.replace(mark, "") for piece in shown]

    def _applied(self, messages: Sequence[Message]) -> str:
        return apply_template(self.tokenizer, messages, self.plain_roles)

    def _broken(self, message: Message, mark: str) -> Message:
        """Without a control token, and otherwise with all that the template could look for."""
        text = self._where_unsought.sub(
            lambda found: found[0] if found.groupdict().get("sought") else found[0] + mark, message.text
        )
        while found := self._control.search(text):  # inside of what was left whole
            text = text[: found.start() + 1] + mark + text[found.start() + 1 :]
        return replace(message, text=text)

    def _shattered(self, message: Message, mark: str) -> Message:
        """Such that no part of it can belong to a control token, whatever it is put together with."""
        if not message.text.strip():
            return message
        return replace(message, text=mark + self._anywhere.sub(lambda found: found[0] + mark, message.text) + mark)
