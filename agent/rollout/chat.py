"""How a chat template frames turns, as data: read off the template once, then used for every token of every episode.

Applying a template again at each turn would encode again what the policy sampled. Instead the template is asked, once
and with probe words, which text stands before the first user message, between an answer and the next observation, and
before an answer; and whether it leaves earlier turns alone. If it does, tokens are only ever appended. If not, each
turn is a row of its own, whose prompt is the template's rendering of the whole conversation (see `conversation`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from ..errors import CheckpointError
from .conversation import Message, apply_template

ObservationRole = Literal["user", "tool"]

# Words that no template contains; letters only, so that no template trims or escapes them.
FIRST, REPLY, SECOND, AGAIN, THIRD = PROBES = (
    "probefirstuser",
    "probereply",
    "probesecondword",
    "probeanotherreply",
    "probethirdword",
)
STRANGER = "probestranger"  # a role that no template knows
NO_PICTURE: Any = None  # a probe's pictures are only counted


@dataclass(frozen=True)
class ChatFamily:
    """The text around messages. A template's control tokens are spelled in these strings.

    Attributes:
        opening: Before the first user message's content (with the default system message, where the family has one).
        reply: After the first user message's content, up to where the answer begins.
        closing: What ends an answer; its first token is the one the policy itself samples to stop.
        following: After `closing`, up to an observation's content.
        resuming: After an observation's content, up to where the next answer begins.
        image: What stands for one picture in the first message, with one placeholder.
        observation_image: The same in an observation; None where the template has no place for it.
        rewrites_history: True if the template changes earlier turns when a new one comes (such as dropping thoughts),
            or frames turns irregularly: then each turn is a row of its own.
        observations: The role of what an environment answers after a turn.
        plain_roles: Roles whose contents the template takes as strings and not as lists of parts.
    """

    opening: str
    reply: str
    closing: str
    following: str
    resuming: str
    image: str
    observation_image: str | None
    rewrites_history: bool
    observations: ObservationRole = "user"
    plain_roles: frozenset[str] = frozenset()


def read_chat_family(
    tokenizer: PreTrainedTokenizerBase, image_token: str, observations: ObservationRole = "user"
) -> ChatFamily:
    """Ask the tokenizer's chat template how it frames turns.

    observations: "user": an environment answers with a user message, which every family has; "tool": with the family's
        own tool response.

    Raises:
        CheckpointError: the template fails, drops messages, does not end answers with the end token, has no place for
            images, or no tool responses where they are asked for.
    """
    plain = _plain_roles(tokenizer, observations)

    def ask(*texts: str, images: int = 0) -> str:
        """A conversation of these texts, its last one with so many pictures."""
        roles = ["user", *["assistant", observations] * (len(texts) // 2)]
        messages = [Message(role, text) for role, text in zip(roles, texts, strict=True)]
        messages[-1] = Message(roles[-1], texts[-1], (NO_PICTURE,) * images)
        return apply_template(tokenizer, messages, plain)

    one, two, three = ask(FIRST), ask(FIRST, REPLY, SECOND), ask(*PROBES)
    if one.count(FIRST) != 1 or two.count(SECOND) != 1 or any(three.count(word) != 1 for word in PROBES):
        raise CheckpointError("the chat template loses or repeats messages; it cannot be used for training")
    opening, reply = one.split(FIRST)
    before, answering, between, resumed, following, resuming = re.split("|".join(PROBES), three)
    thoughts = {reply: f"<think>probethought</think>{reply}" for reply in (REPLY, AGAIN)}
    remembered = three
    for plain_reply, thought in thoughts.items():
        remembered = remembered.replace(plain_reply, thought)
    appends = (
        before == opening
        # A space before an answer, as in Llama 2's and Mistral's templates, is one that the policy writes itself.
        and answering in (reply, reply + " ")
        and resumed in (resuming, resuming + " ")
        and between == following
        and two == before + FIRST + answering + REPLY + between + SECOND + resuming
        and ask(*(thoughts.get(word, word) for word in PROBES)) == remembered
    )
    stop = str(tokenizer.eos_token)
    if not between.startswith(stop):
        if any(token in between for token in tokenizer.get_added_vocab()):
            raise CheckpointError(
                f"the chat template ends an answer with {between[:40]!r}, but the tokenizer's end token is {stop!r}; "
                "set eos_token to the token that ends a turn"
            )
        appends = False  # as in LLaVA 1.5's: the end token that the policy sampled is not kept
    return ChatFamily(
        opening=opening,
        reply=reply,
        closing=stop,
        following=between.removeprefix(stop),
        resuming=resuming,
        image=_first_image(image_token, opening, reply, [ask(FIRST, images=count) for count in (1, 2)]),
        observation_image=_observation_image(
            image_token, two, [ask(FIRST, REPLY, SECOND, images=count) for count in (1, 2)]
        ),
        rewrites_history=not appends,
        observations=observations,
        plain_roles=plain,
    )


def _first_image(image_token: str, opening: str, reply: str, pictured: list[str]) -> str:
    image = pictured[0].removeprefix(opening).split(FIRST)[0]
    if image.count(image_token) != 1 or pictured[1] != opening + 2 * image + FIRST + reply:
        raise CheckpointError(f"the chat template does not put exactly one {image_token} where a picture stands")
    return image


def _observation_image(image_token: str, blind: str, pictured: list[str]) -> str | None:
    before, after = blind.split(SECOND)
    image = pictured[0].removeprefix(before).split(SECOND)[0]
    if image.count(image_token) != 1 or pictured[1] != before + 2 * image + SECOND + after:
        return None
    return image


def _plain_roles(tokenizer: PreTrainedTokenizerBase, observations: ObservationRole) -> frozenset[str]:
    """Roles whose contents must be strings: the template fails on a list, drops it, or puts it down as it is."""

    def words(role: str, plain: frozenset[str]) -> str:
        messages = [Message("user", FIRST), Message("assistant", REPLY), Message(role, SECOND)]
        try:
            return apply_template(tokenizer, messages, plain)
        except CheckpointError as error:
            return str(error)

    def spoiled(text: str, word: str) -> bool:
        return text.count(word) != 1 or f"'text': '{word}" in text or f'"text": "{word}' in text

    plain: frozenset[str] = frozenset()
    if spoiled(words("user", plain), REPLY) and not spoiled(words("user", frozenset({"assistant"})), REPLY):
        plain = frozenset({"assistant"})
    if observations == "user":
        return plain
    if spoiled(words("tool", plain), SECOND):
        plain |= {"tool"}
    told = words("tool", plain)
    if spoiled(told, SECOND):
        raise _no_tools(f"what it makes of one is {told.split(REPLY)[-1][:160]!r}")
    # A role that it knows is not framed as any word is that stands in its place.
    strange = words(STRANGER, plain | {STRANGER} if "tool" in plain else plain)
    if strange.lower().replace(STRANGER, "tool") == told.lower():
        raise _no_tools("it frames them as it does a role that it has never heard of")
    return plain


def _no_tools(why: str) -> CheckpointError:
    return CheckpointError(
        f"rollout.observations is 'tool', but this model's chat template has no tool responses: {why}. Set "
        "rollout.observations to 'user', which every model takes"
    )
