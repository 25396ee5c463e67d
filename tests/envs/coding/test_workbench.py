"""Running programs on a picture."""

import numpy as np
import pytest

from envs.coding.workbench import Workbench, fit
from envs.core.errors import ArgumentError
from sandbox.errors import Lost

pytest.importorskip("cv2")
PICTURE = np.random.default_rng(0).integers(0, 256, size=(20, 30, 3), dtype=np.uint8)
READ = "import cv2\nimage = cv2.imread('path_to_input_image.jpg')\n"
OUT = "path_to_output_image.jpg"


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench("local", 5.0)


def test_a_program_sees_every_pixel_and_its_picture_is_taken(bench: Workbench) -> None:
    ran = bench.run(f"{READ}cv2.imwrite('a.png', image[:, ::-1])\nimport os\nos.rename('a.png', '{OUT}')", PICTURE)
    assert ran.status == "ok" and ran.picture is not None
    assert np.array_equal(ran.picture, PICTURE[:, ::-1])


def test_what_it_prints_is_told(bench: Workbench) -> None:
    ran = bench.run(f"```python\n{READ}print(image.shape)\ncv2.imwrite('{OUT}', image)\n```", PICTURE)
    assert ran.picture is not None and ran.text == "The program ran.\n(20, 30, 3)"


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("1/0", "error", "ZeroDivisionError"),
        ("def", "error", "SyntaxError"),
        ("print('hello')", "no picture", f"It wrote no {OUT}.\nhello"),
        (f"open('{OUT}', 'wb').write(b'GIF89a' + bytes(99))", "no picture", "no known format"),
        (f"import os\nos.symlink('/etc/passwd', '{OUT}')", "no picture", "a symbolic link"),
        (
            f"{READ}import numpy as np\ncv2.imwrite('{OUT}', np.zeros((2, 900), np.uint8))",
            "no picture",
            "sides must be",
        ),
        ("x = bytearray(8 << 30)", "oom", "ran out of memory"),
        ("import os\nos.abort()", "signal", "SIGABRT"),
    ],
)
def test_what_a_program_does_wrong_is_told_and_the_picture_stays(
    bench: Workbench, code: str, status: str, told: str
) -> None:
    ran = bench.run(code, PICTURE)
    assert ran.picture is None and ran.status == status and told in ran.text


def test_a_sleeping_program_is_told_that_its_time_was_over() -> None:
    ran = Workbench("local", 0.3).run("import time\ntime.sleep(60)", PICTURE)
    assert ran.status == "timeout" and "0.3 seconds" in ran.text


def test_addresses_and_folders_do_not_differ_from_run_to_run(bench: Workbench) -> None:
    code = "import os\nprint(object(), os.getcwd())\nraise ValueError(os.getcwd())"
    assert "ValueError: ." in bench.run(code, PICTURE).text
    assert bench.run("import os\nprint(object(), os.getcwd())", PICTURE).text.endswith("<object object at 0x...> .")


def test_a_long_traceback_is_cut_at_its_beginning(bench: Workbench) -> None:
    told = bench.run("raise ValueError('x' * 5000 + 'end')", PICTURE).text
    assert len(told) < 800 and told.endswith("end")


def test_a_failing_sandbox_is_not_the_programs_fault(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        raise Lost("gone")

    monkeypatch.setattr(bench._sandbox, "exec", lost)
    with pytest.raises(Lost):
        bench.run("print(1)", PICTURE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("docker", 'sandbox="local"'),
        ("elsewhere", "local"),
        ("unix:/run/x", "No such file.*tools=False"),
        ("http://127.0.0.1:9", "cannot be reached.*tools=False"),
    ],
)
def test_a_sandbox_that_cannot_be_had_is_an_error_that_says_what_can(no_engine: None, name: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Workbench(name)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (10, 10, (10, 10)),
        (100, 50, (40, 20)),
        (50, 100, (20, 40)),
        (40, 40, (40, 40)),
        (41, 40, (40, 39)),
        (4, 4000, (1, 40)),
    ],
)
def test_a_picture_is_made_smaller_and_never_larger(height: int, width: int, expected: tuple[int, int]) -> None:
    assert fit(np.zeros((height, width, 3), dtype=np.uint8), 40, 40).shape[:2] == expected


def test_a_picture_given_out_belongs_to_the_caller() -> None:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    fit(picture, 8, 8)[:] = 1
    assert picture.sum() == 0


def test_pixels_of_a_smaller_picture_are_means() -> None:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    picture[:2, :2] = [[[0], [100]], [[100], [200]]]
    assert fit(picture, 2, 2)[0, 0].tolist() == [100, 100, 100]
