"""A folder of runs over HTTP: what stands at which address, who is answered, and how often pages are made."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import pytest

from agent.report import site
from agent.report.serve import NAMES, file_at_root, page_server
from agent.report.site import PAUSE, Site
from tests.agent.report.recorded import Held, record, write_lines
from tests.agent.report.told import write_told

Get = Callable[..., tuple[HTTPResponse, str]]


@contextmanager
def served(answer: Any, names: tuple[str, ...] = NAMES) -> Iterator[Get]:
    """A server, and how to ask it: get(path, host, method)."""
    server = page_server(answer, 0, names=names)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def get(path: str, host: str = "localhost", method: str = "GET") -> tuple[HTTPResponse, str]:
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.request(method, path, headers={"Host": host})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response, text

    try:
        yield get
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with a finished run and one that has just begun."""
    write_told(tmp_path / "runs/told")
    begun = tmp_path / "runs/begun"
    begun.mkdir()
    (begun / "config.yaml").write_text("config: {run: {name: begun}, optimizer: {steps: 9}}\n")
    return tmp_path / "runs"


@pytest.fixture
def get(runs: Path) -> Iterator[Get]:
    with served(Site(runs).answer) as ask:
        yield ask


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs whose pages were made."""
    names: list[str] = []
    render = site.render_page

    def counted(folders: Any, **options: Any) -> str:
        names.extend(folder.path.name for folder, _ in folders)
        return render(folders, **options)

    monkeypatch.setattr(site, "render_page", counted)
    return names


def body(answers: Site, path: str) -> str:
    answer = answers.answer(path)
    assert answer is not None and answer.status == 200
    return answer.body.decode()


def test_the_table_leads_to_the_page_of_each_run_and_back(get: Get) -> None:
    response, table = get("/")
    assert response.status == 200 and '<a href="/told/">' in table and '<a href="/begun/">' in table
    for path in ("/told/", "/told/report.html", "/told/?x=1"):
        response, page = get(path)
        assert response.status == 200 and Held(page).overview["title"] == "told" and '<a href="/">' in page
    assert not Held(get("/begun/")[1]).overview["finished"]


def test_a_name_without_its_slash_leads_to_the_page(get: Get) -> None:
    response, _ = get("/told")
    assert (response.status, response.headers["Location"]) == (302, "/told/")


@pytest.mark.parametrize(
    "path",
    [
        "/nobody/",
        "/told/config.yaml",
        "/told/rollouts/",
        "/../told/config.yaml",
        "/told/..%2ftold/",
        "/%2e%2e/runs/told/",
        "/told//",
        "//example.org",
        "/told%00/",
        "told/",
        "*",
    ],
)
def test_an_address_of_no_run_is_not_found(get: Get, path: str) -> None:
    assert get(path)[0].status == 404


def test_other_names_of_this_machine_are_not_answered_but_for_the_health(get: Get) -> None:
    for host in ("example.org", "example.org:80", "127.0.0.1.example.org", "", "localhost.", "0.0.0.0"):
        for path in ("/", "/told/", "/told"):
            response, text = get(path, host)
            assert response.status == 404 and "told" not in text, host
        assert get("/health", host)[1] == "ok"
    assert get("/", "LOCALHOST:8000")[0].status == get("/", "127.0.0.1:1")[0].status == 200
    assert get("/health/", "example.org")[0].status == 404


def test_names_may_be_added(runs: Path) -> None:
    with served(Site(runs).answer, (*NAMES, "box.example")) as get:
        assert get("/", "box.example:8000")[0].status == 200 and get("/", "other.example")[0].status == 404


def test_pages_may_stand_in_no_frame_and_are_kept_by_no_browser(get: Get) -> None:
    response, _ = get("/")
    assert response.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert (response.headers["Cache-Control"], response.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_the_head_of_an_answer_has_no_body(get: Get) -> None:
    response, text = get("/told/", method="HEAD")
    assert response.status == 200 and int(response.headers["Content-Length"]) > 1000 and text == ""


def test_a_single_page_is_served_at_the_root_alone(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("a page")
    with served(file_at_root(tmp_path / "page.html")) as get:
        assert get("/")[1] == "a page" and get("/page.html")[0].status == 404 and get("/health")[1] == "ok"


def test_a_folder_that_is_made_later_is_shown_as_soon_as_it_is_there(tmp_path: Path) -> None:
    answers = Site(tmp_path / "runs")
    assert "no such folder yet" in body(answers, "/") and answers.answer("/told/") is None
    write_told(tmp_path / "runs/told")
    assert "/told/" in body(answers, "/") and Held(body(answers, "/told/")).entries
    shutil.rmtree(tmp_path / "runs")
    assert "no such folder yet" in body(answers, "/") and answers.answer("/told/") is None


def test_a_folder_that_becomes_a_run_itself_says_so(tmp_path: Path) -> None:
    answers = Site(tmp_path / "told")
    write_told(tmp_path / "told")
    assert "itself a run" in body(answers, "/")


def test_a_broken_run_has_a_line_and_a_page_that_say_so_beside_the_others(get: Get, runs: Path) -> None:
    (runs / "link").mkdir()
    (runs / "link/config.yaml").symlink_to("/etc/hostname")
    assert "leads out of this folder" in get("/")[1] and "/told/" in get("/")[1]
    response, page = get("/link/")
    assert response.status == 200 and "link cannot be shown" in page and "leads out of this folder" in page


def test_a_run_that_may_not_be_looked_into_has_a_line_that_says_so(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def forbidden(path: Path, **options: Any) -> Any:
        if "begun" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", forbidden)
    answers = Site(runs)
    assert "Permission denied" in body(answers, "/") and 'href="/told/"' in body(answers, "/")
    assert "begun cannot be shown" in body(answers, "/begun/")


def test_a_folder_that_may_not_be_read_says_so(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    answers = Site(runs)
    for name in ("os.scandir", "os.listdir"):
        monkeypatch.setattr(name, forbidden)
    monkeypatch.setattr(Path, "iterdir", forbidden)
    assert "This folder cannot be read: Permission denied." in body(answers, "/")


def test_whatever_goes_wrong_with_a_page_is_told_in_its_place(
    get: Get, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("<b>nobody thought of this</b>")

    monkeypatch.setattr(site, "render_page", fail)
    monkeypatch.setattr(site, "row_of", fail)
    assert "&lt;b&gt;nobody thought of this" in get("/told/")[1] and get("/")[1].count("&lt;b&gt;nobody thought") == 2


@pytest.mark.parametrize("text", ["", "{", "[" * 9999, "\0", "null", "3", '{"rows": 3}', '{"rows": [{"name": {}}]}'])
def test_no_content_of_a_file_takes_the_server_down(get: Get, runs: Path, text: str) -> None:
    for name in ("config.yaml", "report.json", "metrics.jsonl", "seconds.json", "cold_start.json"):
        (runs / "begun" / name).write_text(text)
    write_lines(runs / "scored/settings.json", text)
    write_lines(runs / "scored/results.json", text)
    write_lines(runs / "begun/rollouts/step_000001.jsonl", text)
    for path in ("/", "/begun/", "/scored/"):
        response, page = get(path)
        assert response.status == 200 and ("<h1>" in page or Held(page).overview)


def test_the_table_follows_the_files_from_one_request_to_the_next(runs: Path) -> None:
    answers = Site(runs)
    assert "9 to do" in body(answers, "/")
    for step in (1, 2):
        write_lines(runs / "begun/metrics.jsonl", *({"step": each, "reward": 0.5} for each in range(1, step + 1)))
        assert f"reward, step {step}" in body(answers, "/")


def test_a_page_is_made_again_when_its_files_have_changed_and_not_more_often_than_that(
    runs: Path, made: list[str]
) -> None:
    clock = Clock()
    answers = Site(runs, clock=clock)
    first = body(answers, "/begun/")
    clock.now += 10 * PAUSE
    assert body(answers, "/begun/") == first and made == ["begun"]
    write_lines(runs / "begun/metrics.jsonl", {"step": 1, "reward": 0.5})
    assert Held(body(answers, "/begun/")).overview["series"]["values"] == {"reward": [0.5]}
    assert made == ["begun"] * 2


def test_a_page_whose_files_change_all_the_time_is_made_every_ten_seconds(runs: Path, made: list[str]) -> None:
    clock = Clock()
    answers = Site(runs, clock=clock)
    for second in range(30):
        clock.now = 1000.0 + second
        write_lines(runs / "begun/metrics.jsonl", {"step": second, "reward": 0.5})
        body(answers, "/begun/")
    assert made == ["begun"] * 3


def test_one_page_is_made_at_a_time(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    active, most = [0], [0]

    def slow(*_: object, **__: object) -> str:
        active[0] += 1
        most[0] = max(most[0], active[0])
        sleep(0.05)
        active[0] -= 1
        return "made"

    monkeypatch.setattr(site, "render_page", slow)
    answers = Site(runs)
    with ThreadPoolExecutor(8) as threads:
        pages = list(threads.map(lambda name: body(answers, f"/{name}/"), ["told", "begun"] * 4))
    assert pages == ["made"] * 8 and most == [1]


def test_few_pages_are_kept(runs: Path, made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "KEPT", 1)
    answers = Site(runs)
    for path in ("/told/", "/told/", "/begun/", "/told/"):
        body(answers, path)
    assert made == ["told", "begun", "told"]


def test_the_tokenizer_of_a_run_is_read_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def found(folder: Any) -> Any:
        asked.append(folder.path.name)
        return (lambda ids: "x"), ""

    monkeypatch.setattr(site, "find_decoder", found)
    clock = Clock()
    answers = Site(runs, clock=clock)
    body(answers, "/told/")
    write_lines(runs / "told/rollouts/step_000030.jsonl", record())
    clock.now += PAUSE
    assert len(Held(body(answers, "/told/")).index["files"]) == 5 and asked == ["told"]
    (runs / "told/config.yaml").write_text("config: {}\n")
    clock.now += PAUSE
    body(answers, "/told/")
    assert asked == ["told"] * 2, "another run of that name"


def test_nothing_is_written_into_the_folder(get: Get, runs: Path) -> None:
    def files() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in runs.rglob("*"))

    before = files()
    for path in ("/", "/told/", "/begun/"):
        get(path)
    assert files() == before


def test_serving_imports_neither_torch_nor_what_draws(runs: Path) -> None:
    (runs / "told/initial_model").mkdir()
    (runs / "told/initial_model/tokenizer.json").write_text(
        json.dumps({"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}})
    )
    program = (
        "import sys; from pathlib import Path; from agent.report.site import Site; site = Site(Path(sys.argv[1])); "
        "assert site.answer('/').status == site.answer('/told/').status == 200; "
        "assert b'token ids are shown' not in site.answer('/told/').body; "
        "print({'torch', 'transformers', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, runs], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")
