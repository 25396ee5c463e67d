"""The page stands alone, holds whatever a run left, and runs nothing of it."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from tests.agent.report.recorded import (
    BLOCK,
    Held,
    action,
    observation,
    page,
    page_of,
    prompt,
    record,
    trajectory,
    write,
    write_lines,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "</script></style></title></pre><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "<!-- <script> <![CDATA[ -->",
    "nul \0 escape \x1b[31m override \u202e half \ud800 byte order \ufeff",
]


def test_every_recorded_trajectory_is_in_the_table(tmp_path: Path) -> None:
    write(tmp_path, "evaluations/before_greedy", [trajectory(task=3)])
    write(tmp_path, "rollouts/step_000025", [trajectory(score=0.5), trajectory(score=None)], advantages=[1.25, 0.0])
    held = Held(page(tmp_path))
    assert [(e["id"], e["task"], e["score"], e["end"], e["stop"], e["advantage"]) for e in held.entries] == [
        ("before_greedy.1", "3", 1.0, "terminated", "stop", None),
        ("step_000025.1", "0", 0.5, "terminated", "stop", 1.25),
        ("step_000025.2", "0", None, "failed", "stop", 0.0),
    ]
    assert [(f["label"], f["kind"], f["listed"]) for f in held.index["files"]] == [
        ("before greedy", "evaluation", 1),
        ("step 25", "rollout", 2),
    ]
    assert len(held.wholes) == 3


def test_an_empty_folder_makes_a_page(tmp_path: Path) -> None:
    assert Held(page(tmp_path)).entries == []


def test_the_policy_of_the_page_allows_its_own_script_and_style_and_nothing_else(tmp_path: Path) -> None:
    html = page(tmp_path)
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
    for source, element in (("style-src", "style"), ("script-src", "script")):
        (text,) = re.findall(f"<{element}>(.*?)</{element}>", html, re.DOTALL)
        assert f"{source} 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}';" in policy.replace(
            "&#39;", "'"
        )
    assert policy.startswith("default-src &#39;none&#39;;") and "unsafe" not in policy and "http" not in policy


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_the_data(tmp_path: Path, text: str) -> None:
    friendly, hostile = tmp_path / "friendly", tmp_path / "hostile"
    for run, said in ((friendly, "harmless"), (hostile, text)):
        episode = trajectory(
            prompt(said), action(said), observation(said, 0), score=0.0, reason=said, tags={said: said}
        )
        write(run, "evaluations/before_greedy", [episode])
        write_lines(run / "metrics.jsonl", {"step": 1, said: 0.5})
    expected, found = (BLOCK.sub("", page_of(run)).replace(run.name, "") for run in (friendly, hostile))
    assert found == expected
    blocks = Held(page_of(hostile)).blocks
    assert not [name for name, block in blocks.items() if re.search("[<>&\u2028\u2029\0]", block)]


def test_hostile_settings_stay_text(tmp_path: Path) -> None:
    lines = ["config:", "  run: {name: '</title><script>alert(1)</script>'}", "versions: {torch: '<b>'}"]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    html = page(tmp_path)
    assert "<script>alert(1)" not in html and "&lt;/title&gt;&lt;script&gt;alert(1)" in html
    assert Held(html).overview["versions"] == [["torch", "<b>"]]


def test_the_same_files_make_the_same_page(tmp_path: Path) -> None:
    for run, names in ((tmp_path / "a" / "run", (1, 25)), (tmp_path / "b" / "run", (25, 1))):
        for step in names:
            write(
                run, f"rollouts/step_{step:06d}", [trajectory(prompt(pictures=["a" * 64]), action())], advantages=[0.0]
            )
    assert page_of(tmp_path / "a" / "run") == page_of(tmp_path / "b" / "run")


def test_broken_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "rollouts/step_000001.jsonl", record(), "{", "[" * 9999, '"text"', "{}", record(), '{"env_id"'
    )
    held = Held(page(tmp_path))
    assert [entry["line"] for entry in held.entries] == [1, 6]
    assert held.index["notes"] == ["rollouts/step_000001.jsonl: 5 lines were skipped, which are no trajectories"]


def test_trajectories_beyond_the_budget_keep_their_line_and_every_file_its_share(tmp_path: Path) -> None:
    many = [trajectory(prompt(str(i)), action("word " * 200)) for i in range(20)]
    write(tmp_path, "rollouts/step_000001", many)
    write(tmp_path, "rollouts/step_000002", many)
    size = len(page(tmp_path)) - len(page(tmp_path, text_bytes=0))
    held = Held(page(tmp_path, text_bytes=size // 2))
    kept = [entry["id"].partition(".")[0] for entry in held.entries if entry["block"] is not None]
    assert len(held.entries) == 40 and 5 < kept.count("step_000001") < 15 and 5 < kept.count("step_000002") < 15
    (note,) = held.index["notes"]
    assert note.startswith(f"{40 - len(kept)} trajectories are in the table only")


def test_a_picture_is_in_the_page_once_however_often_it_was_seen(tmp_path: Path) -> None:
    seen = trajectory(prompt(pictures=["a" * 64]), action())
    write(tmp_path, "evaluations/before_greedy", [seen, seen])
    write(tmp_path, "rollouts/step_000001", [seen])
    held = Held(page(tmp_path))
    assert len(held.pictures) == 1 and [whole["pictures"][0][0] for whole in held.wholes] == [0, 0, 0]


def test_pictures_beyond_the_budget_are_named_and_counted(tmp_path: Path) -> None:
    names = [f"{i}".rjust(64, "0") for i in range(8)]
    write(tmp_path, "rollouts/step_000001", [trajectory(prompt(pictures=names), action())], side=64)
    whole = len(Held(page(tmp_path)).pictures[0])
    held = Held(page(tmp_path, picture_bytes=3 * whole + whole // 2))
    assert len(held.pictures) == 3
    assert held.wholes[0]["pictures"][5][1] == f"left out to keep this page small: images/{names[5]}.png"
    assert held.index["notes"] == ["5 pictures were left out to keep this page small"]


def test_a_page_of_megabytes_of_text_is_small(tmp_path: Path) -> None:
    long = "word " * 200_000
    segments = [prompt(long[:100_000]), action(long[:100_000])]
    write(tmp_path, "evaluations/before_greedy", [trajectory(*segments, score=0.0, reason=long, tags={"tag": long})])
    html = page(tmp_path)
    assert len(html) < 400_000
    assert "shortened from 1,000,000 characters" in str(Held(html).wholes[0])


def test_several_folders_stand_in_one_page_under_their_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, "rollouts/step_000001", [trajectory()])
    held = Held(page_of(tmp_path / "one", tmp_path / "two"))
    assert [entry["id"] for entry in held.entries] == ["one.step_000001.1", "two.step_000001.1"]
    assert [file["folder"] for file in held.index["files"]] == [0, 1]


def test_the_same_folder_twice_has_ids_that_differ(tmp_path: Path) -> None:
    write(tmp_path / "one", "rollouts/step_000001", [trajectory()])
    held = Held(page_of(tmp_path / "one", tmp_path / "one"))
    assert len({entry["id"] for entry in held.entries}) == 2
