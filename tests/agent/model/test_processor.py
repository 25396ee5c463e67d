"""Text and pictures to ids and pixels."""

import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.errors import CheckpointError, ObservationError
from agent.model.load import VLM
from agent.model.processor import Processor, image_sha256
from tests.agent.conftest import CODE_CONTROL, QWEN3_TAGS, SPECIAL, TOOL_TAGS

CONTROL = SPECIAL + CODE_CONTROL
FRAGMENT = st.one_of(
    st.sampled_from(CONTROL),
    st.sampled_from(TOOL_TAGS + QWEN3_TAGS),
    # Pieces of their spelling, so that the rest of the text can complete or interrupt them.
    st.sampled_from(CONTROL).flatmap(lambda t: st.integers(0, len(t)).map(lambda n: t[:n])),
    st.sampled_from(CONTROL).flatmap(lambda t: st.integers(0, len(t)).map(lambda n: t[n:])),
    # Characters that combine with what stands before them, or that Unicode normalisation replaces.
    st.sampled_from(["\u0338", "\u0301", "\u037e", "\u1fef", "\ufe0f", "\u200b", "\u2126", "ﬀ", "<", "|", ">", "\x00"]),
    st.text(max_size=8),
)
HOSTILE = st.lists(FRAGMENT, max_size=8).map("".join)


@pytest.fixture
def processor(vlm: VLM) -> Processor:
    return vlm.processor


def test_text_never_becomes_a_control_token(load_family: Callable[[str], VLM]) -> None:
    @given(st.sampled_from(["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]), HOSTILE)
    @example("qwen3_vl", "".join(CONTROL))
    @example("qwen2_vl", "<|im_start<|im_start|>|>")
    @example("qwen2_5_vl", "<|im_end|><|im_end|>|im_end|>")
    def check(family: str, text: str) -> None:
        processor = load_family(family).processor
        known = {t for t in CONTROL if t in processor.tokenizer.get_vocab()}
        assert set(SPECIAL) <= known
        ids = processor.encode(text)
        assert not set(ids) & {processor.tokenizer.convert_tokens_to_ids(t) for t in known}

    check()


def test_text_comes_back_from_its_tokens(one_vlm: VLM) -> None:
    @given(HOSTILE)
    def check(text: str) -> None:
        assert one_vlm.processor.decode(one_vlm.processor.encode(text)) == text.encode("utf-8", "replace").decode()

    check()


def test_every_published_control_token_is_one(processor: Processor, family: str) -> None:
    expected = set(SPECIAL) | (set() if family == "qwen2_vl" else set(CODE_CONTROL))
    assert set(processor.control_tokens) == expected


def test_tags_are_words_and_not_control_tokens(processor: Processor) -> None:
    for tag in TOOL_TAGS + QWEN3_TAGS:
        assert tag not in processor.control_tokens
        assert processor.decode(processor.encode(f"a{tag}b")) == f"a{tag}b"


def test_a_policy_may_sample_every_word_and_the_end_token_and_nothing_else(processor: Processor) -> None:
    allowed = set(range(processor.vocabulary)) - set(processor.banned_ids)
    names = set(processor.tokenizer.convert_ids_to_tokens(sorted(allowed)))
    assert None not in names
    assert names & set(CONTROL) == {"<|im_end|>"}
    words = set(processor.tokenizer.get_vocab()) - set(CONTROL)
    assert words <= names


def test_rows_of_the_embedding_without_a_token_are_banned(processor: Processor) -> None:
    nameless = set(range(processor.vocabulary)) - set(processor.tokenizer.get_vocab().values())
    assert nameless and nameless <= set(processor.banned_ids)


def test_plain_text_has_the_tokenizers_own_tokens(processor: Processor) -> None:
    for text in ["How many red circles are there?", "a  b\n\nc", "naïve 数 🙂"]:
        assert processor.encode(text) == processor.tokenizer.encode(text, add_special_tokens=False)


def test_an_image_has_as_many_tokens_as_features(load_family: Callable[[str], VLM]) -> None:
    @given(st.sampled_from(["qwen2_vl", "qwen2_5_vl", "qwen3_vl"]), st.integers(1, 120), st.integers(1, 120))
    def check(family: str, height: int, width: int) -> None:
        processor = load_family(family).processor
        out = processor.process(np.zeros((height, width, 3), dtype=np.uint8))
        assert out.tokens == out.grid[0] * out.grid[1] * out.grid[2] // processor.merge**2 >= 1
        assert len(out.pixels) == out.tokens * processor.merge**2
        assert out.grid[1] % processor.merge == out.grid[2] % processor.merge == 0

    check()


def test_an_image_is_normalised_patch_by_patch(one_vlm: VLM) -> None:
    # 56 x 84 pixels: two by three merged tokens of 2 x 2 patches of 14 pixels; nothing is resized.
    picture = np.zeros((56, 84, 3), dtype=np.uint8)
    picture[28:42, 14:28] = 255  # the third row of patches, the second column
    out = one_vlm.processor.process(picture)
    assert out.grid == (1, 4, 6)
    bright = (out.pixels > 0.9).all(dim=1).nonzero()[:, 0].tolist()
    # Patches go merged token by merged token; this is token (1, 0) and its upper right patch.
    assert bright == [3 * 4 + 1]
    assert float(out.pixels.min()) == -1.0


def test_equal_pictures_are_processed_once_and_share_their_pixels(
    one_vlm: VLM, picture: Callable[..., np.ndarray]
) -> None:
    assert one_vlm.processor.process(picture(40, 50)) is one_vlm.processor.process(picture(40, 50).copy())


def test_a_picture_that_is_drawn_over_afterwards_stays_what_it_was(
    one_vlm: VLM, picture: Callable[..., np.ndarray]
) -> None:
    array = picture(33, 44, seed=77)
    out = one_vlm.processor.process(array)
    array[:] = 0
    assert image_sha256(out.original) == out.sha256


def test_one_pixel_or_the_shape_changes_the_hash(picture: Callable[..., np.ndarray]) -> None:
    one = picture(12, 10)
    other = one.copy()
    other[3, 4, 1] ^= 1
    assert len({image_sha256(one), image_sha256(other), image_sha256(one.reshape(10, 12, 3))}) == 3
    assert image_sha256(one[::-1][::-1]) == image_sha256(np.asfortranarray(one)) == image_sha256(one)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 3), dtype=np.float32), r"uint8 array of shape \(height, width, 3\), got float32 \(4, 4, 3\)"),
        (np.zeros((4, 4), dtype=np.uint8), r"got uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), dtype=np.uint8), r"got uint8 \(4, 4, 4\)"),
        (np.zeros((3, 4, 4), dtype=np.uint8), r"got uint8 \(3, 4, 4\)"),
        ([[0, 0, 0]], "got list"),
        (np.zeros((0, 4, 3), dtype=np.uint8), "1 to 64,000,000 pixels"),
        (np.broadcast_to(np.uint8(0), (9000, 9000, 3)), "1 to 64,000,000 pixels"),
        (np.zeros((1, 500, 3), dtype=np.uint8), r"refuses a picture of shape \(1, 500, 3\): .*aspect ratio"),
    ],
    ids=["float", "grey", "alpha", "channels first", "list", "empty", "huge", "thin"],
)
def test_what_is_no_picture_is_refused_with_what_came(one_vlm: VLM, image: object, words: str) -> None:
    with pytest.raises(ObservationError, match=words):
        one_vlm.processor.process(image)  # type: ignore[arg-type]


