"""The Reward: scores as the environments paid them, and the control that shuffles them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from agent.errors import CheckpointError, ConfigError, RewardFault
from agent.roles.reward import make_terms, scores_and_validity, shuffled, term_scores
from agent.types import Outcome, Row, Segment, Trajectory

ROW = Row((Segment("prompt", (1,), 0),))


def trajectory(outcome: Outcome) -> Trajectory:
    return Trajectory("Test/Any-v0", 0, 0, (ROW,), outcome)


def test_a_trajectory_is_worth_its_return_and_a_broken_one_does_not_count() -> None:
    scores, valid = scores_and_validity(
        [
            trajectory(Outcome("terminated", 0.75)),
            trajectory(Outcome("truncated", -2.0, "turns")),
            trajectory(Outcome("failed", None, "container lost")),
            trajectory(Outcome("terminated", 0.0)),
        ]
    )
    assert scores[valid].tolist() == [0.75, -2.0, 0.0]
    assert valid.tolist() == [True, True, False, True]


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=1, max_size=12), st.integers(0, 9))
def test_shuffling_keeps_the_scores_and_exchanges_them_among_valid_trajectories_only(
    given_scores: list[tuple[int, bool]], step: int
) -> None:
    scores = torch.tensor([float(score) for score, _ in given_scores])
    valid = torch.tensor([v for _, v in given_scores])
    moved = shuffled(scores, valid, 0, step)
    assert sorted(moved[valid].tolist()) == sorted(scores[valid].tolist())
    assert torch.equal(moved[~valid], scores[~valid])


def test_shuffling_changes_the_order_and_does_so_anew_at_each_step_and_seed() -> None:
    scores, valid = torch.arange(64.0), torch.ones(64, dtype=torch.bool)
    orders = {tuple(shuffled(scores, valid, seed, step).tolist()) for seed in range(2) for step in range(3)}
    assert len(orders) == 6
    assert tuple(scores.tolist()) not in orders


def test_shuffling_is_the_same_whenever_it_is_done() -> None:
    scores, valid = torch.arange(8.0), torch.ones(8, dtype=torch.bool)
    assert torch.equal(shuffled(scores, valid, 3, 5), shuffled(scores, valid, 3, 5))
    assert scores.tolist() == list(range(8))


def test_shuffled_scores_tell_nothing_about_their_group() -> None:
    """Groups of 8 whose scores are all equal within the group: after shuffling over the whole batch they are mixed."""
    scores, valid = torch.arange(8.0).repeat_interleave(8), torch.ones(64, dtype=torch.bool)
    moved = shuffled(scores, valid, 0, 0).view(8, 8)
    assert all(len(set(group.tolist())) > 1 for group in moved)


def said(*texts: str, rewards: dict[str, float] | None = None, end: str = "terminated") -> Trajectory:
    """An episode whose actions decode to these texts (a token is a character)."""
    row = ROW
    for turn, text in enumerate(texts):
        if turn:
            row = row.append(Segment("observation", (2,), turn))
        row = row.append(Segment("action", tuple(map(ord, text)), turn, (), None, None, 0.0))
    score = None if end == "failed" else 1.0
    return Trajectory("Test/Any-v0", 7, 11, (row,), Outcome(end, score), rewards or {})  # type: ignore[arg-type]


def decode(token_ids: Sequence[int]) -> str:
    return "".join(map(chr, token_ids))


def added(terms: dict[str, dict[str, Any]], *trajectories: Trajectory) -> dict[str, list[float]]:
    return {n: t.tolist() for n, t in term_scores(make_terms(terms), trajectories, decode).items()}


def politeness(trajectory: Trajectory, texts: Sequence[str], *, word: str = "please") -> float:
    return sum(word in text for text in texts) / len(texts)


def broken(trajectory: Trajectory, texts: Sequence[str]) -> float:
    return math.nan if "bad" in texts else 1 / len(texts[0])


def test_each_term_is_weighted_and_stands_by_itself() -> None:
    terms = {
        "length": {"weight": -0.5},
        "tags": {"kind": "format", "pattern": "<a>.*</a>"},
        "accuracy": {"kind": "info", "key": "exact", "weight": 2},
        "polite": {"kind": f"{__name__}:politeness", "word": "pray"},
    }
    two = said("<a>pray\n</a>", "<a></a>", rewards={"exact": 0.25})
    one = said("no", rewards={"exact": 1.0})
    assert added(terms, two, one) == {
        "length": [-0.5 * 19, -1.0],
        "tags": [1.0, 0.0],
        "accuracy": [0.5, 2.0],
        "polite": [0.5, 0.0],
    }


def test_a_broken_trajectory_gets_nothing_and_is_not_looked_at() -> None:
    assert added({"x": {"kind": f"{__name__}:broken"}}, said("bad", end="failed"), said("ab")) == {"x": [0.0, 0.5]}


@pytest.mark.parametrize(("text", "why"), [("bad", "finite number, got nan"), ("", "ZeroDivisionError")])
def test_a_term_that_fails_names_itself_the_task_and_the_seed(text: str, why: str) -> None:
    with pytest.raises(RewardFault, match=rf"reward\.terms\.x on task 7 of Test/Any-v0, seed 11: .*{why}"):
        added({"x": {"kind": f"{__name__}:broken"}}, said(text))


def test_a_reward_that_the_environment_does_not_tell_is_named_beside_those_that_it_tells() -> None:
    with pytest.raises(RewardFault, match=r"no reward 'exact'.*'f1'"):
        added({"x": {"kind": "info", "key": "exact"}}, said("a", rewards={"f1": 1.0}))


@pytest.mark.parametrize(
    ("term", "told"),
    [
        ({"weight": "much"}, "weight"),
        ({"weight": math.inf}, "weight"),
        ({"kind": "nonsense"}, "there is no 'nonsense'; there are length, format, info, model"),
        ({"kind": "no.such:thing"}, "cannot be imported"),
        ({"kind": "math:pi"}, "not a function"),
        ({"kind": "format"}, "needs 'pattern'"),
        ({"kind": "format", "pattern": "("}, "not a regular expression"),
        ({"kind": "length", "most": 3}, "no option 'most'"),
        ({"kind": "model"}, "path"),
    ],
)
def test_a_term_that_cannot_be_is_told_with_what_is_allowed(term: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_terms({"mine": term})
    assert "reward.terms.mine" in str(caught.value) and told in str(caught.value)


def reward_model(folder: Path, labels: int) -> Path:
    texts = ["good answer", "bad answer"]
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "bad": 2, "answer": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[UNK]").save_pretrained(folder)
    torch.manual_seed(len(texts))
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=8, num_key_value_heads=2, num_labels=labels, pad_token_id=0, **shape)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_reward_model_scores_what_the_policy_said(tmp_path: Path) -> None:
    folder = reward_model(tmp_path, 1)
    found = added({"model": {"path": str(folder), "weight": 3.0}}, said("good answer"), said("bad answer"))["model"]
    model = LlamaForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = [float(model(torch.tensor([ids])).logits) for ids in ([1, 3], [2, 3])]
    assert found == pytest.approx([3 * value for value in expected], rel=1e-5)
    assert found[0] != found[1]


def test_what_is_no_reward_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"reward\.terms\.model\.path"):
        make_terms({"model": {"path": str(tmp_path / "nowhere")}})
    with pytest.raises(CheckpointError, match="one output"):
        make_terms({"model": {"path": str(reward_model(tmp_path, 2))}})
