"""What can go wrong in the trainer, and whose fault it is.

AgentError
├── ConfigError        the recipe or an option: nothing has run yet
├── CheckpointError    a model folder or a saved state cannot be read or written
├── ObservationError   an environment returned what its contract does not allow; the run stops
├── EnvironmentFault   an environment raised; the run stops
├── RewardFault        a term of the reward raised, or gave something that is not a finite number; the run stops
├── AlgorithmFault     an advantage estimator or a policy loss raised, or returned what its contract does not allow
├── OutageError        the infrastructure is down: too many episodes failed, or what is needed before them
├── ContextOverflow    a chat server's context is too short for a conversation: the episode is cut
├── MismatchError      sampler and trainer disagree about a token's log-probability
├── ProcessLostError   another process of the run is gone
├── ResidencyError     something is on the device in a phase that is not its own
├── DeviceMemoryError  the device's memory is full; the message says who holds what
└── RunDirectoryError  the run directory belongs to another configuration or is in use
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class AgentError(Exception):
    """Base of all errors whose message is meant for the person who started the run."""


class ConfigError(AgentError):
    """A recipe or an option is not acceptable. The message names the field and what is allowed."""


def at_least(*options: tuple[str, float, float]) -> None:
    """Options as (name, value, smallest allowed). Raises ConfigError for the first that is smaller, or no number."""
    for name, value, least in options:
        if not value >= least:
            raise ConfigError(f"{name}: must be at least {least}, got {value}")


class CheckpointError(AgentError):
    """A checkpoint folder is incomplete, of another family, or cannot be written."""


class ObservationError(AgentError):
    """An environment returned something outside its contract: the fault of its author."""


class EnvironmentFault(AgentError):
    """An environment raised an exception: the fault of its author."""


class RewardFault(AgentError):
    """A term that the recipe adds to the reward failed: the fault of its author."""


class AlgorithmFault(AgentError):
    """An advantage estimator or a policy loss failed: the fault of its author."""


class OutageError(AgentError):
    """The infrastructure behind an environment is down: nobody's fault here. The same command goes on once it is up."""

    infrastructure_failure: ClassVar[bool] = True


def is_outage(error: BaseException) -> bool:
    """Whether the infrastructure is to blame: sandboxes and services mark their own failures, whoever wrote them."""
    return bool(getattr(error, "infrastructure_failure", False))


@contextmanager
def outages_told(what: str) -> Iterator[None]:
    """Outside of episodes, which can be dropped, a failure of the infrastructure ends the command: an OutageError."""
    try:
        yield
    except Exception as error:
        if isinstance(error, AgentError) or not is_outage(error):
            raise
        told = f"{what}: {type(error).__name__}: {error}. Once the service works, give the same command"
        raise OutageError(told) from error


class ContextOverflow(AgentError):
    """A conversation and what may be answered do not fit into a chat server's context. The server is well, and so is
    whoever asked: the episode has used up its budget."""


class MismatchError(AgentError):
    """The sampler's and the trainer's log-probabilities differ by more than the bound."""


class ProcessLostError(AgentError):
    """Another process of the run is gone, and this one cannot go on without it."""


class ResidencyError(AgentError):
    """An owner of memory is on the device in a phase in which it may not be there."""


class DeviceMemoryError(AgentError):
    """The device ran out of memory."""


class RunDirectoryError(AgentError):
    """The run directory holds a run of another configuration, or another process uses it."""