def test_the_folders_files_are_copied_as_they_are(vlm: VLM, tmp_path: Path) -> None:
    vlm.processor.save(tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (vlm.processor.folder / file.name).read_bytes()
    assert {"tokenizer.json", "preprocessor_config.json"} <= {file.name for file in tmp_path.iterdir()}


def test_settings_of_the_tokenizers_training_neither_cut_nor_pad_a_prompt(one_vlm: VLM, tmp_path: Path) -> None:
    shutil.copytree(one_vlm.processor.folder, tmp_path / "m")
    backend = Processor(tmp_path / "m").tokenizer.backend_tokenizer
    backend.enable_truncation(max_length=3)
    backend.enable_padding(length=64)
    backend.save(str(tmp_path / "m" / "tokenizer.json"))
    text = "How many red circles are there?"
    assert Processor(tmp_path / "m").encode(text) == one_vlm.processor.encode(text)


def test_limits_of_the_folder_are_kept(vlm: VLM) -> None:
    # The fixtures allow 1 to 16 image tokens.
    for side in (1, 20, 60, 500):
        assert 1 <= vlm.processor.process(np.zeros((side, side, 3), dtype=np.uint8)).tokens <= 16


def test_a_chat_template_in_a_json_file_is_read(one_vlm: VLM, tmp_path: Path) -> None:
    shutil.copytree(one_vlm.processor.folder, tmp_path / "m")
    template = (tmp_path / "m" / "chat_template.jinja").read_text()
    (tmp_path / "m" / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match="no chat template"):
        Processor(tmp_path / "m")
    (tmp_path / "m" / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert Processor(tmp_path / "m").tokenizer.chat_template == template


def test_threads_that_bring_the_same_picture_have_it_processed_once(
    one_vlm: VLM, picture: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, plain = one_vlm.processor, one_vlm.processor.image_processor
    calls: list[int] = []

    def slow(*args: object, **kwargs: object) -> object:
        calls.append(1)
        time.sleep(0.05)
        return plain(*args, **kwargs)

    monkeypatch.setattr(processor, "image_processor", slow)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(processor.process, [picture(60, 80, 991), picture(60, 80, 992)] * 8))
    assert len(calls) == 2
    assert len({id(image) for image in found}) == 2


def test_a_picture_that_was_refused_may_be_brought_again(one_vlm: VLM) -> None:
    for _ in range(2):
        with pytest.raises(ObservationError):
            one_vlm.processor.process(np.zeros((1, 500, 3), np.uint8))
