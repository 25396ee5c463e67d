"""The model that is made on the spot."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForImageTextToText, AutoTokenizer

from agent.config_model import TinyShape
from agent.model.load import load_vlm
from agent.model.tiny import SPECIAL_TOKENS, TAG_TOKENS, make_tiny_vlm, make_tokenizer

TEXTS = ["<think>count</think><answer>3</answer>", "How many red circles are there?"] * 10
SHAPE = TinyShape(vocabulary=300, feed_forward=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_vlm(tmp_path_factory.mktemp("tiny"), TEXTS, 3, SHAPE)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_vlm(folder).model.state_dict()


def test_the_same_seed_gives_the_same_files_and_another_seed_other_weights(folder: Path, tmp_path: Path) -> None:
    again, other = make_tiny_vlm(tmp_path / "a", TEXTS, 3, SHAPE), make_tiny_vlm(tmp_path / "b", TEXTS, 4, SHAPE)
    for file in folder.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()
    assert (weights(folder)["lm_head.weight"] != weights(other)["lm_head.weight"]).any()


def test_making_a_model_leaves_torchs_own_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_tiny_vlm(tmp_path, TEXTS, 3, SHAPE)
    assert torch.equal(torch.rand(3), expected)


def test_transformers_loads_every_weight_by_itself(folder: Path) -> None:
    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    ours = weights(folder)
    assert all(torch.equal(tensor, ours[name]) for name, tensor in model.state_dict().items())


@given(st.text())
def test_any_text_comes_back_from_its_tokens(text: str) -> None:
    tokenizer = TOKENIZER
    if not any(token in text for token in SPECIAL_TOKENS):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_the_tags_of_the_protocol_are_one_token_each_and_not_special() -> None:
    for tag in TAG_TOKENS:
        assert len(TOKENIZER.encode(tag)) == 1
        assert tag not in TOKENIZER.all_special_tokens


def test_the_stored_tokenizer_is_the_one_that_was_made(folder: Path) -> None:
    stored = AutoTokenizer.from_pretrained(folder)
    for text in [*TEXTS[:2], "naïve 数 🙂\n\n  x"]:
        assert stored.encode(text) == make_tokenizer(TEXTS, SHAPE.vocabulary).encode(text)


def test_the_vocabulary_stays_within_its_bound(folder: Path) -> None:
    assert len(AutoTokenizer.from_pretrained(folder)) <= SHAPE.vocabulary


def test_a_width_that_heads_of_32_do_not_divide_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        make_tiny_vlm(tmp_path, TEXTS, 0, TinyShape(hidden=48))


TOKENIZER = make_tokenizer(TEXTS, 300)
