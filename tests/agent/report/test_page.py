"""The page stands alone, runs nothing, and shows whatever a run left."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from tests.agent.report.recorded import Elements, action, observation, page, prompt, trajectory, write

ROW = {"env_id": "Some/Env-v0", "decoding": "greedy", "metric": "accuracy", "episodes": 8, "seed": 0}
REPORT = {
    "seconds": 100.0,
    "phases": {"training": 90.0, "test": 10.0},
    "steps": 3,
    "rows": [
        {**ROW, "name": "before", "value": 0.25, "low": 0.125, "high": 0.375},
        {**ROW, "name": "after", "value": 0.75, "low": 0.625, "high": 0.875},
    ],
    "paired_differences": [{"decoding": "greedy", "value": 0.5, "low": 0.25, "high": 0.75}],
}
METRICS = [{"step": 1, "reward": 0.2}, {"step": 2, "reward": 0.4, "validation": 0.5}]
HOSTILE = [
    "<script>alert(1)</script>",
    "</style></title></pre><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "<!-- <![CDATA[ -->",
    "nul \0 escape \x1b[31m override \u202e half \ud800 byte order \ufeff",
]


def shown(html: str) -> str:
    """The page's text as read aloud: tokens are joined, runs of white space are one space."""
    return re.sub(r"\s+", " ", Elements(html).text)


def test_a_whole_run_is_shown_with_results_curve_and_trajectories(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_greedy", [trajectory(prompt(pictures=["a" * 64]), action("two"))])
    write(tmp_path, "evaluations/after_greedy", [trajectory(prompt(pictures=["a" * 64]), action("three"))])
    text = shown(page(tmp_path, REPORT, METRICS))
    for expected in ("25.0%", "62.5% to 87.5%", "+50.0 points", "1 min 30 s", "Learning curve", "Before and after"):
        assert expected in text


def test_an_empty_folder_makes_a_page(tmp_path: Path) -> None:
    text = shown(page(tmp_path))
    assert "No policy was tested" in text and "No trajectory was recorded" in text


def test_nothing_is_loaded_from_outside(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_greedy", [trajectory(prompt(pictures=["a" * 64]), action())])
    found = Elements(page(tmp_path, REPORT, METRICS))
    sources = [value for name, value in found.attributes if name in ("src", "srcset")]
    assert sources and all(value.startswith("data:image/") for value in sources)
    links = [value for name, value in found.attributes if name == "href"]
    assert all(value.startswith(("#", "evaluations/")) for value in links)
    assert "link" not in found.tags and "script" not in found.tags


def test_the_policy_of_the_page_allows_its_own_style_sheet_and_no_script(tmp_path: Path) -> None:
    html = page(tmp_path)
    (policy,) = [value for name, value in Elements(html).attributes if name == "content" and "default-src" in value]
    style = html.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy and "unsafe" not in policy


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(tmp_path: Path, text: str) -> None:
    friendly, hostile = tmp_path / "friendly", tmp_path / "hostile"
    for run, said in ((friendly, "harmless"), (hostile, text)):
        segments = [prompt(said), action(said), observation(said, 0)]
        episode = trajectory(*segments, score=0.0, reason=said, tags={said: said})
        write(run, "evaluations/before_greedy", [episode])
        write(run, "rollouts/step_000001", [episode], advantages=[0.0])
    expected, found = (Elements(page(run)) for run in (friendly, hostile))
    assert set(found.tags) <= set(expected.tags)
    assert {name for name, _ in found.attributes} <= {name for name, _ in expected.attributes}
    assert found.open == []


def test_hostile_settings_stay_text(tmp_path: Path) -> None:
    lines = ["config:", "  run: {name: '</title><script>alert(1)</script>'}", "versions: {torch: '<b>'}"]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    found = Elements(page(tmp_path))
    assert "script" not in found.tags and "</title><script>alert(1)</script>" in found.text


def test_control_characters_and_half_characters_are_made_visible(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_greedy", [trajectory(tags={"tag": HOSTILE[-1]})])
    html = page(tmp_path)
    html.encode("utf-8")
    assert "\0" not in html and "\u202e" not in html
    assert "⟨U+0000⟩" in html and "⟨U+202E⟩" in html


def test_a_megabyte_of_text_is_shortened_with_a_note(tmp_path: Path) -> None:
    long = "word " * 200_000
    segments = [prompt(long[:100_000]), action(long[:100_000])]
    write(tmp_path, "evaluations/before_greedy", [trajectory(*segments, score=0.0, reason=long, tags={"tag": long})])
    html = page(tmp_path)
    assert len(html) < 3_000_000
    assert "tokens not shown" in html and "shortened from 1,000,000 characters" in html


def test_the_fullest_page_stays_under_three_megabytes(tmp_path: Path) -> None:
    def episode(task: int, i: int) -> object:
        segments = [prompt("x" * 1500, [f"{task}p".rjust(64, "0")])]
        for turn in range(14):
            segments += [action("long thought " * 40, turn, -3.21), observation("answer " * 40, turn)]
        return trajectory(*segments, task=task, score=float(i))

    tests = [episode(task, 0) for task in range(9)]
    write(tmp_path, "evaluations/before_greedy", tests, side=300)
    write(tmp_path, "evaluations/after_greedy", tests, side=300)
    for step in (1, 9):
        siblings = [episode(task, i) for task in range(2) for i in range(9)]
        write(tmp_path, f"rollouts/step_{step:06d}", siblings, side=300, advantages=[0.1] * len(siblings))
    html = page(tmp_path, REPORT, METRICS)
    assert 500_000 < len(html.encode()) < 3_000_000
    assert html.count("<article") <= 48
    assert "left out to keep this page small" in html


def test_a_page_has_one_of_every_id_that_it_links_to(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_greedy", [trajectory()])
    found = Elements(page(tmp_path, REPORT, METRICS))
    ids = [value for name, value in found.attributes if name == "id"]
    targets = {value[1:] for name, value in found.attributes if name == "href" and value.startswith("#")}
    assert len(ids) == len(set(ids)) and targets <= set(ids)
