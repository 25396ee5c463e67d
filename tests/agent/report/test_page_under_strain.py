"""Pages of hostile and of very many trajectories, in a headless Chromium."""

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.report.browser import Tab
from tests.agent.report.recorded import (
    Held,
    action,
    encode,
    observation,
    page_of,
    prompt,
    record,
    trajectory,
    write,
    write_lines,
)

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
Open = Callable[..., Tab]

RUN = (
    "<script>window.hit=1;alert(1)</script><img src=x onerror='window.hit=1;alert(1)'><svg onload='window.hit=1'></svg>"
)
HOSTILE = [
    RUN,
    f"</script></textarea></title></style>{RUN}",
    f"<!--<script>{RUN}-->",
    "<a href='javascript:window.hit=1'>click</a> javascript:window.hit=1",
    "<iframe src='https://example.org/'></iframe><link rel=stylesheet href='https://example.org/x.css'>",
    "broken \ud800 half \0 nul \x1b[31m \u202e reordered \u2066 \u2028 line",
    "${window.hit=1} {{constructor.constructor('window.hit=1')()}} `",
    "__proto__",
    '\\u003cscript\\u003e \\" \' " &lt;script&gt; ]]>',
]
HASH = "f" * 64


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens the page of folders; nothing may be run, said or asked for, whatever they hold."""
    tabs: list[Tab] = []
    file = tmp_path / "report.html"

    def shown(*folders: Path, hash: str = "") -> Tab:
        if folders:
            file.write_text(page_of(*folders), encoding="utf-8")
        tabs.append(Tab(browser, file, hash))
        return tabs[-1]

    yield shown
    for tab in tabs:
        hit = tab.tab.evaluate("[window.hit, Object.prototype.hit, ({}).polluted]")
        said, dialogs = tab.said, tab.dialogs
        requests = {request.partition("#")[0] for request in tab.requests}
        tab.context.close()
        assert (hit, said, dialogs, requests) == ([None, None, None], [], [], {file.resolve().as_uri()})


def write_hostile(run: Path) -> None:
    """Every hostile text wherever a text can be."""
    lines = []
    for text in HOSTILE:
        segments = [prompt(text), action(f"<think>{text}</think><code>{text}</code>"), observation(text, 1)]
        write(run, "rollouts/step_000009", [trajectory(*segments, reason=text, tags={text: text}, score=0.0)])
        lines += (run / "rollouts/step_000009.jsonl").read_text().splitlines()
        (run / "rollouts/step_000009.jsonl").unlink()
        lines.append(
            json.dumps(
                record(
                    env_id=text, task=text, seed=text, outcome={"end": text, "score": text, "reason": text}, policy=text
                )
                | {"tokens": False, "rewards": {text: text}, "metrics": {text: [text]}, "dropped": text}
                | {
                    "rows": [
                        {
                            "segments": [
                                {"kind": text, "turn": text, "text": text, "images": [{"sha256": text}], "reward": text}
                            ]
                        }
                    ]
                }
            )
        )
    write_lines(run / "rollouts/step_000001.jsonl", *lines)
    write_lines(run / "evaluations" / "<img src=x onerror=alert(1)>.jsonl", record())
    write_lines(run / "metrics.jsonl", *({"step": 1, text: 0.5} for text in HOSTILE))
    row = {
        "name": RUN,
        "env_id": RUN,
        "metric": RUN,
        "decoding": RUN,
        "value": 0.5,
        "low": 0.1,
        "high": 0.9,
        "episodes": RUN,
    }
    difference = {"decoding": RUN, "value": 0.1, "low": 0.1, "high": 0.2}
    report = {"rows": [row], "phases": {RUN: 1.0}, "paired_differences": [difference]}
    (run / "report.json").write_text(json.dumps(report))
    (run / "config.yaml").write_text(
        json.dumps({"config": {"run": {"name": RUN}, "env": {"id": RUN}}, "versions": {RUN: RUN}})
    )


def test_a_hostile_run_is_shown_and_runs_nothing(opened: Open, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    write_hostile(run)
    tab = opened(run)
    assert RUN[:40] in tab.text()
    tab.to("view=trajectories")
    ids = tab.tab.evaluate("[...document.querySelectorAll('[data-id]')].map(each => each.dataset.id)")
    assert len(ids) == 2 * len(HOSTILE) + 1
    for id in ids:
        for view, show in (("trajectory", "reading"), ("trajectory", "mask"), ("group", "reading")):
            tab.to(
                tab.tab.evaluate(
                    "pairs => String(new URLSearchParams(pairs))", [["view", view], ["id", id], ["show", show]]
                )
            )
            assert (
                tab.tab.locator("main script, main iframe, main link, main a[href^=javascript], main [onerror]").count()
                == 0
            )
            assert tab.tab.locator("main img").count() == 0
    tab.to(f"view=trajectory&show=reading&id={ids[1]}")
    assert "<script>window.hit=1" in tab.text() and "javascript" not in tab.at()


def test_what_reorders_or_hides_is_made_visible(opened: Open, tmp_path: Path) -> None:
    write(tmp_path / "run", "rollouts/step_000001", [trajectory(prompt("a\u202eb\0c"), action("d\ufeffe\u2066"))])
    tab = opened(tmp_path / "run", hash="view=trajectory&id=step_000001.1&show=reading")
    assert "a⟨U+202E⟩b⟨U+0000⟩c" in tab.text() and "d⟨U+FEFF⟩e⟨U+2066⟩" in tab.text()


def test_links_with_hostile_states_run_nothing(opened: Open, tmp_path: Path) -> None:
    write(tmp_path / "run", "rollouts/step_000001", [trajectory()])
    tab = opened(tmp_path / "run")
    for text in HOSTILE[:4]:
        for key in ("view", "id", "q", "file", "sort", "show", "page", "min", "end"):
            tab.to(
                tab.tab.evaluate(
                    "pairs => String(new URLSearchParams(pairs))",
                    [["view", "trajectories"], [key, text.replace("\0", "")]],
                )
            )


def test_the_policy_of_the_page_stops_what_would_get_in_all_the_same(browser: Any, tmp_path: Path) -> None:
    write(tmp_path / "run", "rollouts/step_000001", [trajectory()])
    html = page_of(tmp_path / "run").replace(
        '<main id="main">', f'<main id="main"><script>window.hit=1</script>{RUN}<b style="color:red">x</b>', 1
    )
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    tab = Tab(browser, tmp_path / "page.html")
    blocked = " ".join(tab.said)
    assert tab.tab.evaluate("window.hit") is None and tab.dialogs == [] and "Content Security Policy" in blocked
    with pytest.raises(Exception, match="TrustedHTML"):
        tab.tab.evaluate("document.body.innerHTML = '<b>x</b>'")
    tab.context.close()


def test_a_line_of_a_megabyte_is_shown_short_and_says_so(opened: Open, tmp_path: Path) -> None:
    segment = {"kind": "prompt", "turn": 0, "text": "word " * 200_000, "images": [], "reward": None}
    said = {**segment, "kind": "action", "text": "x" * 1_000_000}
    talk = record(tokens=False, rows=[{"segments": [segment, said]}], tags={"long": "y" * 1_000_000})
    spelled = trajectory(prompt("?"), action("z" * 1_000_000), reason="r" * 1_000_000, score=0.0)
    write(tmp_path / "run", "rollouts/step_000002", [spelled])
    write_lines(tmp_path / "run" / "rollouts/step_000001.jsonl", talk)
    tab = opened(tmp_path / "run", hash="view=trajectory&id=step_000001.1")
    assert "characters not shown …" in tab.text() and "shortened from 1,000,000 characters" in tab.text()
    assert "no tokens: text of a chat server or baseline" in tab.text() and len(tab.text()) < 200_000
    tab.to("view=trajectory&id=step_000002.1&show=logprob")
    assert "tokens not shown …" in tab.text() and len(tab.text()) < 100_000
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_two_hundred_pictures_are_shown_when_asked_for(opened: Open, tmp_path: Path) -> None:
    names = [f"{i}".rjust(64, "0") for i in range(200)]
    write(tmp_path / "run", "rollouts/step_000001", [trajectory(prompt("?", names), action())])
    tab = opened(tmp_path / "run", hash="view=trajectory&id=step_000001.1")
    assert tab.tab.locator("figure img").count() == 24
    tab.tab.get_by_role("button", name="Show 176 more pictures").click()
    assert tab.tab.locator("figure img").count() == 200
    tab.tab.locator("figure img").last.scroll_into_view_if_needed()  # pictures are decoded when they are seen
    assert tab.tab.locator("figure img").last.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8


def test_an_evaluation_of_a_chat_server_is_shown_beside_its_baseline(opened: Open, tmp_path: Path) -> None:
    folder = tmp_path / "eval"
    write_lines(folder / "settings.json", json.dumps({"model": "somewhere/else", "env": {"id": "Some/Env-v0"}}))
    row = {
        "name": "served",
        "env_id": "Some/Env-v0",
        "decoding": "greedy",
        "metric": "accuracy",
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
    }
    write_lines(folder / "results.json", json.dumps({"rows": [{**row, "episodes": 2, "seed": 0}]}))
    for name in ("served", "constant"):
        said = [{"kind": "prompt", "turn": 0, "text": "Q?", "images": [{"sha256": HASH}], "reward": None}]
        said.append({"kind": "action", "turn": 0, "text": f"<answer>{name}</answer>", "images": [], "reward": 1.0})
        write_lines(
            folder / f"episodes/{name}.jsonl", record(tokens=False, policy=name, sample=0, rows=[{"segments": said}])
        )
    images = folder / "episodes/images"
    images.mkdir()
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
    (images / f"{HASH}.png").write_bytes(base64.b64decode(pixel))
    tab = opened(folder)
    assert "Evaluation" in tab.text() and "40.0% to 60.0%" in tab.text() and "somewhere/else" in tab.text()
    tab.to("view=group&id=served.1")
    assert tab.texts("[data-sibling] .block.answer .said") == ["constant", "served"]
    assert tab.tab.locator("figure img").count() == 1 and tab.text().count("Q?") == 1


def test_two_thousand_trajectories_open_without_being_read(
    opened: Open, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    ids = list(encode("<think>" + "a thought of some length, " * 12 + "</think><answer>3</answer>"))
    for step in range(1, 17):
        lines = []
        for i in range(125):
            one = record(
                task=step * 1000 + i // 5,
                outcome={"end": "terminated", "score": (i % 7) / 7, "reason": ""},
                advantage=0.5,
            )
            did = one["rows"][0]["segments"][1]
            did["token_ids"], did["text"] = ids, bytes(ids).decode()
            did["logprobs"] = [-((i * k) % 97) / 97 for k in range(len(ids))]
            lines.append(one)
        write_lines(run / f"rollouts/step_{step:06d}.jsonl", *lines)
    write_lines(run / "metrics.jsonl", *({"step": i, "reward": (i % 10) / 10} for i in range(1, 400)))
    tab = opened(run, hash="view=trajectories")
    usable = tab.tab.evaluate("performance.now()")
    assert len(Held((tmp_path / "report.html").read_text()).wholes) == 2000
    assert "2,000 trajectories" in tab.text() and tab.tab.locator("[data-id]").count() == 100
    assert tab.tab.evaluate("document.documentElement.dataset.unpacked") is None
    tab.tab.locator("[data-id]").first.click()
    tab.wait("trajectory")
    assert (
        tab.tab.evaluate("document.documentElement.dataset.unpacked") == "1" and "thought␣of␣some␣length" in tab.text()
    )
    size = os.path.getsize(tmp_path / "report.html") / 1e6
    with capsys.disabled():
        print(f"\n2,000 trajectories, {size:.1f} MB: usable {usable / 1000:.2f} s after navigation began")
