"""Taking a program out of a model's text, and the expert's programs."""

import numpy as np
import pytest
from PIL import Image

from envs.coding.contents import write
from envs.coding.programs import FILES, remedy, take_program
from envs.render.distort import distort
from envs.render.document import draw_document

cv2 = pytest.importorskip("cv2")


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("print(1)", "print(1)"),
        ("\nprint(1)\n", "print(1)"),
        ("```python\nprint(1)\n```", "print(1)"),
        ("so:\n```py\n  x = 1\n```\nand\n```python\ny\n```", "  x = 1"),
        ("```\r\nprint(1)\n```", "print(1)"),
        ("```python\nprint(1)", "print(1)"),
        ("```python print(1)```", "```python print(1)```"),
        ("", ""),
    ],
)
def test_the_first_fenced_block_is_the_program_or_else_everything(text: str, program: str) -> None:
    assert take_program(text) == program


def mended(problems: tuple[str, ...], size: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The clean picture, the spoilt one, and what the expert's program makes of that (run here: it is our own)."""
    reach = max(size // 112, 1)
    kind = ("receipt", "label", "ticket")[seed % 3]
    clean = draw_document(write(kind, np.random.default_rng(seed)).document, size, size)
    spoilt = distort(clean, problems, reach, np.random.default_rng(seed))
    code = remedy(problems, None, reach, "files")
    code = code.replace(f"cv2.imread('{FILES['files'][0]}')", "given").partition("cv2.imwrite")[0]
    variables = {"given": spoilt[:, :, ::-1].copy()}
    exec(code, variables)
    return clean, spoilt, variables["image"][:, :, ::-1]


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


@pytest.mark.parametrize("problem", ["rotation90", "rotation180"])
def test_a_rotation_is_undone_exactly(problem: str) -> None:
    clean, spoilt, after = mended((problem,), 224, 0)
    assert not np.array_equal(clean, spoilt) and np.array_equal(clean, after)


def contrast(picture: np.ndarray) -> int:
    return int(picture.max()) - int(picture.min())


@pytest.mark.parametrize("problem", ["dark", "overexposure"])
def test_an_exposure_is_undone_up_to_its_rounding(problem: str) -> None:
    clean, spoilt, after = mended((problem,), 224, 1)
    assert contrast(spoilt) < 30 and contrast(after) == 255
    # A tenth of the contrast is kept, so that a level is up to ten of the old ones, and white is stretched to 255.
    assert error(clean, after) < 16 < 30 < error(clean, spoilt)


@pytest.mark.parametrize(("problem", "share"), [("noise", 0.2), ("blur", 0.9)])
def test_noise_and_blur_are_undone_in_part(problem: str, share: float) -> None:
    for seed in range(3):
        clean, spoilt, after = mended((problem,), 224, seed)
        assert error(clean, after) < share * error(clean, spoilt)


def sharpness(picture: np.ndarray) -> float:
    return float(np.abs(np.diff(picture.astype(int), axis=1)).mean())


def test_a_blur_takes_the_edges_and_the_program_brings_them_back() -> None:
    clean, spoilt, after = mended(("blur",), 224, 2)
    assert sharpness(spoilt) < 0.6 * sharpness(clean) < 0.7 * sharpness(after)


@pytest.mark.parametrize("problems", [("noise", "dark"), ("rotation90", "overexposure"), ("rotation180", "noise")])
def test_two_problems_are_undone_together(problems: tuple[str, ...]) -> None:
    clean, spoilt, after = mended(problems, 224, 0)
    assert after.shape == clean.shape
    assert error(clean, after) < 25 and error(clean, after) < 0.5 * error(clean, spoilt)


@pytest.mark.parametrize("problems", [("dark",), ("overexposure",), ("rotation90",), ("rotation180", "dark")])
def test_a_short_program_runs_as_it_is_written_and_mends_without_loss(tmp_path, monkeypatch, problems) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    clean = np.random.default_rng(0).integers(0, 24, size=(6, 6, 3), dtype=np.uint8) * 10
    clean = 255 - clean if "overexposure" in problems else clean
    Image.fromarray(distort(clean, problems, 1, np.random.default_rng(0))).save("in.png")
    exec(remedy(problems, None, 1, "short"), {})
    assert np.array_equal(np.asarray(Image.open("out.png")), clean)
