"""Every exception that this package raises on purpose.

    EnvError
    ├── ArgumentError           (ValueError)   a keyword argument or option is not allowed; raised at construction
    ├── EnvironmentAuthorError  (RuntimeError) an environment broke the contract: the run must stop
    ├── WorldNotFoundError      (RuntimeError) the arguments leave no world for the wanted split
    ├── EpisodeOrderError       (gymnasium.error.ResetNeeded) step() before reset() or after the end
    ├── ImageError              (ValueError)   bytes that are not an acceptable picture
    ├── DatasetError            (ValueError)   published data are missing or malformed
    ├── MissingExtraError       (ImportError)  an optional library is not installed
    ├── ComputerAlgebraError    (RuntimeError) the process that compares answers failed, and no answer is to blame
    └── ServerLostError         (RuntimeError) an OpenEnv server is lost (in envs.openenv); an infrastructure failure

What a policy does wrong is none of these: it is an observation, and the episode goes on.
"""

from gymnasium.error import ResetNeeded


class EnvError(Exception):
    """The root: catches everything that this package raises on purpose."""


class ArgumentError(EnvError, ValueError):
    """A keyword argument or a reset option is not allowed. The message names it, what came and what is allowed."""


class EnvironmentAuthorError(EnvError, RuntimeError):
    """An environment returned something that its contract forbids. The message names the environment."""


class WorldNotFoundError(EnvError, RuntimeError):
    """No world could be drawn: the arguments leave too few worlds, or ask for too much in too little room."""


class EpisodeOrderError(EnvError, ResetNeeded):
    """step() was called before reset(), or after the episode had ended."""


class ImageError(EnvError, ValueError):
    """Bytes are not a picture that may be shown: corrupt, truncated, too large, or of another format."""


class DatasetError(EnvError, ValueError):
    """Published data are missing (the message says what to fetch and where to put it) or malformed (it names the file,
    the row, counted from 1, and the field)."""


class MissingExtraError(EnvError, ImportError):
    """An optional library is needed and not installed. The message says which extra brings it."""


class ComputerAlgebraError(EnvError, RuntimeError):
    """The process that compares answers as mathematics could not be started, or was stopped from outside. It says
    nothing about an answer."""
