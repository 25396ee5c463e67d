"""Who raised: an exception in a user's function becomes one that names the function and the line."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .errors import AgentError, AlgorithmFault


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Turn whatever is raised inside into an `AlgorithmFault` of `what`, with the last line that was reached."""
    try:
        yield
    except AgentError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise AlgorithmFault(
            f"{what} raised {type(error).__name__}: {error} ({last.filename}, line {last.lineno})"
        ) from error


def name_of(function: Callable[..., Any]) -> str:
    """How messages call a function."""
    return str(getattr(function, "__name__", repr(function)))
