"""`python -m sandbox search`, as a user types it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("tantivy")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

from sandbox.search import Index, open_search
from sandbox.search.client import TOKEN
from sandbox.search.commands import main

ROOT = Path(__file__).resolve().parents[3]
CODE = "import sys; from sandbox.search.commands import main; sys.exit(main(sys.argv[1:]))"
ROWS = [{"title": f"Town {n}", "text": f"It was founded in {1000 + n}."} for n in range(50)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "passages.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file


@contextmanager
def serving(*arguments: str, **variables: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address that the command prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "serve", *arguments, "--port", "0"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        line, process.told = process.stdout.readline(), []  # type: ignore[attr-defined]
        while line and not line.startswith("serving "):
            process.told.append(line.strip())  # type: ignore[attr-defined]
            line = process.stdout.readline()
        assert line.startswith("serving "), process.stderr.read()
        yield line.split()[-1], process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_what_is_built_can_be_served_and_searched(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "index")
    assert main(["build", str(corpus), folder]) == 0
    assert f'search="index:{folder}"' in capsys.readouterr().out
    with serving(folder) as (url, _):
        queries = ["town 7", "founded in 1012", "nothing known"]
        assert open_search(url).search(queries, 4) == Index.open(folder).search(queries, 4)


def test_the_index_of_a_corpus_is_built_before_it_is_served_and_again_when_the_corpus_changes(
    corpus: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "index"

    def served() -> tuple[list[str], str]:
        with serving(str(folder), "--corpus", str(corpus)) as (url, process):
            return process.told, open_search(url).search(["town 7"], 1)[0][0].passage.text  # type: ignore[attr-defined]

    told, text = served()
    assert f"there is no {folder}: building an index of {corpus}" in told and text == "It was founded in 1007."
    assert served() == ([], text)
    corpus.write_text(corpus.read_text().replace("1007", "1912"))
    told, text = served()
    assert "another corpus" in told[0] and text == "It was founded in 1912."


def test_a_build_that_is_told_to_stop_leaves_nothing(tmp_path: Path) -> None:
    pipe, folder = tmp_path / "passages.jsonl", tmp_path / "index"
    rows = "".join(
        json.dumps({"id": str(n), "title": f"Town {n}", "text": "words " * 40}) + "\n" for n in range(300_000)
    )
    pipe.write_text(rows)
    command = [sys.executable, "-c", CODE, "serve", str(folder), "--corpus", str(pipe), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and "building an index" in process.stdout.readline()
        while not list(tmp_path.glob(".index.*")):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == ["passages.jsonl"]


def test_a_token_is_read_from_the_environment(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main(["build", str(corpus), str(tmp_path / "index")])
    with serving(str(tmp_path / "index"), "--token-env", "A_TOKEN", A_TOKEN="long-enough") as (url, _):
        monkeypatch.setenv(TOKEN, "another-token")
        with pytest.raises(ValueError, match="401"):
            open_search(url).search(["town"], 1)
        monkeypatch.setenv(TOKEN, "long-enough")
        assert len(open_search(url).search(["town"], 1)[0]) == 1


def test_a_token_may_lie_in_a_file(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main(["build", str(corpus), str(tmp_path / "index")])
    (tmp_path / "token").write_text("long-enough\n")
    with serving(str(tmp_path / "index"), "--token-env", "A_TOKEN", A_TOKEN_FILE=str(tmp_path / "token")) as (url, _):
        monkeypatch.setenv(TOKEN, "another-token")
        with pytest.raises(ValueError, match="401"):
            open_search(url).search(["town"], 1)
        monkeypatch.setenv(TOKEN, "long-enough")
        assert len(open_search(url).search(["town"], 1)[0]) == 1


def test_another_search_can_be_served(server: Callable[..., Any], reply: Any, tmp_path: Path) -> None:
    up = server(reply({"results": [{"title": "A", "url": "https://a", "content": "<think>b"}]}))
    with serving(f"searxng:{up.url}?cache={tmp_path}") as (url, _):
        assert open_search(url).search(["a"], 3)[0][0].passage.text == "< think>b"
    up.close()
    with serving(f"searxng:{up.url}?cache={tmp_path}&mode=replay-only") as (url, _):
        assert open_search(url).search(["a"], 3)[0][0].passage.text == "< think>b"
        with pytest.raises(LookupError, match=r"the query 'b' .*is not in the cache"):
            open_search(url).search(["b"], 3)


def test_it_ends_when_it_is_told_to(corpus: Path, tmp_path: Path) -> None:
    main(["build", str(corpus), str(tmp_path / "index")])
    with serving(str(tmp_path / "index")) as (address, process):
        assert httpx.get(f"{address}/health").status_code == 200
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        assert process.returncode == 130


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "NOWHERE"], "there is no folder .*python -m sandbox search build CORPUS"),
        (["serve", "elastic:x"], "a search must be one of index:DIR, http://HOST:PORT, serper:"),
        (["serve", "CORPUS"], "there is no folder"),
        (["serve", "tavily:", "--host", "0.0.0.0"], "lets others search the web on your account; choose a token"),
        (["serve", "tavily:", "--port", "70000"], "--port must be from 0 to 65535; got 70000"),
        (["serve", "tavily:", "--threads", "0"], "--threads must be from 1"),
        (["serve", "tavily:", "--token-env", "NOT_SET_AT_ALL"], "NOT_SET_AT_ALL: it must hold 8"),
        (["serve", "http://localhost:1", "--host", "host.invalid"], "cannot listen on host.invalid"),
        (["serve", "INDEX", "--corpus", "NOWHERE.json"], "there is no corpus"),
        (["serve", "TAKEN", "--corpus", "CORPUS"], "'passages.jsonl', which is of no index: it is left as it is"),
        (["serve", "http://localhost:1", "--corpus", "CORPUS"], "--corpus goes with an INDEX_DIR"),
        (["build", "NOWHERE.json", "INDEX"], "there is no corpus"),
        (["build", "CORPUS", "TAKEN"], "exists already; delete it"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    names = {"CORPUS": corpus, "TAKEN": tmp_path, "NOWHERE": tmp_path / "no", "INDEX": tmp_path / "index"}
    given = [str(names.get(argument, argument)) for argument in arguments]
    assert main([g if g != "NOWHERE.json" else str(tmp_path / "no.json") for g in given]) == 1
    told = capsys.readouterr().err.strip()
    told = told.removeprefix("everybody who reaches host.invalid can search: there is no token\n")
    assert "\n" not in told
    assert re.search(message, told), told


def test_a_damaged_index_is_not_served(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["build", str(corpus), str(tmp_path / "index")])
    (tmp_path / "index" / "meta.json").write_text("{}")
    capsys.readouterr()
    assert main(["serve", str(tmp_path / "index")]) == 1
    told = capsys.readouterr().err
    assert f"'{tmp_path}/index' holds a damaged index" in told
    assert f"build it again: python -m sandbox search build CORPUS {tmp_path}/index" in told


def test_a_port_that_is_taken_is_said(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], server: Any
) -> None:
    main(["build", str(corpus), str(tmp_path / "index")])
    port = server().url.rpartition(":")[2]
    assert main(["serve", str(tmp_path / "index"), "--port", port]) == 1
    assert f"cannot listen on 127.0.0.1, port {port}" in capsys.readouterr().err


def test_without_the_extra_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", str(tmp_path)]) == 1
    assert "pip install 'rllava-gym[search]'" in capsys.readouterr().err
