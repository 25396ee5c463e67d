"""Secrets in variables and in files, and what is never told of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.errors import RequestError
from sandbox.secret import MOST_BYTES, secret, sendable

SECRET = "s3cret-of-somebody"
Kept = Callable[[bytes], Path]


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_SECRET", raising=False)
    monkeypatch.delenv("A_SECRET_FILE", raising=False)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """`kept(content)`: the file that A_SECRET_FILE names."""

    def write(content: bytes) -> Path:
        path = tmp_path / "token"
        path.write_bytes(content)
        monkeypatch.setenv("A_SECRET_FILE", str(path))
        return path

    return write


def behind(error: BaseException | None) -> Iterator[str]:
    """An error and all those behind it, as words."""
    while error is not None:
        yield f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


def test_a_variable_is_read_and_one_that_is_not_set_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    assert secret("A_SECRET", RequestError) == ""
    monkeypatch.setenv("A_SECRET_FILE", "")
    monkeypatch.setenv("A_SECRET", f" {SECRET}\n")
    assert secret("A_SECRET", RequestError) == SECRET


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_file_is_read_without_the_newline_at_its_end(kept: Kept, monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    kept(SECRET.encode() + end)
    assert secret("A_SECRET", RequestError) == SECRET
    monkeypatch.setenv("A_SECRET", "")  # as Compose sets what its own environment lacks
    assert secret("A_SECRET", RequestError) == SECRET


def test_both_are_one_too_many(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(b"another")
    monkeypatch.setenv("A_SECRET", SECRET)
    with pytest.raises(RequestError, match=r"both A_SECRET and A_SECRET_FILE are set.* unset the other") as caught:
        secret("A_SECRET", RequestError)
    assert not any(SECRET in words or "another" in words for words in behind(caught.value))


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        monkeypatch.setenv("A_SECRET_FILE", str(path))
        with pytest.raises(RequestError, match=rf"{path}' cannot be read \({why}.*A_SECRET_FILE must be the path"):
            secret("A_SECRET", RequestError)


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n"])
def test_a_file_without_a_secret_is_named(kept: Kept, content: bytes) -> None:
    path = kept(content)
    with pytest.raises(RequestError, match=f"{path}' is empty.*or unset it, and put the secret into A_SECRET"):
        secret("A_SECRET", RequestError)


@pytest.mark.parametrize("around", [b"%s\n\n", b"%s\nmore", b" %s", b"%s\xff", b"\xef\xbb\xbf%s", b"%s\x00"])
def test_what_no_header_carries_is_refused_and_not_repeated(kept: Kept, around: bytes) -> None:
    path = kept(around % SECRET.encode())
    with pytest.raises(RequestError, match=rf"{path}' \(A_SECRET_FILE\) holds must be printable ASCII") as caught:
        secret("A_SECRET", RequestError)
    assert not any(SECRET in words for words in behind(caught.value))


def test_a_variable_that_no_header_carries_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", f"{SECRET}\nü")
    with pytest.raises(RequestError, match="variable A_SECRET holds must be printable ASCII") as caught:
        secret("A_SECRET", RequestError)
    assert not any(SECRET in words for words in behind(caught.value))


def test_a_file_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch, kept: Kept) -> None:
    kept(b"a" * MOST_BYTES)
    assert len(secret("A_SECRET", RequestError)) == MOST_BYTES
    monkeypatch.setenv("A_SECRET_FILE", "/dev/zero")
    with pytest.raises(RequestError, match=f"more than {MOST_BYTES} bytes"):
        secret("A_SECRET", RequestError)


def test_an_argument_is_held_to_the_same() -> None:
    assert sendable(SECRET, "a token", RequestError) == SECRET
    with pytest.raises(RequestError, match="a token must be printable ASCII"):
        sendable(f"{SECRET}\r\nHost: x", "a token", RequestError)
