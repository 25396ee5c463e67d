"""Suites: what a file may say, and what each packaged one plays."""

from pathlib import Path
from typing import Any

import pytest

from agent.errors import ConfigError
from agent.evaluation.benchmark import Benchmark, of_suites
from agent.evaluation.options import EvaluateConfig
from agent.suites import find, packaged, read


def played(**options: Any) -> list[Benchmark]:
    return of_suites(EvaluateConfig("oracle", **options))


def test_the_papers_table_is_all_of_its_five_suites() -> None:
    names = [benchmark.name for benchmark in played(suite="rllava")]
    apart = [
        b.name
        for suite in ("counting", "geometry", "grounding", "mat-search", "mat-coding")
        for b in played(suite=suite)
    ]
    assert names == apart and len(names) == 2 + 1 + 8 + 1 + 1


def test_every_packaged_suite_has_a_title_and_environments_that_take_its_arguments() -> None:
    assert set(packaged()) == {"counting", "geometry", "grounding", "mat-search", "mat-coding", "multihop", "rllava"}
    for name, path in packaged().items():
        assert path.read_text().startswith("title: ")
        assert all(benchmark.whole for benchmark in played(suite=name))


@pytest.mark.parametrize(("suite", "tokens"), [("mat-search", 2048), ("mat-coding", 1024)])
def test_mat_benchmarks_are_played_by_the_published_protocol(suite: str, tokens: int) -> None:
    """At most 5 generations of 2,048 tokens, or of 1,024. Source: the evaluation code of Visual-ARFT."""
    (benchmark,) = played(suite=suite, protocol="faithful")
    assert (benchmark.sizes.max_turns, benchmark.sizes.max_turn_tokens) == (5, tokens)
    assert benchmark.spec.kwargs["protocol"] == "faithful"
    assert benchmark.played("no tool").kwargs["tools"] is False


def test_tools_go_to_the_environments_that_take_them() -> None:
    given = {b.name: b.spec.kwargs for b in played(suite="rllava", search="index:here", sandbox="local", data="there")}
    assert given["MAT-Search"] == {"split": "test", "search": "index:here", "data": "there"}
    assert given["MAT-Coding"] == {"split": "test", "sandbox": "local", "data": "there"}
    assert given["Geometry3K"] == {"split": "test", "data": "there"}


def test_data_may_be_named_for_each_benchmark() -> None:
    given = {b.name: b.spec.kwargs.get("data") for b in played(suite="counting", data={"SuperCLEVR": "there"})}
    assert given == {"CLEVR-Count": None, "SuperCLEVR": "there"}
    with pytest.raises(ConfigError, match="there is no benchmark 'Super'; there are CLEVR-Count, SuperCLEVR"):
        played(suite="counting", data={"Super": "there"})


def test_a_suite_of_ones_own_includes_others(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "include: [geometry]\nbenchmarks: [{name: Small, env: RLLaVA/Counting-v0, splits: [validation, test]}]\n"
    )
    assert [(b.name, b.split) for b in played(suite=str(mine))] == [
        ("Geometry3K", "test"),
        ("Small", "validation"),
        ("Small", "test"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2]", "expected a mapping with benchmarks, include, modules, title"),
        ("tasks: []", "expected a mapping with benchmarks"),
        ("benchmarks: []", "it holds no benchmark"),
        ("benchmarks: [{env: X}]", "benchmark 1: expected a mapping with name and env"),
        ("benchmarks: [{name: a, env: X, spilt: test}]", "benchmark 1: expected a mapping"),
        ("benchmarks: [{name: a, env: X}, {name: a, env: Y}]", "the benchmark 'a' stands twice"),
        ("include: [mine.yaml]", "a suite cannot include itself"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_suite_is_told(text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read("mine.yaml")


def test_limits_that_there_are_not_are_told(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("benchmarks: [{name: a, env: RLLaVA/Counting-v0, rollout: {max_tokens: 3}}]\n")
    with pytest.raises(ConfigError, match="a: rollout has no max_tokens"):
        played(suite=str(mine))


def test_an_unknown_suite_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mat-search'"):
        find("mat-serach")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such suite file"):
        find("nowhere.yaml")
