"""Scoring whole files, strict and faithful, against numbers worked by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from envs.core.errors import ArgumentError, DatasetError
from envs.datasets import multihop, refcoco, super_clevr
from envs.scoring.suites import SUITES, score_file
from envs.scoring.tally import Result


@pytest.fixture
def score(tmp_path: Path) -> Any:
    def run(suite: str, rows: object, *arguments: Any, **named: Any) -> Result:
        path = tmp_path / "predictions.json"
        path.write_text(json.dumps(rows), "utf-8")
        return score_file(suite, path, *arguments, **named)

    return run


def figures(result: Result, metric: str) -> list[float]:
    return [pytest.approx(100 * group.metrics[metric]) for group in result.groups]


def mat_search() -> list[dict[str, Any]]:
    """150 rows: 29 golds "Yes" and 23 "No"; the first 60 are answered rightly, 10 with null, the rest with half."""
    golds = ["Yes"] * 29 + ["No"] * 23 + [f"gold {k}" for k in range(98)]
    said = [*golds[:60], *[None] * 10, *["gold", *(f"gold {k}x" for k in range(79))]]
    return [
        {"pred_answer": answer, "gt": gold, "query": f"question {k}"}
        for k, (answer, gold) in enumerate(zip(said, golds, strict=True))
    ]


@pytest.mark.parametrize("protocol", ["strict", "faithful"])
def test_mat_search_is_split_by_position(score: Any, protocol: str) -> None:
    result = score("mat-search", mat_search(), protocol)
    # Answers of one or two words against golds of two, of which "gold" is common: 1 of 1 and 1 of 2, or 1 of 2 twice.
    half = 2 / 3 + 79 * 1 / 2
    assert figures(result, "exact_match") == [100 * 60 / 150, 100 * 60 / 75, 0.0]
    assert figures(result, "f1")[0] == 100 * (60 + half) / 150
    assert [group.n for group in result.groups] == [150, 75, 75]
    assert result.unanswered == 10
    assert "52 of the 150 gold answers are yes or no" in result.notes


def test_answering_yes_to_all_of_mat_search_scores_as_published(score: Any) -> None:
    rows = [row | {"pred_answer": "Yes", "gt": row["gt"] if k < 52 else f"g{k}"} for k, row in enumerate(mat_search())]
    result = score("mat-search", rows, "faithful")
    assert round(100 * result.groups[0].metrics["f1"], 1) == 19.3
    ((label, groups),) = result.baselines.items()
    assert label == 'answering "Yes" to all'
    assert groups[0].metrics["f1"] == result.groups[0].metrics["f1"]
    assert result.published["Visual-ARFT 7B"] == {"f1": 0.638, "exact_match": 0.553}


def test_a_gold_answer_that_is_blank_is_matched_by_nothing_but_by_nothing_as_published(score: Any) -> None:
    rows = [{"pred_answer": said, "gt": ""} for said in ("Spider-Man", "The", " ", None)]
    strict = score("mat-search", rows, partial=True)
    assert strict.groups[0].metrics["f1"] == 0.0
    assert "4 of the 4 gold answers are blank, so that no answer is right" in strict.notes
    assert score("mat-search", rows, "faithful", partial=True).groups[0].metrics["f1"] == 2 / 4


def mat_coding(missing: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """200 items with right answers, without the rows of `missing`."""
    return [
        {"id": k, "gt": ["软件工程", "x y"], "pred_answer": "软件工程。"} for k in range(1, 201) if k not in missing
    ]


def test_mat_coding_keeps_the_place_of_unanswered_items_in_strict_and_moves_rows_up_in_faithful(score: Any) -> None:
    rows = mat_coding(missing=(1, 2, 3, 71, 200))
    strict, faithful = score("mat-coding", rows), score("mat-coding", rows, "faithful")
    assert figures(strict, "f1") == [100 * 195 / 200, 100 * 67 / 70, 100 * 128 / 130]
    # All 70 of the first rows of the list are right; 125 rows are left for the 130.
    assert figures(faithful, "f1") == [100 * 195 / 200, 100.0, 100 * 125 / 130]
    assert strict.unanswered == faithful.unanswered == 5
    assert any("count as 0 in their place" in note for note in strict.notes)
    assert any("move up" in note for note in faithful.notes)


def test_a_second_row_for_an_item_is_refused_in_strict(score: Any) -> None:
    with pytest.raises(DatasetError, match="row 3: a second row for the item of"):
        score("mat-coding", [*mat_coding()[:2], mat_coding()[1]])


def test_a_benchmark_with_rows_missing_is_refused_unless_partial(score: Any) -> None:
    rows = [{"pred_answer": "a", "gt": ["b", "a"]}] * 7
    with pytest.raises(DatasetError, match=r"row 7: expected 125 rows.*got 7.*--partial"):
        score("bamboogle", rows)
    result = score("bamboogle", rows, partial=True)
    assert (result.groups[0].n, result.groups[0].metrics["f1"]) == (7, 1.0)
    assert score("bamboogle", rows, "faithful").groups[0].n == 7


def test_golds_and_places_come_from_the_data_by_id_or_by_question(score: Any, tmp_path: Path) -> None:
    multihop.write_sample(tmp_path)
    items = multihop.load(str(tmp_path), "test", "bamboogle")
    rows = [{"id": item.id, "pred_answer": item.golden_answers[0]} for item in items][::-1][1:]
    result = score("bamboogle", rows, data=str(tmp_path))
    assert result.groups[0].metrics["exact_match"] == pytest.approx((len(items) - 1) / len(items))
    asked = [{"query": item.question, "pred_answer": item.golden_answers[0]} for item in items[::-1]]
    assert score("bamboogle", asked, data=str(tmp_path)).groups[0].metrics["exact_match"] == 1.0
    with pytest.raises(DatasetError, match=r"predictions\.json, row 1, field 'id': expected an item of"):
        score("bamboogle", [{"id": "no such", "pred_answer": "x"}], data=str(tmp_path))


def test_a_question_asked_twice_is_about_two_items_in_order(score: Any, tmp_path: Path) -> None:
    super_clevr.write_sample(tmp_path)  # every item asks the same
    items = super_clevr.load(str(tmp_path))
    rows = {"results": [{"question": i.question, "model_output": f"<answer>{i.answer}</answer>"} for i in items]}
    assert score("superclevr", rows, data=str(tmp_path)).groups[0].metrics["accuracy"] == 1.0


def counting(*outputs: str) -> dict[str, Any]:
    return {"results": [{"ground_truth": 4, "model_output": text} for text in outputs]}


def test_a_count_is_exact_and_hedging_pays_in_faithful_only(score: Any) -> None:
    outputs = [
        "<answer>4</answer>",
        "<answer>4</answer><answer>5</answer>",
        "4",
        "<answer>04</answer>",
        "<answer>14</answer>",
    ]
    result = score("superclevr", counting(*outputs), partial=True)
    assert (result.groups[0].metrics["accuracy"], result.unanswered) == (pytest.approx(3 / 5), 1)
    faithful = score("superclevr", counting(*outputs), "faithful")
    assert (faithful.groups[0].metrics["accuracy"], faithful.unanswered) == (pytest.approx(3 / 5), 195 + 1)


def test_a_count_may_be_given_as_a_number(score: Any) -> None:
    rows = [{"ground_truth": "4", "extracted_answer": said} for said in (4, 5, None)]
    result = score("clevr-count", rows, partial=True)
    assert (result.groups[0].metrics["accuracy"], result.unanswered) == (pytest.approx(1 / 3), 1)
    with pytest.raises(DatasetError, match="row 1, field 'extracted_answer': expected a whole number, or null"):
        score("clevr-count", [{"ground_truth": 4, "extracted_answer": "4"}], partial=True)


def test_boxes_are_measured_in_the_unit_of_the_file(score: Any) -> None:
    gold = [0, 0, 200, 100]
    rows = [
        {"ground_truth": gold, "model_output": "<think>[1,1,2,2]</think><answer>[0, 0, 100, 100]</answer>"},
        {"ground_truth": gold, "model_output": "no box"},
        {"ground_truth": gold, "extracted_answer": [0, 0, 200, 100]},
        {"ground_truth": gold, "model_output": "<answer>(200,100),(0,0)</answer>"},
    ]
    result = score("refcoco", {"details": rows})
    assert figures(result, "iou") == [100 * 1.5 / 4]
    assert figures(result, "accuracy_0.5") == [100 * 2 / 4]
    assert figures(result, "centre") == [100 * 2 / 4]
    assert (result.unanswered, result.groups[0].n) == (1, 4)
    # As published the first four numbers count, in the thought too, and a missing box is a point whose centre (0, 0)
    # lies in this gold box.
    faithful = score("refcoco", {"details": rows}, "faithful")
    assert figures(faithful, "iou") == [pytest.approx(100 * (1 / 20_000 + 1) / 4)]
    assert figures(faithful, "centre") == [100.0]


def test_refcoco_reads_normalised_boxes_from_the_data(score: Any, tmp_path: Path) -> None:
    refcoco.write_sample(tmp_path)
    items = refcoco.load(str(tmp_path), "testA")
    rows = {"details": [{"question": i.question, "model_output": f"{[int(e) for e in i.normalized]}"} for i in items]}
    assert score("refcoco", rows, data=str(tmp_path), part="testA").groups[0].metrics["iou"] == pytest.approx(1.0)
    with pytest.raises(ArgumentError, match="part must be one of 'val', 'testA', 'testB'"):
        score("refcoco", rows, data=str(tmp_path), part="test")


def test_geometry_is_compared_as_mathematics(score: Any) -> None:
    rows = [
        {"ground_truth": "\\frac{3}{2}", "model_output": "<think>4</think> \\boxed{1.5}"},
        {"ground_truth": "2 \\sqrt { 221 }", "model_output": "<answer>\\sqrt{884}</answer>"},
        {"ground_truth": 7, "model_output": "It is 6 or 7."},
    ]
    assert score("geometry3k", rows, partial=True).groups[0].metrics["accuracy"] == pytest.approx(2 / 3)


def test_every_suite_gives_plain_data(score: Any) -> None:
    rows = [{"pred_answer": "a", "gt": "a", "ground_truth": [0, 0, 1, 1], "extracted_answer": [0, 0, 1, 1]}]
    for name in SUITES:
        if name in ("clevr-count", "superclevr", "geometry3k"):
            rows = [{"model_output": "4", "ground_truth": 4}]
        elif name.startswith("refcoco"):
            rows = [{"ground_truth": [0, 0, 1, 1], "extracted_answer": [0, 0, 1, 1]}]
        result = score(name, rows, partial=True)
        assert json.loads(json.dumps(result.to_dict()))["groups"][0]["metrics"]
        assert next(iter(result.groups[0].metrics.values())) == pytest.approx(1.0)


def test_an_unknown_suite_or_protocol_is_refused(score: Any) -> None:
    with pytest.raises(ArgumentError, match="suite must be one of"):
        score("imagenet", [{}])
    with pytest.raises(ArgumentError, match="protocol must be one of"):
        score("bamboogle", [{}], "lenient")
