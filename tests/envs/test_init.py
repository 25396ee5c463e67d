"""The catalogue."""

import subprocess
import sys
import warnings

import gymnasium
import pytest

import envs
from envs.commands.samples import prepared


@pytest.mark.parametrize("env_id", list(envs.CATALOGUE))
def test_every_id_is_made_with_and_without_the_module_prefix(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for spelling in (env_id, f"envs:{env_id}"):
            with prepared(spelling, {}) as made:
                env = gymnasium.make(spelling, **made.kwargs)
                env.reset(seed=0)
                env.step("<think>a</think><answer>1</answer>")
                env.close()


def test_no_time_limit_or_other_wrapper_changes_an_episode() -> None:
    env = gymnasium.make("RLLaVA/Counting-v0", disable_env_checker=True)
    names = []
    while env is not env.unwrapped:
        names.append(type(env).__name__)
        env = env.env
    assert names == ["OrderEnforcing"]


def test_importing_the_catalogue_loads_no_environment() -> None:
    code = "import sys, envs; print([m for m in sys.modules if m.startswith('envs.') or m in ('PIL', 'torch')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
