"""Samples: any environment of the catalogue can be made on any machine."""

from pathlib import Path

import gymnasium
import pytest

from envs import CATALOGUE
from envs.commands.samples import prepared


@pytest.mark.parametrize("env_id", list(CATALOGUE))
def test_every_environment_is_made_and_played_with_what_is_prepared(env_id: str) -> None:
    with prepared(env_id, {}) as made:
        assert made.sample == (CATALOGUE[env_id].sample is not None)
        env = gymnasium.make(env_id, disable_env_checker=True, **made.kwargs)
        env.reset(seed=0)
        env.step("<think>a</think><answer>1</answer>")
        env.close()


def test_the_sample_is_gone_afterwards() -> None:
    with prepared("RLLaVA/SuperCLEVR-v0", {}) as made:
        folder = Path(made.kwargs["data"])
        assert any(folder.iterdir())
    assert not folder.exists()


def test_data_that_are_named_are_used_and_arguments_win_over_the_catalogues() -> None:
    with prepared("RLLaVA/SuperCLEVR-v0", {"data": "somewhere"}) as made:
        assert (made.kwargs, made.sample) == ({"data": "somewhere"}, False)
    with prepared("RLLaVA/Coding-v0", {"sandbox": "docker"}) as made:
        assert made.kwargs["sandbox"] == "docker"
    with prepared("RLLaVA/Coding-v0", {}) as made:
        assert made.kwargs["sandbox"] == "local"
    with prepared("Someone/Else-v0", {"a": 1}) as made:
        assert (made.kwargs, made.sample) == ({"a": 1}, False)
