"""How templates frame turns, against the templates themselves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from agent.errors import CheckpointError
from agent.model.compose import FLATTEN
from agent.model.load import VLM
from agent.rollout.chat import read_chat_family
from agent.rollout.render import Renderer
from agent.types import Row
from tests.agent.checkpoints import TEXT_TEMPLATE
from tests.agent.rollout.families import TOOLS_TEMPLATE, VICUNA_TEMPLATE

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


def framed(vlm: VLM, template: str, eos: str = "<|im_end|>", observations: Any = "user") -> Any:
    class Tokenizer:
        """The session's tokenizer with another template."""

        eos_token = eos

        def __getattr__(self, name: str) -> Any:
            return getattr(vlm.processor.tokenizer, name)

        def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
            return vlm.processor.tokenizer.apply_chat_template(conversation, chat_template=template, **options)

    tokenizer: PreTrainedTokenizerBase = Tokenizer()  # type: ignore[assignment]
    return read_chat_family(tokenizer, IMAGE, observations)


def test_a_template_that_drops_earlier_thoughts_rewrites_history(one_vlm: VLM, templates: dict[str, str]) -> None:
    assert framed(one_vlm, templates["forgetful"]).rewrites_history


IRREGULAR = {
    "the system message moves to the last turn": ("loop.first and", "loop.last and"),
    "later turns end otherwise": (
        "{% if add_generation_prompt %}",
        "{% if messages | length > 1 %}Now: {% endif %}{% if add_generation_prompt %}",
    ),
    "only the second turn ends otherwise": (
        "{% if add_generation_prompt %}",
        "{% if messages | length == 3 %}Now: {% endif %}{% if add_generation_prompt %}",
    ),
    "the third turn ends otherwise": (
        "{% if add_generation_prompt %}",
        "{% if messages | length > 3 %}Now: {% endif %}{% if add_generation_prompt %}",
    ),
    "the first turn begins otherwise once there are more": (
        "{% for message in messages %}",
        "{% if messages | length > 1 %}Chat: {% endif %}{% for message in messages %}",
    ),
    "answers are cut": ("{{ content['text'] }}", "{{ content['text'].split('</think>')[-1] }}"),
}


@pytest.mark.parametrize("fault", IRREGULAR)
def test_where_turns_cannot_be_appended_the_template_rewrites_history(
    one_vlm: VLM, templates: dict[str, str], fault: str
) -> None:
    old, new = IRREGULAR[fault]
    assert old in templates["qwen2"]
    assert framed(one_vlm, templates["qwen2"].replace(old, new)).rewrites_history
    assert not framed(one_vlm, templates["qwen2"]).rewrites_history


def test_an_answer_without_an_end_token_in_the_history_is_rewritten(one_vlm: VLM) -> None:
    """As in LLaVA 1.5's published template: the policy's end token would not be there."""
    frame = framed(one_vlm, VICUNA_TEMPLATE.replace("<image>", IMAGE))
    assert frame.rewrites_history
    assert (frame.opening, frame.reply) == ("USER: ", " ASSISTANT:")


@pytest.mark.parametrize("role", ["assistant", "tool"])
def test_a_template_that_knows_texts_only_is_given_texts(one_vlm: VLM, role: str) -> None:
    texts = TOOLS_TEMPLATE.replace(
        "{%- for message in messages -%}",
        f"{{%- for message in messages -%}}{{%- if message.role == '{role}' -%}}"
        f"<|im_start|>{role}\n{{{{ message.content }}}}<|im_end|>\n{{%- else -%}}",
        1,
    ).replace("{%- endfor -%}{%- if add_gen", "{%- endif -%}{%- endfor -%}{%- if add_gen")
    frame = framed(one_vlm, texts, observations="tool")
    assert frame.plain_roles == {role}
    assert not frame.rewrites_history
    assert (frame.observation_image is None) == (role == "tool")


def test_a_tools_response_is_framed_as_the_template_does(one_vlm: VLM) -> None:
    frame = framed(one_vlm, TOOLS_TEMPLATE, observations="tool")
    assert frame.following == "\n<|im_start|>user\n<tool_response>\n"
    assert frame.resuming == "\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    assert frame.observation_image == frame.image == "<|vision_start|><|image_pad|><|vision_end|>"
    assert frame.reply == "<|im_end|>\n<|im_start|>assistant\n"
    asked = framed(one_vlm, TOOLS_TEMPLATE)
    assert (asked.following, asked.resuming) == ("\n<|im_start|>user\n", frame.reply)


NO_TOOLS = {
    "the role's name is written down, whatever it is": "qwen2",
    "tools' messages are dropped": "qwen3",
    "an unknown role is an answer": "text",
    "it raises": "strict",
}


@pytest.mark.parametrize("fault", NO_TOOLS)
def test_tool_responses_of_a_family_that_has_none_are_refused_with_what_to_do(
    one_vlm: VLM, templates: dict[str, str], fault: str
) -> None:
    strict = templates["qwen3"].replace(
        '{%- elif message.role == "assistant" %}',
        "{%- elif message.role == 'tool' %}{{ raise_exception('no tools here') }}"
        '{%- elif message.role == "assistant" %}',
    )
    text = FLATTEN.replace("IMAGE", repr(IMAGE)) + TEXT_TEMPLATE
    template = {**templates, "strict": strict, "text": text}[NO_TOOLS[fault]]
    eos = "<|im_end|>"
    assert framed(one_vlm, template, eos).observations == "user"
    with pytest.raises(CheckpointError, match=r"no tool responses: .*Set rollout\.observations to 'user'"):
        framed(one_vlm, template, eos, "tool")


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
