"""Every exception that this package raises on purpose.

    SandboxError
    ├── RequestError  (ValueError)    limits, file names or a sandbox's name are not allowed: the caller's mistake
    ├── Unavailable   (RuntimeError)  this kind of sandbox cannot be had here; the message says what can
    └── InfrastructureError (RuntimeError)  the sandbox failed, and the program's result is unknown
        ├── Lost                      the worker died, could not be started, or does not answer
        │   └── Stalled               the program was ready to run and was not run: the machine is starved
        └── QueueTimeout              no lane became free in time

What a program does wrong is none of these: it is an `ExecResult`. An `InfrastructureError` carries
`infrastructure_failure = True`, by which a trainer that knows nothing of this package drops the episode and counts it.
"""

from typing import ClassVar


class SandboxError(Exception):
    """The root: catches everything that this package raises on purpose."""

    infrastructure_failure: ClassVar[bool] = False


class RequestError(SandboxError, ValueError):
    """A request that no sandbox may take. The message names the field, what came and what is allowed."""


class Unavailable(SandboxError, RuntimeError):
    """This kind of sandbox cannot be had here. Nothing else is taken in its place; the caller must choose."""


class InfrastructureError(SandboxError, RuntimeError):
    """The sandbox failed, not the program. Nothing is known of what the program would have done."""

    infrastructure_failure: ClassVar[bool] = True


class Lost(InfrastructureError):
    """The worker died, could not be started, or does not answer."""


class Stalled(Lost):
    """The time ran out while the program was ready to run and was not run."""


class QueueTimeout(InfrastructureError):
    """No lane became free within the time that a caller may wait."""
