"""The engine that answers from a script keeps the contract of the others."""

import pytest
import torch

from agent.rollout.engine import Request, SamplingParams
from agent.rollout.scripted import ScriptedEngine


def request(id: int, max_tokens: int = 4) -> Request:
    return Request(id, id, (1, 2), (), SamplingParams(1.0, max_tokens, 0, stop_ids=(9,)))


def answers(tokens: list[int]) -> ScriptedEngine:
    return ScriptedEngine(lambda request: (list(tokens), [-1.0] * len(tokens)), delay=lambda request: 1 + request.id)


def test_a_request_completes_after_its_delay_whenever_it_joined() -> None:
    engine = answers([5, 9])
    engine.submit(request(0))
    engine.submit(request(2))
    assert [c.id for c in engine.poll(0)] == [0]
    engine.submit(request(1))
    assert [c.id for c in engine.poll(0)] == []
    assert sorted(c.id for c in engine.poll(0)) == [1, 2]


@pytest.mark.parametrize(
    ("tokens", "kept", "reason"),
    [([5, 9], (5, 9), "stop"), ([5], (5,), "length"), ([5, 5, 5, 5, 9], (5, 5, 5, 5), "length"), ([9], (9,), "stop")],
)
def test_an_answer_is_cut_at_the_limit_and_says_so(tokens: list[int], kept: tuple[int, ...], reason: str) -> None:
    engine = answers(tokens)
    engine.submit(request(0))
    (done,) = engine.poll(0)
    assert (done.token_ids, done.stop_reason, len(done.logprobs or ())) == (kept, reason, len(kept))


def test_an_aborted_request_is_not_returned() -> None:
    engine = answers([9])
    engine.submit(request(0))
    engine.abort(0)
    engine.abort(77)
    assert engine.poll(0) == []


def test_polling_while_asleep_raises() -> None:
    engine = answers([9])
    engine.sleep()
    with pytest.raises(RuntimeError, match="asleep"):
        engine.poll(0)
    engine.wake()
    assert engine.poll(0) == []


def test_completions_say_which_weights_they_came_from() -> None:
    engine = answers([9])
    engine.load_weights(iter([("w", torch.zeros(1))]), version=4)
    engine.submit(request(0))
    assert engine.poll(0)[0].weight_version == 4


@pytest.mark.parametrize(("temperature", "max_tokens"), [(-0.1, 4), (1.0, 0)])
def test_sampling_parameters_out_of_range_are_refused(temperature: float, max_tokens: int) -> None:
    with pytest.raises(ValueError, match="temperature >= 0 and max_tokens >= 1"):
        SamplingParams(temperature, max_tokens, 0, stop_ids=())
