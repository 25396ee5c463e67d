"""Where a service may listen, and with what token."""

import pytest

from sandbox.errors import RequestError
from sandbox.service.guard import check_exposure

TOKEN = "a-token-of-some-length"


def test_with_a_token_it_listens_where_it_is_told() -> None:
    assert check_exposure(None, TOKEN) == "0.0.0.0"
    assert check_exposure("10.0.0.1", TOKEN) == "10.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_without_one_it_may_listen_where_only_this_machine_comes(host: str) -> None:
    assert check_exposure(host, None) == host


@pytest.mark.parametrize("host", [None, "0.0.0.0", "::", "10.0.0.1", "example.org", "", "localhost.evil.example"])
def test_without_one_it_listens_nowhere_else(host: str | None) -> None:
    with pytest.raises(RequestError, match="--token-env"):
        check_exposure(host, None)


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "ü" * 20, "a-token-of-some\n-length"])
def test_a_token_that_can_be_guessed_or_sent_wrongly_is_refused(token: str) -> None:
    with pytest.raises(RequestError, match="at least 16"):
        check_exposure("10.0.0.1", token)
