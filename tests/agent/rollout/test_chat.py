"""How templates frame turns, against the templates themselves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from agent.errors import CheckpointError
from agent.model.load import VLM, load_vlm
from agent.rollout.chat import read_chat_family
from agent.rollout.render import Renderer
from agent.types import Row

IMAGE = "<|image_pad|>"
WORDS = ["How many red circles?", "\nLook  again\n", "  ", "数 naïve 🙂\t", "{{ messages }}", "x<|object|>"]


def own_tokens(vlm: VLM, conversation: list[dict[str, Any]], images: list[np.ndarray], answering: bool) -> list[int]:
    """Tokens of the template's own output, with each placeholder expanded as the families' processors do."""
    text = vlm.processor.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=answering)
    pieces = text.split(IMAGE)
    for index, image in enumerate(images):
        pieces[index] += IMAGE * vlm.processor.process(image).tokens
    return list(vlm.processor.tokenizer.encode("".join(pieces), add_special_tokens=False))


def user(text: str, images: int) -> dict[str, Any]:
    return {"role": "user", "content": [*[{"type": "image"}] * images, {"type": "text", "text": text}]}


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_prompt_has_the_tokens_of_the_familys_own_template(
    vlm: VLM, renderer: Renderer, picture: Callable[..., np.ndarray], count: int, text: str
) -> None:
    images = [picture(30 + 40 * k, 70, k) for k in range(count)]
    segment = renderer.prompt(text, images)
    assert list(segment.token_ids) == own_tokens(vlm, [user(text, count)], images, True)
    assert [span.length for span in segment.images] == [vlm.processor.process(image).tokens for image in images]


def test_every_turn_has_the_tokens_of_the_familys_own_template_and_begins_with_the_turn_before(
    vlm: VLM, renderer: Renderer, picture: Callable[..., np.ndarray]
) -> None:
    images = [picture(60, 60, 0)]
    row = Row((renderer.prompt("Count.", images),))
    conversation = [user("Count.", 1)]
    for turn, answer in enumerate(["One, I think", "Two\n", "Three circles."], start=1):
        row = row.append(renderer.demonstration(answer, turn - 1))
        new = [picture(30 * turn, 50, turn + k) for k in range(turn - 1)]
        row = row.append(renderer.observation("Again?", new, turn, True))
        conversation += [
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
            user("Again?", len(new)),
        ]
        images += new
        expected = own_tokens(vlm, conversation, images, True)
        assert list(row.token_ids) == expected
        assert (
            expected[: len(row) - len(row.segments[-1].token_ids)]
            == list(row.token_ids)[: -len(row.segments[-1].token_ids)]
        )


@pytest.mark.parametrize(
    ("name", "opens"), [("qwen2", "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"), ("qwen3", "")]
)
def test_the_default_system_message_is_the_familys(
    one_vlm: VLM, templates: dict[str, str], name: str, opens: str
) -> None:
    frame = framed(one_vlm, templates[name])
    assert frame.opening == opens + "<|im_start|>user\n"
    assert frame.reply == "<|im_end|>\n<|im_start|>assistant\n"
    assert (frame.closing, frame.following) == ("<|im_end|>", "\n<|im_start|>user\n")
    assert frame.image == "<|vision_start|><|image_pad|><|vision_end|>"
    assert not frame.rewrites_history


def framed(vlm: VLM, template: str, eos: str = "<|im_end|>") -> Any:
    class Tokenizer:
        """The session's tokenizer with another template."""

        eos_token = eos

        def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
            return vlm.processor.tokenizer.apply_chat_template(conversation, chat_template=template, **options)

    tokenizer: PreTrainedTokenizerBase = Tokenizer()  # type: ignore[assignment]
    return read_chat_family(tokenizer, IMAGE)


def test_a_template_that_drops_earlier_thoughts_rewrites_history(one_vlm: VLM, templates: dict[str, str]) -> None:
    assert framed(one_vlm, templates["forgetful"]).rewrites_history


def test_a_template_that_moves_the_system_message_to_the_last_turn_rewrites_history(
    one_vlm: VLM, templates: dict[str, str]
) -> None:
    moved = templates["qwen2"].replace("loop.first and", "loop.last and")
    assert framed(one_vlm, moved).rewrites_history


SPOILED = {
    "messages are dropped": ("{% for message in messages %}", "{% for message in messages[-1:] %}", "loses or repeats"),
    "no place for pictures": ("<|vision_start|><|image_pad|><|vision_end|>", "", "exactly one <|image_pad|>"),
    "two places for a picture": ("<|image_pad|>", "<|image_pad|><|image_pad|>", "exactly one <|image_pad|>"),
    "pictures are numbered": (
        "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}",
        "Picture {{ image_count.value }}: ",
        "exactly one <|image_pad|>",
    ),
    "no end token": ("<|im_end|>\n{% endif %}{% endfor %}", "\n{% endif %}{% endfor %}", "end token is '<|im_end|>'"),
    "it raises": ("{% set video", "{{ raise_exception('never') }}{% set video", "cannot be applied"),
    "its syntax is wrong": ("{% endif %}", "{% endfi %}", "cannot be applied"),
    "later turns end otherwise": (
        "{% if add_generation_prompt %}",
        "{% if messages | length > 1 %}Now: {% endif %}{% if add_generation_prompt %}",
        "and a later one with",
    ),
}


@pytest.mark.parametrize("fault", SPOILED)
def test_a_template_that_cannot_be_trained_with_is_refused(one_vlm: VLM, templates: dict[str, str], fault: str) -> None:
    old, new, words = SPOILED[fault]
    assert old in templates["qwen2"]
    with pytest.raises(CheckpointError, match=words.replace("|", r"\|")):
        framed(one_vlm, templates["qwen2"].replace(old, new))


def test_the_end_token_of_a_base_model_is_refused_with_what_to_do(one_vlm: VLM, templates: dict[str, str]) -> None:
    with pytest.raises(CheckpointError, match=r"set eos_token to the token that ends a turn"):
        framed(one_vlm, templates["qwen2"], eos="<|endoftext|>")


def test_a_checkpoint_that_rewrites_history_loads_for_single_turns(
    write_checkpoint: Callable[..., Path], templates: dict[str, str], tmp_path: Path
) -> None:
    renderer = Renderer(load_vlm(write_checkpoint(tmp_path, "qwen3_vl", template=templates["forgetful"])).processor)
    assert renderer.family.rewrites_history
    assert renderer.prompt("Count.", []).token_ids
