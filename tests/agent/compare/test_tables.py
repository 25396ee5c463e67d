"""Comparisons as text."""

from io import StringIO

from rich.console import Console

from agent.compare.tables import Table, escaped, in_markdown, in_terminal

HOSTILE = "[bold]x[/bold] | <img src=x onerror=alert(1)> `c` *s* $m$ \x1b[31m\n# h"


def test_names_are_shown_as_they_are_in_the_terminal() -> None:
    console = Console(file=StringIO(), width=300)
    console.print(in_terminal(Table("t", ("group", "n"), ((HOSTILE, "1"),))))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[bold]x[/bold] | <img" in told and "\x1b" not in told


def test_names_stay_text_in_markdown() -> None:
    written = in_markdown(Table("t", ("group", "n"), ((HOSTILE, "1"),)))
    line = next(line for line in written.splitlines() if "bold" in line)
    assert "<img" not in written and "&lt;img" in line
    assert line.count("|") - line.count("\\|") == 3
    assert "\\`c\\` \\*s\\* \\$m\\$" in line and "⏎\\# h" in line


def test_an_ampersand_is_not_read_as_an_entity() -> None:
    assert escaped("a&lt;b") == "a&amp;lt;b"


def test_words_stand_left_and_numbers_right() -> None:
    assert "| --- | ---: |" in in_markdown(Table("t", ("group", "n"), (("a", "1"),)))
