"""The key of a chat server in a file, and what is never told of it."""

from pathlib import Path

import pytest

from agent.chat.options import ChatOptions, api_key
from agent.chat.secret import MOST_BYTES
from agent.errors import ConfigError

SECRET = "s3cret-of-somebody"
OPTIONS = ChatOptions(api_key_env="A_KEY")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one that A_KEY_FILE names."""
    monkeypatch.delenv("A_KEY", raising=False)
    monkeypatch.setenv("A_KEY_FILE", str(tmp_path / "key"))
    return tmp_path / "key"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_file_is_read_without_the_newline_at_its_end(file: Path, end: bytes) -> None:
    file.write_bytes(SECRET.encode() + end)
    assert api_key(OPTIONS) == SECRET


def test_a_variable_that_is_not_set_is_no_key(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("A_KEY_FILE", "")
    assert api_key(OPTIONS) == "" and api_key(ChatOptions(api_key_env="")) == ""


def test_both_are_one_too_many(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("another")
    monkeypatch.setenv("A_KEY", SECRET)
    with pytest.raises(ConfigError, match="both A_KEY and A_KEY_FILE are set") as caught:
        api_key(OPTIONS)
    assert SECRET not in repr(caught.value) and "another" not in repr(caught.value)


def test_a_file_that_is_not_there_is_named_with_what_to_do(file: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{file}' cannot be read \(No such file.*put the key into A_KEY"):
        api_key(OPTIONS)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"a" * (MOST_BYTES + 1), "has more than"),
        (SECRET.encode() + b"\n\n", "characters that no key has"),
        (SECRET.encode() + b"\xff", "characters that no key has"),
        (SECRET.encode() + b" x", "characters that no key has"),
    ],
)
def test_a_file_without_a_key_is_named_and_not_repeated(file: Path, content: bytes, said: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=f"{file}'.*{said}") as caught:
        api_key(OPTIONS)
    assert SECRET not in repr(caught.value) and caught.value.__context__ is None
