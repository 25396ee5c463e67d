"""Where the time of a step goes: every second has one area, and the floor is that of the operations counted."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def step_profile(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import step_profile as module

    yield module
    for name in set(sys.modules) - before:
        if name.startswith(("step_profile", "steps")):
            del sys.modules[name]


def test_the_page_says_how_far_the_step_is_from_its_floor(step_profile: ModuleType) -> None:
    found = {
        "seconds": 1.2,
        "areas": {"vision": 0.3, "outside": 0.9},
        "operators": [("aten::mm", 1234, 0.5, 0.25)],
        "rates": {step_profile.LARGE: 50.0, "attention": 20.0},
        "kinds": {"everything else": 0.25, "matrix products": 0.75},
        "operations": {"rollout": 5.0, "update": 15.0, "nothing shared": 100.0},
    }
    text = step_profile.page(found, 224, "abc", "a machine")
    assert "| vision | 0.300 | 25% |" in text and "| `aten::mm` | 1,234 | 0.500 | 25.0% |" in text
    assert "| **both** | 20.00 | **0.400** |" in text and "takes 3.0 times its floor" in text
    assert "attention: 20 GFLOP/s" in text and "75% matrix products; 25% everything else" in text
    assert "75% is outside" in text
    assert "commit abc on a machine" in text and "pictures of 224 pixels" in text


@pytest.mark.slow
def test_every_area_is_seen_and_together_they_are_the_step(step_profile: ModuleType, tmp_path: Path) -> None:
    from steps.areas import AREAS
    from steps.job import Job

    job = Job("step", side=224, prompts=2, group=2, tokens=6, warm=step_profile.WARM, measured=2)
    found = step_profile.profiled(job, tmp_path)
    assert tuple(found["areas"]) == AREAS and min(found["areas"].values()) > 0
    assert sum(found["areas"].values()) == pytest.approx(found["seconds"], rel=1e-6)
    assert found["operators"] and min(found["rates"].values()) > 0.1
    assert set(found["kinds"]) == {"matrix products", "attention", "everything else"}
    assert sum(found["kinds"].values()) == pytest.approx(1)
