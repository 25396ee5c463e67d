"""What can go wrong in the trainer, and whose fault it is.

AgentError
├── ConfigError        the recipe or an option: nothing has run yet
├── CheckpointError    a model folder or a saved state cannot be read or written
├── ObservationError   an environment returned what its contract does not allow; the run stops
├── EnvironmentFault   an environment raised; the run stops
├── RewardFault        a term of the reward raised, or gave something that is not a finite number; the run stops
├── AlgorithmFault     an advantage estimator or a policy loss raised, or returned what its contract does not allow
├── OutageError        too many episodes failed at the infrastructure, or an environment could not be made for it
├── MismatchError      sampler and trainer disagree about a token's log-probability
└── RunDirectoryError  the run directory belongs to another configuration or is in use
"""

from __future__ import annotations

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


class MismatchError(AgentError):
    """The sampler's and the trainer's log-probabilities differ by more than the bound."""


class RunDirectoryError(AgentError):
    """The run directory holds a run of another configuration, or another process uses it."""
