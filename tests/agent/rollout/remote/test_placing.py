"""Which server an episode is played on."""

from collections import Counter
from collections.abc import Callable

from agent.rollout.engine import Request
from agent.rollout.remote.placing import SLACK, Placing

RequestOf = Callable[..., Request]


def test_an_episode_stays_where_it_began(request_of: RequestOf) -> None:
    placing = Placing(3)
    first = [placing.server(request_of(id, (5, id))) for id in range(9)]
    assert [placing.server(request_of(id, (5, id, 6, 7))) for id in range(9)] == first
    assert Counter(first) == {0: 3, 1: 3, 2: 3}


def test_siblings_stay_together(request_of: RequestOf) -> None:
    placing = Placing(2)
    places = [placing.server(request_of(id, (5, id // 8))) for id in range(32)]
    assert [len(set(places[i : i + 8])) for i in range(0, 32, 8)] == [1, 1, 1, 1]
    assert Counter(places) == {0: 16, 1: 16}


def test_one_prompt_for_all_does_not_leave_servers_idle(request_of: RequestOf) -> None:
    placing = Placing(2)
    load = Counter(placing.server(request_of(id)) for id in range(100))
    assert abs(load[0] - load[1]) <= SLACK


def test_room_is_made_when_episodes_are_over(request_of: RequestOf) -> None:
    placing = Placing(2)
    first = placing.server(request_of(0, (1,)))
    placing.server(request_of(1, (2,)))
    placing.release(0)
    placing.release(0)  # a second time is nothing
    assert placing.server(request_of(2, (3,))) == first
    for episode in (1, 2):
        placing.release(episode)
    assert not placing._prompts and not placing._server and not placing._prompt_of and not placing._waiting
