"""The named suites, played on small sets in the published formats."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.__main__ import main
from agent.chat.fake import FakeChatServer, served
from agent.model.tiny import make_tiny_vlm
from envs.datasets import clevr_count, geometry3k, mat_coding, mat_search, refcoco, super_clevr
from envs.scoring.suites import score_file
from sandbox.search.commands import main as search_main
from tests.agent.evaluation.playing import results, transcripts
from tests.agent.run_fixtures import SHAPE

SAMPLES = {
    "CLEVR-Count": clevr_count.write_sample,
    "SuperCLEVR": super_clevr.write_sample,
    "Geometry3K": geometry3k.write_sample,
    "MAT-Search": mat_search.write_sample,
    "MAT-Coding": mat_coding.write_sample,
}


def words(messages: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for part in messages[-1]["content"] if part["type"] == "text")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("data")
    for name, write in SAMPLES.items():
        write(folder / name)
    refcoco.write_sample(folder / "RefCOCO")
    return {name: str(folder / name) for name in SAMPLES}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("index")
    (folder / "passages.jsonl").write_text('{"id": "0", "contents": "\\"Rivers\\"\\nRiver 3 runs through the city."}\n')
    assert search_main(["build", str(folder / "passages.jsonl"), str(folder / "index")]) == 0
    return f"index:{folder / 'index'}"


@pytest.mark.slow
def test_the_whole_of_the_papers_table_is_played_by_a_checkpoint(
    tmp_path: Path, data: dict[str, str], index: str
) -> None:
    model = make_tiny_vlm(tmp_path / "model", ["How many? <answer>3</answer>"], 0, SHAPE)
    names = [f"{name} {part}" for name in ("RefCOCO", "RefCOCO+") for part in ("val", "testA", "testB")]
    names += ["RefCOCOg val", "RefCOCOg test"]
    where = {**data, **{name: str(Path(data["CLEVR-Count"]).parent / "RefCOCO") for name in names}}
    command = ["eval", "--model", str(model), "--suite", "rllava", "--data", json.dumps(where), "--search", index]
    command += ["--sandbox", "local", "--episodes", "2", "--rollout.max_turn_tokens", "4", "--device", "cpu"]
    assert main([*command, "--output", str(tmp_path / "out"), "--baselines", "[oracle, constant]"]) == 0
    found = results(tmp_path / "out")
    played = {row["benchmark"] for row in found["rows"]}
    assert played == set(where)
    oracle = {row["benchmark"]: row["value"] for row in found["rows"] if row["name"] == "oracle"}
    # Boxes of whole pixels in thousandths or of a resized picture cannot say a small box exactly.
    assert all(value > (0.85 if name.startswith("Ref") else 0.999) for name, value in oracle.items()), oracle
    published = {(row["benchmark"], row["name"]): row["value"] for row in found["rows"] if row.get("published")}
    assert published["MAT-Search", "RLLaVA, trained"] == 0.271
    assert published["Geometry3K", "RLLaVA, base model"] == 0.351
    assert ("SuperCLEVR", "RLLaVA, trained") not in published


def test_the_faithful_protocol_gives_what_the_scorer_of_released_predictions_gives(
    tmp_path: Path, data: dict[str, str], index: str
) -> None:
    said: dict[str, str | None] = {}

    def answers(messages: list[dict[str, Any]]) -> str:
        question = re.search(r"<query> (.*?) </query>", words(messages), re.DOTALL)[1]  # type: ignore[index]
        if len(question) % 4 == 0:
            said[question] = None  # never: it thinks until its turns are over
            return "<think>hm</think>"
        said[question] = ("Yes", "the River 3", "2 bars")[len(question) % 3]
        return f"<think>I know</think><answer>{said[question]}</answer>"

    for suite, name, asked in (("mat-search", "MAT-Search", 80), ("mat-coding", "MAT-Coding", 12)):
        said.clear()
        output = tmp_path / suite
        with served(FakeChatServer(answers)) as server:
            command = ["eval", "--model", server.url, "--suite", suite, "--data", data[name], "--protocol", "faithful"]
            command += ["--search", index, "--sandbox", "local", "--no_tool", "false", "--baselines", "[]"]
            assert main([*command, "--output", str(output)]) == 0
        questions = [json.loads(json.dumps(question)) for question in said]
        assert len(questions) == len(set(questions)) <= asked
        rows = []
        for record in transcripts(output, "127.0.0.1"):
            shown = record["rows"][0]["segments"][0]["text"]
            question = re.search(r"<query> (.*?) </query>", shown, re.DOTALL)[1]  # type: ignore[index]
            row = {"query": question, "pred_answer": said[question]}
            if said[question] is not None or suite == "mat-search":  # unanswered items of MAT-Coding have no row
                rows.append(row)
        (tmp_path / f"{suite}.json").write_text(json.dumps(rows))
        scored = score_file(suite, tmp_path / f"{suite}.json", "faithful", data[name])
        found = results(output)
        of_metric = {
            row["metric"]: row["value"] for row in [*found["rows"], *found["measures"]] if not row.get("published")
        }
        size = (
            len(transcripts(output, "127.0.0.1")) if suite == "mat-search" else 200
        )  # the published code divides by 200
        whole = scored.groups[0]
        ours = {"f1": of_metric["f1"], "exact_match": of_metric["em"]}
        for metric, value in ours.items():
            assert value * len(transcripts(output, "127.0.0.1")) == pytest.approx(
                whole.metrics[metric] * size, abs=1e-9
            )
        assert 0 < ours["f1"] < 1
