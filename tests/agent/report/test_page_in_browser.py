# ruff: noqa: RUF001 - the page shows numbers below 0 with a minus sign
"""The page as a reader meets it, in a headless Chromium."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.report.browser import Tab
from tests.agent.report.recorded import page_of
from tests.agent.report.told import write_told

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
TABLE = "view=trajectories"
ONE = "view=trajectory&id=step_000001.1"
Open = Callable[..., Tab]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with everything."""
    run = write_told(tmp_path_factory.mktemp("runs") / "told")
    file = run / "report.html"
    file.write_text(page_of(run), encoding="utf-8")
    return file


@pytest.fixture
def open_page(browser: Any, told: Path) -> Iterator[Open]:
    """Opens a place of the page; whatever was opened must have said nothing and asked for nothing else."""
    tabs: list[Tab] = []

    def opened(hash: str = "", **options: Any) -> Tab:
        tabs.append(Tab(browser, told, hash, **options))
        return tabs[-1]

    yield opened
    for tab in tabs:
        said, requests = tab.said, {request.partition("#")[0] for request in tab.requests}
        tab.context.close()
        assert said == [] and requests == {told.resolve().as_uri()}


def scores(tab: Tab) -> list[str]:
    return tab.texts("tbody td.c-score")


def test_the_overview_says_results_time_curves_and_settings(open_page: Open) -> None:
    text = open_page().text()
    for expected in (
        "25.0%",
        "75.0%",
        "62.5% to 87.5%",
        "+50.0 points",
        "1 min 30 s",
        "Entropy",
        "step 25",
        "torch",
        "2.13.0",
    ):
        assert expected in text, expected


def test_a_curve_says_the_values_under_the_pointer_and_under_the_arrow_keys(open_page: Open) -> None:
    tab = open_page()
    chart = tab.tab.locator(".chart", has_text="Entropy")
    assert chart.locator("b").inner_text() == "0.1889"
    drawing = chart.locator("svg[role=slider]")
    drawing.focus()
    tab.press("ArrowLeft")
    assert "step 49" in chart.inner_text() and chart.locator("b").inner_text() == "0.1953"
    drawing.hover(position={"x": 47, "y": 60})
    assert "step 1\n" in chart.inner_text() + "\n" and chart.locator("b").inner_text() == "0.9672"
    assert "step 1" in drawing.get_attribute("aria-valuetext")
    assert tab.texts(".chart .at")[0] == "step 1", "all charts share one crosshair"


def test_the_table_sorts_by_a_column_both_ways_and_back(open_page: Open) -> None:
    tab = open_page(TABLE)
    recorded = scores(tab)
    button = tab.tab.locator("[data-sort=score]")
    button.click()
    assert scores(tab) == ["1"] * 5 + ["0.5"] * 2 + ["0"] * 5 + ["none"] * 2
    assert tab.tab.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    button.click()
    assert scores(tab) == ["0"] * 5 + ["0.5"] * 2 + ["1"] * 5 + ["none"] * 2
    button.click()
    assert scores(tab) == recorded


@pytest.mark.parametrize(
    ("key", "value", "count"),
    [
        ("end", "failed", 2),
        ("end", "truncated", 2),
        ("stop", "length", 2),
        ("file", "step_000025", 4),
        ("env", "Other/Env-v0", 2),
        ("task", "5", 6),
        ("min", "0.5", 7),
        ("max", "0.4", 5),
        ("q", "TOWN river way 1", 2),
        ("q", "container is gone", 2),
    ],
)
def test_the_table_filters(open_page: Open, key: str, value: str, count: int) -> None:
    tab = open_page(TABLE)
    assert len(scores(tab)) == 14
    control = tab.tab.locator(f"[data-filter={key}]")
    if control.evaluate("element => element.tagName") == "SELECT":
        control.select_option(value)
    else:
        control.fill(value)
    assert len(scores(tab)) == count and f"{count} of 14 trajectories" in tab.text()
    tab.tab.locator("[data-clear]").click()
    assert len(scores(tab)) == 14


def test_a_field_keeps_the_cursor_while_one_types(open_page: Open) -> None:
    tab = open_page(TABLE)
    tab.press("/")
    tab.tab.keyboard.type("way 2")
    assert tab.tab.evaluate("document.activeElement.value") == "way 2" and len(scores(tab)) == 2


