"""The page says what the file holds, and nothing else."""

from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_committed_page_is_made_of_the_committed_figures() -> None:
    from steps.curves import AXES
    from steps.page import page
    from steps.rows import read

    results = read(ROOT / "bench" / "results.json")
    assert results.rows and "-dirty" not in results.commit
    pictures = [f"curves/{axis.name}.png" for axis in AXES if results.curves and axis.name in results.curves["points"]]
    assert (ROOT / "bench" / "README.md").read_text() == page(results, pictures)
    assert all((ROOT / "bench" / picture).stat().st_size > 5_000 for picture in pictures)


def test_a_table_has_value_baseline_ratio_and_floor_and_no_empty_column() -> None:
    from steps.page import page
    from steps.rows import Results, Row

    row = Row(
        "grpo_step_56px", 0.25, "s", 1.0, 4.0, what="a step", against="TRL", floor=2.5, operations=3.25, commit="a"
    )
    text = page(Results("m", "a", (row, Row("other", 1234.5, "MiB", what="more", commit="b", machine="m", note="Why"))))
    assert "| what | ours | baseline | ratio | asked for | operations | commit |" in text
    assert "| `grpo_step_56px`: a step | **0.25** s | 1 (TRL) | **4.00** | at least 2.5 times | 3.2 |" in text
    assert "**1,234** MiB" in text and "| b, m |" in text and "- `other`: Why." in text
    assert "| range" not in text and "## The update alone" not in text


def test_curves_are_drawn_also_where_a_way_has_no_points(tmp_path: Path) -> None:
    from steps.curves import draw

    ours, theirs = {"seconds": 0.5, "MiB": 100.0}, {"seconds": 1.5, "MiB": 300.0}
    points = {
        "side": [{"at": 56, "ours": ours, "TRL": theirs}, {"at": 112, "ours": ours, "TRL": theirs}],
        "turns": [{"at": 1, "ours": ours, "TRL": theirs}, {"at": 2, "ours": ours}],
    }
    assert draw(points, tmp_path) == ["side.png", "turns.png"]
    assert all((tmp_path / name).stat().st_size > 5_000 for name in ("side.png", "turns.png"))
