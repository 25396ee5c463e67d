"""The checks that conftest turns on are on."""

import warnings

import jaxtyping
import pytest
import torch

from agent.objective import kl


def test_a_tensor_of_another_shape_is_refused() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="reference"):
        kl.k2(torch.zeros(2, 3), torch.zeros(2, 1))


@pytest.mark.parametrize("module", ["envs", "agent", "envs.core.tasks", "agent.model"])
def test_a_warning_from_our_own_code_is_an_error(module: str) -> None:
    with pytest.raises(UserWarning, match="ours"):
        warnings.warn_explicit("ours", UserWarning, filename=__file__, lineno=1, module=module)


@pytest.mark.parametrize("module", ["agents", "torch.nn", "my.envs"])
def test_a_warning_from_elsewhere_is_not(module: str) -> None:
    with pytest.warns(UserWarning, match="theirs"):
        warnings.warn_explicit("theirs", UserWarning, filename=__file__, lineno=2, module=module)
