"""The fake server: its faults come as they were ordered."""

from collections import Counter

import httpx
import pytest

from agent.chat.fake import Answer, FakeChatServer, Faults, served


def test_faults_depend_on_seed_and_number_and_have_the_ordered_shares() -> None:
    faults = Faults(error=0.1, busy=0.05, cut=0.05, slow=0.2, broken=0.1)
    drawn = [faults.of(number) for number in range(4000)]
    assert drawn == [faults.of(number) for number in range(4000)]
    assert drawn != [Faults(error=0.1, busy=0.05, cut=0.05, slow=0.2, broken=0.1, seed=1).of(n) for n in range(4000)]
    shares = {name: count / 4000 for name, count in Counter(drawn).items()}
    expected = {"error": 0.1, "busy": 0.05, "cut": 0.05, "slow": 0.2, "broken": 0.1, "": 0.5}
    assert shares == pytest.approx(expected, abs=0.03)


def test_it_speaks_the_interface() -> None:
    with served(FakeChatServer(lambda messages: Answer("4", "length"), models=["one"], owned_by="vllm")) as server:
        (model,) = httpx.get(f"{server.url}/models").json()["data"]
        assert (model["id"], model["owned_by"]) == ("one", "vllm")
        body = {"model": "one", "messages": [{"role": "user", "content": "?"}]}
        answer = httpx.post(f"{server.url}/chat/completions", json=body).json()
        assert answer["choices"] == [
            {"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "length"}
        ]
        assert httpx.post(f"{server.url}/chat/completions", json=body | {"model": "two"}).status_code == 404
        assert httpx.get(server.url).status_code == 404
        assert (server.answered, len(server.bodies), server.in_flight) == (1, 2, 0)


def test_a_cut_connection_is_one_for_the_client() -> None:
    with served(FakeChatServer(lambda messages: "4", faults=Faults(cut=1.0))) as server:
        body = {"model": "fake", "messages": []}
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{server.url}/chat/completions", json=body)
        assert server.answered == 0
