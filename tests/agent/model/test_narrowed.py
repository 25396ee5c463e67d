"""The narrowed row sees what the whole one sees: each token that is asked for, every key once."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.model import narrowed as module
from agent.model.narrowed import Narrowed, narrowed
from agent.model.tree import grown
from agent.model.tree_attention import Above, Sight
from agent.model.tree_blocks import spans

CPU = torch.device("cpu")
OUTER = 5


def looked_at(seen: Sight) -> list[Counter[int]]:
    """How often each query sees each key."""
    found = [Counter[int]() for _ in range(seen.pieces[-1][1])]
    for start, stop in seen.pieces:
        for query in range(start, stop):
            found[query].update(range(seen.outer + start, seen.outer + query + 1))
    for each in seen.above:
        for query in range(*each.queries):
            found[query].update(range(*each.keys))
    return found


def named(made: Narrowed) -> list[Counter[tuple[str, int]]]:
    """The same, by which token each key is of."""
    keys = [("outer", key) for key in range(OUTER)]
    keys += [("packed", token) for token in (*made.seen.tolist(), *made.through.tolist())]
    return [Counter({keys[key]: count for key, count in each.items()}) for each in looked_at(made.sight)]


@given(
    rows=st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=14), min_size=1, max_size=6),
    bits=st.lists(st.booleans(), min_size=100, max_size=100),
    least=st.integers(1, 4),
    every=st.booleans(),
)
def test_a_token_sees_its_own_row_up_to_itself_every_key_once(
    rows: list[list[int]], bits: list[bool], least: int, every: bool
) -> None:
    told = [np.array(row) for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agent.model.tree.LEAST", 1)
        patch.setattr(module, "LEAST", least)
        pieces = grown(told, range(len(rows)))
        wanted = np.array(bits[: pieces[-1].at + len(pieces[-1])])
        wanted[[piece.at + len(piece) - 1 for piece in pieces]] = True  # a row's end is asked for
        outer = [Above((0, len(wanted)), (1, OUTER))]
        ranges = [(piece.at, piece.at + len(piece), piece.end) for piece in pieces]
        made = narrowed(ranges, wanted, outer, OUTER, CPU, every)
    if made is None:
        return
    # FlexAttention is told the same by the first and the last query that see a key.
    told_flex = spans(made.sight.pieces, [(each.queries, each.keys) for each in made.sight.above], made.sight.outer)
    for key, (first, behind) in enumerate(told_flex.T.tolist()):
        assert [query for query, each in enumerate(looked_at(made.sight)) if each[key]] == list(range(first, behind))
    places = [(piece, range(piece.at, piece.at + len(piece))) for piece in pieces]
    found = named(made)
    assert set(wanted.nonzero()[0]) <= set(made.through.tolist())
    assert made.places[made.through.numpy()].tolist() == list(range(len(found)))
    assert len(made.places) == len(wanted) and (made.places >= 0).sum() == len(found)
    for token, seen in zip(made.through.tolist(), found, strict=True):
        (piece,) = (each for each, own in places if token in own)
        row = [other for each, own in places if piece.rows[0] in each.rows for other in own if other <= token]
        assert seen == Counter([("outer", key) for key in range(1, OUTER)] + [("packed", other) for other in row])


def test_a_prompts_last_token_and_its_answers_go_through_and_of_the_prompt_keys_are_made() -> None:
    wanted = np.array([False] * 49 + [True] * 21)
    made = narrowed([(0, 50, 70), (50, 60, 60), (60, 70, 70)], wanted, (), 0, CPU)
    assert made is not None
    assert made.through.tolist() == list(range(49, 70)) and made.seen.tolist() == list(range(50))
    assert made.sight.outer == 50 and made.sight.pieces == ((0, 1), (1, 11), (11, 21))
    assert made.sight.above == (Above((0, 1), (0, 49)), Above((1, 21), (0, 50)))


def test_what_an_environment_answered_is_left_out_between_two_turns() -> None:
    wanted = np.array([True] * 10 + [False] * 40 + [True] * 10)
    made = narrowed([(0, 60, 60)], wanted, (), 0, CPU)
    assert made is not None and made.seen.tolist() == list(range(50))  # nobody looks at the last ten but themselves
    assert made.sight.pieces == ((0, 10), (10, 20)) and made.sight.above == (Above((10, 20), (0, 50)),)


def test_a_few_tokens_are_not_worth_it() -> None:
    wanted = np.ones(100, dtype=bool)
    wanted[10 : 10 + module.LEAST - 1] = False
    given = wanted.copy()
    assert narrowed([(0, 100, 100)], wanted, (), 0, CPU) is None
    assert (wanted == given).all()  # it is the caller's
    wanted[10 : 10 + module.LEAST] = False
    assert narrowed([(0, 100, 100)], wanted, (), 0, CPU) is not None


def test_keys_are_made_of_all_tokens_for_whoever_keeps_them() -> None:
    wanted = np.array([False] * 40 + [True] * 5)
    ranges = [(0, 41, 41), (41, 45, 45)]
    made = narrowed(ranges, wanted, (), 0, CPU, every=True)
    assert made is not None and made.seen.tolist() == list(range(45)) and made.through.tolist() == list(range(40, 45))