def test_the_keyboard_walks_the_table_opens_a_row_and_comes_back_to_it(open_page: Open) -> None:
    tab = open_page()
    tab.press("t", "j", "j", "j", "k")
    second = tab.tab.evaluate("document.activeElement.dataset.id")
    assert second == "after_greedy.2"
    tab.press("Enter")
    tab.wait("trajectory")
    assert "id=after_greedy.2" in tab.at()
    tab.press("j")
    tab.wait_for_hash("id=after_greedy.3")
    tab.press("ArrowLeft")
    tab.wait_for_hash("id=after_greedy.2")
    tab.press("Escape")
    tab.wait("trajectories")
    assert tab.tab.evaluate("document.activeElement.dataset.id") == "after_greedy.2"
    tab.press("ArrowDown")
    assert tab.tab.evaluate("document.activeElement.dataset.id") == "after_greedy.3"


def at_once(tab: Tab, *keys: str) -> None:
    """Presses keys before the page can draw what the first of them asks for."""
    tab.tab.evaluate(
        """keys => {
            delete document.documentElement.dataset.ready;
            for (const key of keys)
                document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
        }""",
        list(keys),
    )


def test_keys_that_follow_each_other_at_once_are_all_heard(open_page: Open) -> None:
    tab = open_page()
    at_once(tab, "t", "j", "j")
    tab.wait("trajectories")
    assert tab.tab.evaluate("document.activeElement.dataset.id") == "after_greedy.2"


def test_keys_walk_through_trajectories_that_are_not_drawn_yet(open_page: Open) -> None:
    tab = open_page("view=trajectory&id=after_greedy.1")
    at_once(tab, "j", "ArrowRight", "j", "k", "ArrowLeft", "j")
    tab.wait("trajectory")
    assert tab.at() == "#view=trajectory&id=after_greedy.3"
    assert tab.texts("[aria-label='Previous trajectory']") == ["‹"] and "3 of 14" in tab.text()


def test_siblings_are_those_of_the_trajectory_one_has_walked_to(open_page: Open) -> None:
    tab = open_page(ONE)
    at_once(tab, "j", "s")
    tab.wait("group")
    assert tab.at() == "#view=group&id=step_000001.2"


def test_colours_that_are_asked_for_at_once_are_all_passed(open_page: Open) -> None:
    tab = open_page(ONE)
    names = [each.input_value() for each in tab.tab.locator("input[name=show]").all()]
    at_once(tab, "c", "c")
    tab.wait("trajectory")
    there = names.index("logprob")
    assert f"show={names[(there + 2) % len(names)]}" in tab.at() and len(names) > 2


def test_the_question_mark_explains_the_keys_and_escape_closes_it(open_page: Open) -> None:
    tab = open_page(TABLE)
    tab.press("?")
    assert tab.tab.locator("#help").is_visible() and "siblings side by side" in tab.tab.locator("#help").inner_text()
    tab.press("Escape")
    assert not tab.tab.locator("#help").is_visible() and TABLE in tab.at()


def test_s_shows_the_siblings_and_escape_leads_back(open_page: Open) -> None:
    tab = open_page(ONE)
    tab.press("s")
    tab.wait("group")
    tab.press("Escape")
    tab.wait("trajectory")
    assert "id=step_000001.1" in tab.at()


def test_a_link_brings_back_filters_order_and_trajectory(open_page: Open) -> None:
    tab = open_page(TABLE)
    tab.tab.locator("[data-filter=end]").select_option("terminated")
    tab.tab.locator("[data-filter=q]").fill("town")
    tab.tab.locator("[data-sort=score]").click()
    listed = tab.texts("[data-id]")
    again = open_page(tab.at()[1:])
    assert again.texts("[data-id]") == listed and len(listed) == 4
    assert again.tab.locator("[data-filter=q]").input_value() == "town"
    again.tab.locator("[data-id]").nth(1).click()
    again.wait("trajectory")
    again.tab.locator("input[value=mask]").check(force=True)
    shared = open_page(again.at()[1:])
    assert shared.text() == again.text() and "2 of 4" in shared.text()
    assert shared.tab.locator("input[value=mask]").is_checked()


@pytest.mark.parametrize(
    "hash",
    [
        "view=nothing",
        "view=constructor",
        "%%%",
        "view=trajectory&id=lost",
        "view=group&id=__proto__",
        "run=99",
        "view=trajectories&page=-4&sort=x&min=y",
    ],
)
def test_a_link_that_leads_nowhere_still_shows_a_page(open_page: Open, hash: str) -> None:
    assert len(open_page(hash).text()) > 20


def test_a_trajectory_shows_picture_turns_tools_and_facts(open_page: Open) -> None:
    tab = open_page(f"{ONE}&show=reading")
    assert tab.texts(".segment h3") == ["Prompt", "Policy", "Tool output (search)", "Policy"]
    assert tab.texts(".block .tag") == ["Thought", "Search", "Answer"]
    assert tab.texts(".block .said")[1:] == ["town river", "Loire"]
    assert tab.tab.locator("figure img").evaluate("image => image.complete && image.naturalWidth") == 40
    for expected in (
        "The town lies on the Loire.",
        "rollouts/step_000001.jsonl, line 1",
        "kind",
        "accuracy",
        "reward 0.25",
    ):
        assert expected in tab.text(), expected


