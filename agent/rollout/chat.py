"""How a chat template frames turns, as data: read off the template once, then used for every token of every episode.

Applying a template again at each turn would encode again what the policy sampled. Instead the template is asked, once
and with probe words, which text stands before the first user message, between an answer and the next user message, and
before an answer; and whether it leaves earlier turns alone. From then on tokens are only appended.
"""

from __future__ import annotations

from dataclasses import dataclass

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from ..errors import CheckpointError

# Words that no template contains; letters only, so that no template trims or escapes them.
FIRST, REPLY, SECOND = "probefirstuser", "probereply", "probeseconduser"


@dataclass(frozen=True)
class ChatFamily:
    """The text around messages. A template's control tokens are spelled in these strings.

    Attributes:
        opening: Before the first user message's content (with the default system message, where the family has one).
        reply: After a user message's content, up to where the answer begins.
        closing: What ends an answer; its first token is the one the policy itself samples to stop.
        following: After `closing`, up to the next user message's content.
        image: What stands for one picture in a user message, with one placeholder.
        rewrites_history: True if the template changes earlier turns when a new one comes (such as dropping thoughts):
            then each turn is a row of its own.
    """

    opening: str
    reply: str
    closing: str
    following: str
    image: str
    rewrites_history: bool


def read_chat_family(tokenizer: PreTrainedTokenizerBase, image_token: str) -> ChatFamily:
    """Ask the tokenizer's chat template how it frames turns.

    Raises:
        CheckpointError: the template fails, drops messages, frames later turns otherwise than the first, or has no
            place for images.
    """

    def rendered(*messages: tuple[str, str], images: int = 0) -> str:
        conversation = []
        for role, text in messages:
            pictures = [{"type": "image"}] * (images if role == "user" else 0)
            conversation.append({"role": role, "content": [*pictures, {"type": "text", "text": text}]})
        return str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))

    try:
        one = rendered(("user", FIRST))
        many = rendered(("user", FIRST), ("assistant", REPLY), ("user", SECOND))
        thought = f"<think>{FIRST}</think>{REPLY}"
        thinking = rendered(("user", FIRST), ("assistant", thought), ("user", SECOND))
        pictured = rendered(("user", FIRST), images=1)
        twice = rendered(("user", FIRST), images=2)
    except (TemplateError, ValueError, TypeError) as error:
        raise CheckpointError(f"the chat template cannot be applied to a plain conversation: {error}") from error
    if one.count(FIRST) != 1 or many.count(REPLY) != 1 or many.count(SECOND) != 1:
        raise CheckpointError("the chat template loses or repeats messages; it cannot be used for training")
    opening, reply = one.split(FIRST)
    before, after = many.split(REPLY)
    between, ending = after.split(SECOND)
    if ending != reply:
        raise CheckpointError(
            f"the chat template ends the first user message with {reply[:80]!r} and a later one with {ending[:80]!r}; "
            "it cannot be used for training"
        )
    image = pictured.removeprefix(opening).split(FIRST)[0]
    if image.count(image_token) != 1 or twice != opening + 2 * image + FIRST + reply:
        raise CheckpointError(f"the chat template does not put exactly one {image_token} where a picture stands")
    stop = str(tokenizer.eos_token)
    if not between.startswith(stop):
        raise CheckpointError(
            f"the chat template ends an answer with {between[:40]!r}, but the tokenizer's end token is {stop!r}; "
            "set eos_token to the token that ends a turn"
        )
    return ChatFamily(
        opening=opening,
        reply=reply,
        closing=stop,
        following=between.removeprefix(stop),
        image=image,
        # A space before an answer, as in Llama 2's and Mistral's templates, is one that the policy writes itself.
        rewrites_history=before not in (one, one + " ") or thought not in thinking,
    )
