"""Making and lending environments."""

import sys
from collections.abc import Callable
from pathlib import Path

import gymnasium
import pytest
from gymnasium import spaces

from agent.errors import ConfigError, ObservationError
from agent.rollout.environments import (
    EnvironmentPool,
    EnvironmentSpec,
    import_modules,
    make_environment,
    optional,
)


class Plain(gymnasium.Env):
    """Has the two spaces and nothing else."""

    def __init__(self, size: int = 3) -> None:
        if size < 0:
            raise ValueError(f"size must not be negative, got {size}")
        self.size = size
        self.observation_space = spaces.Dict({"text": spaces.Text(9), "images": spaces.Sequence(spaces.Discrete(1))})
        self.action_space = spaces.Text(9)


class Vision(Plain):
    """Observes a picture, and no text."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0, 255, (4, 4, 3))  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def registered() -> object:
    for name, entry in [("Test/Plain-v0", Plain), ("Test/Vision-v0", Vision)]:
        gymnasium.register(name, entry)  # type: ignore[arg-type]
    yield
    for name in ("Test/Plain-v0", "Test/Vision-v0"):
        del gymnasium.registry[name]


def test_an_environment_is_made_with_its_arguments() -> None:
    assert make_environment(EnvironmentSpec("Test/Plain-v0", {"size": 5})).unwrapped.size == 5  # type: ignore[attr-defined]


def test_an_unknown_id_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'Test/Plane-v0' is not registered; did you mean .*Test/Plain-v0"):
        make_environment(EnvironmentSpec("Test/Plane-v0"))


def test_an_id_whose_module_cannot_be_found_is_not_registered() -> None:
    with pytest.raises(ConfigError, match="modules"):
        make_environment(EnvironmentSpec("no_such_module_xyz:Some-v0"))


@pytest.mark.parametrize("kwargs", [{"sise": 5}, {"size": -1}])
def test_refused_arguments_are_repeated_with_the_environments_own_words(kwargs: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"Test/Plain-v0 refuses .*(sise|negative)"):
        make_environment(EnvironmentSpec("Test/Plain-v0", kwargs))


def test_another_observation_space_is_refused() -> None:
    with pytest.raises(ObservationError, match='must be a Dict with "text" and "images"'):
        make_environment(EnvironmentSpec("Test/Vision-v0"))


def test_what_an_environment_does_not_provide_is_none() -> None:
    env = make_environment(EnvironmentSpec("Test/Plain-v0"))
    assert optional(env, "solve") is None
    assert optional(env, "size") == 3


def test_a_lent_environment_is_not_lent_again_until_it_is_back() -> None:
    pool = EnvironmentPool(EnvironmentSpec("Test/Plain-v0"))
    first, second = pool.take(), pool.take()
    assert first is not second
    pool.give_back(first)
    assert pool.take() is first


def test_asking_for_optional_parts_works_while_every_environment_is_lent() -> None:
    pool = EnvironmentPool(EnvironmentSpec("Test/Plain-v0"))
    lent = pool.take()
    assert pool.sample is not lent
    assert pool.sample is pool.take()


def test_a_module_that_cannot_be_imported_is_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"modules: 'no_such_module_xyz' cannot be imported .*gymnasium\.register"):
        import_modules(["no_such_module_xyz"])


def test_modules_are_imported_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "registers_one_xyz.py").write_text("order = ['one']")
    (tmp_path / "registers_two_xyz.py").write_text("import sys\nsys.modules['registers_one_xyz'].order.append('two')")
    import_modules(["registers_one_xyz", "registers_two_xyz"])
    assert sys.modules["registers_one_xyz"].order == ["one", "two"]


def test_an_exception_in_a_users_module_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "fails_xyz.py").write_text("\n1 / 0")
    with pytest.raises(ConfigError, match=r"'fails_xyz' cannot be imported: ZeroDivisionError: .*fails_xyz\.py:2"):
        import_modules(["fails_xyz"])


def test_a_pool_closes_what_it_holds(pool_of: Callable[..., EnvironmentPool]) -> None:
    pool = pool_of(lambda seed, task: [])
    env = pool.sample
    pool.close()
    assert env.closed  # type: ignore[attr-defined]
