"""Inter-GPS's two layouts: what is read, what is dropped and why, and errors that name file, problem and field."""

import json
from pathlib import Path
from typing import Any

import pytest

from envs.core.errors import DatasetError
from envs.datasets.inter_gps import load, number_as_gold, read, write_sample

DIAGRAMS, TEXTS, ANSWERS = "diagram_logic_forms_annot.json", "text_logic_forms_annot.json", "solved_test_answers.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sample(tmp_path)
    return tmp_path


def change(path: Path, edit: Any) -> None:
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))


def test_numbers_say_the_split(folder: Path) -> None:
    for split, first in (("train", 0), ("validation", 2101), ("test", 2401)):
        assert [p.number for p in load(str(folder), split)] == list(range(first, first + 12))


def test_a_problem_of_its_own_folder_has_the_published_wording_and_choice(folder: Path) -> None:
    change(folder / "train/1/data.json", lambda d: d.update(choices=["1", "5 \\sqrt { 3 }"], answer="B"))
    change(folder / "train/1/data.json", lambda d: d.update(precise_value=[1.0, 8.660254037844386]))
    problem = load(str(folder), "train")[1]
    assert problem.question == "ABCD is a parallelogram. Find x."
    assert problem.golds == ("5 \\sqrt { 3 }", "8.66")


def test_annotations_are_asked_in_english_and_answered_by_the_solver(folder: Path) -> None:
    problem = load(str(folder), "test")[1]
    assert problem.question.startswith("The circle has the centre O. Find AC.")
    answer = json.loads((folder / ANSWERS).read_text())["2402"]["answer"]
    assert problem.golds == (number_as_gold(answer),)
    assert problem.spoken == {"O", "A", "C"}


def test_numbered_angles_are_noticed(folder: Path) -> None:
    assert [p.numbered for p in load(str(folder), "test")[:4]] == [False, False, True, False]


def test_the_annotations_may_lie_in_a_folder_of_their_own(folder: Path) -> None:
    (folder / "logic_forms").mkdir()
    for name in (DIAGRAMS, TEXTS):
        (folder / name).rename(folder / "logic_forms" / name)
    assert len(load(str(folder), "test")) == 12


@pytest.mark.parametrize(("value", "gold"), [(60.0, "60"), (18.80912807, "18.81"), (2.0000000001, "2"), (0.28, "0.28")])
def test_golds_are_whole_or_have_two_decimals(value: float, gold: str) -> None:
    assert number_as_gold(value) == gold


DROPS = [
    (ANSWERS, lambda v: v["2403"].update(spread=50.0), "the solver's answers to it differ by 50"),
    (ANSWERS, lambda v: v.pop("2403"), "no answer is known"),
    (DIAGRAMS, lambda v: v["2403"]["point_positions"].update(H=[-1, -1]), "H has no position"),
    (DIAGRAMS, lambda v: v["2403"]["point_positions"].update(H=[140.0, 190.0]), "H is .* away from the line CD"),
    (DIAGRAMS, lambda v: v["2403"]["diagram_logic_forms"].append("Parallel(Line(A,B)"), "Parallel is never closed"),
    (TEXTS, lambda v: v["2403"].update(text_logic_forms=["Circle(A)"]), "nothing is asked for"),
]


@pytest.mark.parametrize(("name", "edit", "reason"), DROPS)
def test_what_cannot_be_asked_is_dropped_with_its_reason(folder: Path, name: str, edit: Any, reason: str) -> None:
    change(folder / name, edit)
    reading = read(str(folder), "test")
    assert [p.number for p in reading.problems] == [n for n in range(2401, 2413) if n != 2403]
    assert list(reading.dropped) == [2403]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(reading.dropped[2403])


FAULTS = [
    (DIAGRAMS, lambda v: v["2402"].pop("line_instances"), r"problem 2402, field 'line_instances': it is missing"),
    (DIAGRAMS, lambda v: v["2402"].update(line_instances="AB"), r"field 'line_instances': expected a list of texts"),
    (DIAGRAMS, lambda v: v["2402"]["point_positions"].update(A=[1.0]), r"field 'point_positions': .* for the point A"),
    (DIAGRAMS, lambda v: v["2402"]["point_positions"].update(A=[1.0, None]), r"two finite numbers for the point A"),
    (DIAGRAMS, lambda v: v.update({"2402": 5}), r"problem 2402: expected an object; got int"),
    (DIAGRAMS, lambda v: v.update(x={}), r"expected problems by number; got the key 'x'"),
    (TEXTS, lambda v: v.pop("2402"), r"problem 2402 of diagram_logic_forms_annot.json is missing"),
    (TEXTS, lambda v: v["2402"].update(text_logic_forms=[3]), r"problem 2402, field 'text_logic_forms'"),
    (
        ANSWERS,
        lambda v: v["2402"].update(answer="six"),
        r"problem 2402, field 'answer': expected a finite number; got 'six'",
    ),
]


@pytest.mark.parametrize(("name", "edit", "message"), FAULTS)
def test_a_malformed_annotation_names_file_problem_and_field(folder: Path, name: str, edit: Any, message: str) -> None:
    change(folder / name, edit)
    with pytest.raises(DatasetError, match=message) as caught:
        load(str(folder), "test")
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        (
            "data.json",
            lambda v: v.update(answer="E"),
            r"problem 3, field 'answer': expected the letter of one of 4 choices",
        ),
        ("data.json", lambda v: v.pop("choices"), r"problem 3, field 'choices': it is missing; there is 'id'"),
        ("data.json", lambda v: v.update(problem_text=" "), r"field 'problem_text': expected a text that is not blank"),
        ("logic_form.json", lambda v: v.pop("point_positions"), r"problem 3, field 'point_positions': it is missing"),
    ],
)
def test_a_malformed_problem_names_file_problem_and_field(folder: Path, name: str, edit: Any, message: str) -> None:
    change(folder / "train/3" / name, edit)
    with pytest.raises(DatasetError, match=message) as caught:
        load(str(folder), "train")
    assert str(Path("train", "3", name)) in str(caught.value)


def test_a_file_that_is_no_json_is_named(folder: Path) -> None:
    (folder / DIAGRAMS).write_text("{")
    with pytest.raises(DatasetError, match=r"diagram_logic_forms_annot.json is not JSON in UTF-8"):
        load(str(folder), "test")
    (folder / "train/3/logic_form.json").unlink()
    (folder / DIAGRAMS).unlink()
    with pytest.raises(DatasetError, match=r"logic_form.json is missing"):
        load(str(folder), "train")


def test_a_changed_file_is_read_again(folder: Path) -> None:
    assert len(load(str(folder), "test")) == 12
    change(folder / ANSWERS, lambda v: v.pop("2401"))
    assert len(load(str(folder), "test")) == 11


@pytest.mark.parametrize("data", [None, "nowhere"])
def test_missing_data_say_what_to_fetch(data: str | None) -> None:
    with pytest.raises(DatasetError, match=r"git clone https://github.com/lupantech/InterGPS"):
        load(data, "test")


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds neither diagram_logic_forms_annot.json nor NUMBER/data.json"):
        load(str(tmp_path), "test")


def test_a_split_without_answers_says_so(folder: Path) -> None:
    (folder / ANSWERS).unlink()
    with pytest.raises(DatasetError, match=r"no problem of the split 'test' .* problem 2401: no answer is known"):
        load(str(folder), "test")
