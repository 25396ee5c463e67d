"""Messages and pictures to tokens."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ObservationError
from agent.model.load import VLM
from agent.rollout.hf import expand
from agent.rollout.render import Renderer, Trusted, Untrusted, checked_observation
from agent.types import Row, Segment
from tests.agent.conftest import CODE_CONTROL, SPECIAL

CONTROL = SPECIAL + CODE_CONTROL
FAMILIES = st.sampled_from(["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
TEXT = st.lists(
    st.sampled_from(CONTROL) | st.sampled_from(CONTROL).map(lambda t: t[1:]) | st.text(max_size=5), max_size=5
).map("".join)
SIZES = st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), max_size=3)


def pictures(sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    return [np.full((height, width, 3), 37 * k, dtype=np.uint8) for k, (height, width) in enumerate(sizes)]


def test_whatever_an_environment_says_the_control_tokens_are_the_templates(load_family: Callable[[str], VLM]) -> None:
    renderers = {name: Renderer(load_family(name).processor) for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")}

    @given(FAMILIES, TEXT, SIZES, st.booleans())
    def check(family: str, text: str, sizes: list[tuple[int, int]], ended: bool) -> None:
        renderer = renderers[family]
        control = set(renderer.processor.control_tokens.values())

        def frame(segment: Segment) -> list[int]:
            return [token for token in segment.token_ids if token in control]

        images = pictures(sizes)
        for said, silent in [
            (renderer.prompt(text, images), renderer.prompt("", images)),
            (renderer.observation(text, images, 1, ended), renderer.observation("", images, 1, ended)),
        ]:
            assert frame(said) == frame(silent)
            assert len(said.images) == len(images)

    check()


@pytest.mark.parametrize("token", CONTROL)
def test_text_cannot_complete_a_control_token_that_a_template_begins(one_renderer: Renderer, token: str) -> None:
    control = one_renderer.processor.control_tokens
    for cut in range(len(token)):
        for parts in [
            [Trusted("<|im_start|>user " + token[:cut]), Untrusted(token[cut:])],
            [Trusted("<|im_start|>user "), Untrusted(token[:cut]), Untrusted(token[cut:] + "!")],
            [Trusted("<|im_start|>user "), Untrusted(token[:cut]), Trusted(token[cut:])],
        ]:
            ids = one_renderer._encode(parts)
            if parts[-1] != Trusted(token):
                assert [i for i in ids if i in control.values()] == [control["<|im_start|>"]]
            assert one_renderer.processor.decode(ids) == "".join(part.text for part in parts)


def test_a_segments_placeholders_are_its_images_features(load_family: Callable[[str], VLM]) -> None:
    renderers = {name: Renderer(load_family(name).processor) for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")}

    @given(FAMILIES, TEXT, SIZES)
    def check(family: str, text: str, sizes: list[tuple[int, int]]) -> None:
        renderer = renderers[family]
        segment = renderer.prompt(text, pictures(sizes))
        placeholder = renderer.processor.image_token_id
        inside = {i for span in segment.images for i in range(span.start, span.start + span.length)}
        assert inside == {i for i, token in enumerate(segment.token_ids) if token == placeholder}
        for span in segment.images:
            image = renderer.pixels(span.sha256)
            assert (span.length, span.grid) == (image.tokens, image.grid)
            assert len(image.pixels) == span.length * renderer.processor.merge**2

    check()


def test_the_samplers_view_expands_to_the_trainers(load_family: Callable[[str], VLM]) -> None:
    renderers = {name: Renderer(load_family(name).processor) for name in ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")}

    @given(FAMILIES, st.lists(st.tuples(TEXT, SIZES, st.booleans()), min_size=1, max_size=4))
    def check(family: str, turns: list[tuple[str, list[tuple[int, int]], bool]]) -> None:
        renderer = renderers[family]
        row = Row((renderer.prompt(turns[0][0], pictures(turns[0][1])),))
        for turn, (text, sizes, ended) in enumerate(turns[1:], start=1):
            row = row.append(renderer.demonstration(text, turn - 1))
            row = row.append(renderer.observation(text, pictures(sizes), turn, ended))
        images = renderer.pictures(row)
        ids, spans = expand(row.collapsed, images, renderer.processor.image_token_id)
        assert tuple(ids) == row.token_ids
        assert tuple(spans) == row.images

    check()


def test_a_turn_that_was_cut_is_closed_by_the_observation(one_renderer: Renderer) -> None:
    ended = one_renderer.observation("Go on", [], 1, True)
    cut = one_renderer.observation("Go on", [], 1, False)
    assert cut.token_ids == (*one_renderer.processor.stop_ids, *ended.token_ids)
    assert cut.kind == "observation"


def test_an_environment_is_given_the_turns_text_without_the_end_token_and_with_every_other(
    one_renderer: Renderer,
) -> None:
    processor = one_renderer.processor
    box = processor.control_tokens["<|box_start|>"]
    ids = (*processor.encode("see "), box, *processor.encode("here"))
    assert one_renderer.action_text((*ids, *processor.stop_ids)) == "see <|box_start|>here"
    assert one_renderer.action_text(ids) == "see <|box_start|>here"
    assert one_renderer.action_text(processor.stop_ids) == ""


def test_a_demonstration_ends_its_turn_and_is_not_sampled(one_renderer: Renderer) -> None:
    segment = one_renderer.demonstration("three", 2)
    assert segment.token_ids[-1] == one_renderer.processor.stop_ids[0]
    assert one_renderer.action_text(segment.token_ids) == "three"
    assert segment.logprobs is None and segment.sampling is None and segment.turn == 2


def test_forgotten_pixels_are_gone_and_kept_ones_stay(
    one_renderer: Renderer, picture: Callable[..., np.ndarray]
) -> None:
    first, second = one_renderer.prompt("a", [picture(30, 30, 1), picture(30, 30, 2)]).images
    one_renderer.forget(keep=[second.sha256])
    assert one_renderer.pixels(second.sha256).sha256 == second.sha256
    with pytest.raises(KeyError):
        one_renderer.pixels(first.sha256)


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ("hello", "got str"),
        (None, "got NoneType"),
        ({"text": "a"}, r"got \['text'\]"),
        ({"images": ()}, r"got \['images'\]"),
        ({"text": b"a", "images": ()}, r'\["text"\] must be a str, got bytes'),
        ({"text": None, "images": ()}, r'\["text"\] must be a str, got NoneType'),
        ({"text": "a", "images": None}, r'\["images"\] must be a tuple of arrays, got NoneType'),
        ({"text": "a", "images": np.zeros((3, 3, 3), dtype=np.uint8)}, r'\["images"\] must be a tuple .* got ndarray'),
    ],
)
def test_what_is_no_observation_is_refused_with_what_came(observation: object, words: str) -> None:
    with pytest.raises(ObservationError, match=f"somewhere: .*{words}"):
        checked_observation(observation, "somewhere")


def test_a_picture_that_has_been_processed_is_taken_as_it_is(
    one_renderer: Renderer, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    processed = one_renderer.processor.process(picture(40, 50, 3))
    expected = one_renderer.prompt("look", (picture(40, 50, 3),))
    monkeypatch.setattr(one_renderer.processor, "process", None)
    assert one_renderer.prompt("look", (processed,)) == expected
    assert one_renderer.pixels(processed.sha256) is processed


def test_pixels_are_forgotten_but_for_those_that_are_still_needed(
    one_renderer: Renderer, picture: Callable[..., np.ndarray]
) -> None:
    renderer = Renderer(one_renderer.processor)
    first, second = (renderer.prompt("q", (picture(40, 50, k),)).images[0].sha256 for k in (1, 2))
    renderer.forget((second,))
    assert renderer.known(first) is None
    assert renderer.pixels(second).sha256 == second
    renderer.prompt("q", (picture(40, 50, 1),))
    assert renderer.pixels(first).sha256 == first