@pytest.mark.parametrize(
    ("show", "action", "read"),
    [
        ("mask", {"m1"}, {"m0"}),
        ("logprob", {"p0", "p2"}, {"m0"}),
        ("advantage", {"u2", "u3"}, {"m0"}),
        ("gap", {"d0", "l1", "u3"}, {"m0"}),
    ],
)
def test_tokens_are_coloured_by_what_was_chosen(open_page: Open, show: str, action: set[str], read: set[str]) -> None:
    tab = open_page(f"{ONE}&show={show}")

    def classes(kind: str) -> set[str]:
        found = tab.tab.locator(f".segment.{kind} .t").evaluate_all("all => all.map(each => each.className)")
        return {each.removeprefix("t ") for each in found}

    assert classes("action") == action and classes("prompt") == classes("observation") == read


def test_numbers_stand_under_the_tokens_that_the_policy_wrote(open_page: Open) -> None:
    tab = open_page(f"{ONE}&show=logprob")
    assert tab.tab.locator(".t i").count() == 0
    tab.press("n")
    assert (
        tab.texts(".segment.action .t i")[:2] == ["−0.1", "−0.1"]
        and tab.tab.locator(".segment.prompt .t i").count() == 0
    )


def test_a_token_in_question_is_told_in_full(open_page: Open) -> None:
    tab = open_page("view=trajectory&id=step_000001.2&show=gap")
    tab.tab.locator(".segment.action .t").nth(2).hover()
    told = tab.tab.locator(".inspector").inner_text()
    for expected in ("id 104", "trained", "log-probability −1.1 (33.3%)", "advantage −1", "gap 0.5", "trainer −1.6"):
        assert expected in told, expected


def test_what_was_not_recorded_is_not_offered(open_page: Open) -> None:
    assert open_page(ONE).texts(".segmented label") == [
        "Reading",
        "Trained or not",
        "Log-probability",
        "Advantage",
        "Sampler − trainer",
    ]
    tab = open_page("view=trajectory&id=before_greedy.1")
    assert tab.texts(".segmented label") == ["Reading", "Trained or not", "Log-probability"]
    assert "Nothing of this is trained: an evaluation trains nothing." in tab.text()


def test_siblings_stand_side_by_side_under_the_prompt_that_they_share(open_page: Open) -> None:
    tab = open_page("view=group&id=step_000001.2&show=reading")
    boxes = [each.bounding_box() for each in tab.tab.locator("[data-sibling]").all()]
    assert len(boxes) == 3 and len({box["y"] for box in boxes}) == 1 and boxes[0]["x"] < boxes[1]["x"] < boxes[2]["x"]
    assert tab.text().count("Which river runs") == 1 and "mean score 0.5" in tab.text()
    assert tab.tab.locator(".sibling.current").get_attribute("data-sibling") == "step_000001.2"


def test_a_test_task_is_compared_before_and_after(open_page: Open) -> None:
    tab = open_page("view=group&id=before_greedy.2")
    assert tab.texts("[data-sibling] > header h3") == ["after_greedy #2", "before_greedy #2"]


def background(tab: Tab) -> int:
    found = tab.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", found)[:3]))


def test_the_page_is_light_or_dark_as_the_reader_prefers_or_chooses(open_page: Open) -> None:
    assert background(open_page(color_scheme="light")) > 600
    tab = open_page(color_scheme="dark")
    assert background(tab) < 100
    tab.press("d")
    assert background(tab) > 600
    tab.tab.reload()
    tab.wait()
    assert background(tab) > 600, "the choice is remembered"


@pytest.mark.parametrize("hash", ["", TABLE, ONE, "view=group&id=step_000001.1"])
def test_nothing_is_wider_than_a_narrow_screen(open_page: Open, hash: str) -> None:
    tab = open_page(hash, viewport={"width": 360, "height": 700})
    assert tab.tab.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "hash",
    [
        "",
        TABLE,
        f"{ONE}&show=reading",
        *(f"{ONE}&show={show}&numbers=1" for show in ("mask", "logprob", "advantage", "gap")),
        "view=group&id=step_000001.1",
    ],
)
def test_axe_finds_nothing_serious(open_page: Open, hash: str, scheme: str) -> None:
    assert open_page(hash, color_scheme=scheme).serious() == []


def test_axe_finds_nothing_serious_in_the_help(open_page: Open) -> None:
    tab = open_page()
    tab.press("?")
    assert tab.serious() == []
