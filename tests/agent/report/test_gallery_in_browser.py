"""The table of all runs as a reader meets it, in a headless Chromium."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from agent.report.serve import page_server
from agent.report.site import Site
from tests.agent.report.browser import Tab
from tests.agent.report.recorded import write_lines
from tests.agent.report.told import write_told

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

HOSTILE = "<img src=x onerror='window.hit=1'>"
TENSORBOARD = "http://127.0.0.1:6006/"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished run, one in progress, and one whose files are broken."""
    root = tmp_path / "runs"
    write_told(root / "told")
    config = "config:\n  env: {id: Some/Env-v0}\n  algorithm: {family: grpo}\n  optimizer: {steps: 200}\n"
    (write_lines(root / "going/metrics.jsonl", {"step": 50, "reward": 0.25}).parent / "config.yaml").write_text(config)
    write_lines(root / HOSTILE / "config.yaml", f"config: [{HOSTILE}")
    return root


@pytest.fixture
def address(runs: Path) -> Iterator[str]:
    server = page_server(Site(runs, TENSORBOARD).answer, 0)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def texts(tab: Tab) -> dict[str, str]:
    """What the line of each run says, by its name."""
    return {text.partition("\n")[0]: text for text in tab.texts(".gallery tbody tr")}


def test_each_run_has_a_line_with_its_state_and_its_numbers(browser: Any, address: str) -> None:
    tab = Tab(browser, address)
    lines = texts(tab)
    for name, expected in {
        "told": ("finished", "50 of 50", "25.0%", "62.5% to 87.5%", "+50.0 points"),
        "going": ("running", "last step", "50 of 200", "0.25", "reward, step 50"),
        HOSTILE: ("config.yaml cannot be read",),
    }.items():
        for text in expected:
            assert text in lines[name], (name, text)
    assert tab.texts(".top nav a") == ["Runs", "TensorBoard"] and tab.requests == [address] and tab.said == []
    assert tab.tab.evaluate("window.hit") is None
    tab.context.close()


def test_a_run_is_opened_from_the_table_and_left_again(browser: Any, address: str) -> None:
    tab = Tab(browser, address)
    for name in ("told", HOSTILE):
        tab.tab.get_by_role("link", name=name, exact=True).click()
        tab.wait("overview")
        assert tab.tab.locator("h1").inner_text() == name
        tab.tab.get_by_role("link", name="All runs").click()
        tab.wait("gallery")
    assert tab.said == [] and tab.tab.evaluate("window.hit") is None
    tab.context.close()


def test_the_table_follows_what_happens_and_keeps_the_readers_place(browser: Any, address: str, runs: Path) -> None:
    tab = Tab(browser, address)
    tab.tab.clock.install()
    tab.tab.reload()
    tab.tab.get_by_role("link", name="going").focus()
    write_lines(runs / "going/metrics.jsonl", {"step": 100, "reward": 0.5})
    with tab.tab.expect_navigation():
        tab.tab.clock.run_for(10_500)
    tab.wait("gallery")
    assert "100 of 200" in texts(tab)["going"]
    assert tab.tab.evaluate("document.activeElement.getAttribute('href')") == "/going/"
    tab.context.close()


def test_a_paused_table_stays_as_it_is_also_after_it_was_loaded_again(browser: Any, address: str) -> None:
    tab = Tab(browser, address)
    tab.tab.clock.install()
    tab.tab.reload()
    tab.tab.get_by_role("button", name="Live").click()
    tab.tab.reload()
    asked = len(tab.requests)
    tab.tab.clock.run_for(60_000)
    assert len(tab.requests) == asked
    tab.tab.get_by_role("button", name="Paused").click()
    with tab.tab.expect_navigation():
        tab.tab.clock.run_for(10_500)
    tab.context.close()


def test_a_server_that_is_gone_leaves_the_table_and_says_so(browser: Any, address: str) -> None:
    tab = Tab(browser, address)
    tab.tab.clock.install()
    tab.tab.reload()
    tab.context.set_offline(True)
    tab.tab.clock.run_for(10_500)
    tab.tab.get_by_text("The server does not answer").wait_for()
    assert set(texts(tab)) == {"told", "going", HOSTILE}
    tab.context.set_offline(False)
    with tab.tab.expect_navigation():
        tab.tab.clock.run_for(10_500)
    tab.context.close()


def test_without_scripts_the_table_is_there_and_asks_to_be_loaded_again(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert "+50.0 points" in page.locator("main").inner_text()
    assert page.locator("head meta[http-equiv=refresh]").get_attribute("content") == "10"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_stands_in_a_readers_way(browser: Any, address: str, runs: Path, scheme: str, width: int) -> None:
    tab = Tab(browser, address, viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert tab.serious() == []
    assert tab.tab.evaluate("document.documentElement.scrollWidth") <= width
    shutil.rmtree(runs)
    tab.tab.reload()
    tab.wait("gallery")
    assert "There is no run yet." in tab.text() and tab.serious() == []
    tab.context.close()


def test_the_page_in_place_of_one_that_cannot_be_made_is_in_order(browser: Any, address: str, runs: Path) -> None:
    (runs / "going/report.json").symlink_to("/etc/hostname")
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(address + "going/")
    assert re.search("going/report.json is a link that leads out", page.locator("main").inner_text())
    page.get_by_role("link", name="All runs").click()
    assert "unreadable" in page.locator("tr", has_text="going").inner_text() and said == []
    context.close()
