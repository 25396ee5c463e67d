"""The pictures of a row: as they are given, or as the environment shows them first."""

from __future__ import annotations

import re

from ..config import Config
from ..errors import AgentError, ConfigError
from ..rollout.environments import EnvironmentSpec, import_modules, make_environment

Pictures = tuple[tuple[int, int], ...]
UNKNOWN: Pictures = ((448, 448),)


def read_pictures(text: str) -> Pictures:
    """(height, width) of "448x448,224x336"; "none" for no picture.

    Raises:
        ConfigError: it is neither.
    """
    if text == "none":
        return ()
    sizes = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([1-9]\d{0,4})x([1-9]\d{0,4})\s*", part)
        if not found:
            raise ConfigError(
                f"--pictures: expected none or sizes of height x width in pixels, such as 448x448,224x336, got {text!r}"
            )
        sizes.append((int(found[1]), int(found[2])))
    return tuple(sizes)


def pictures_of(config: Config) -> tuple[Pictures, str]:
    """Sizes of the pictures of the environment's first observation in training, and where they are from.

    An environment that cannot be played here (its data or its tools are elsewhere) is taken to show one of 448 x 448.
    """
    # How the model writes boxes changes no picture, and the model need not be there.
    kwargs = {k: v for k, v in {**config.env.kwargs, **config.env.train}.items() if v != "auto"}
    import_modules(config.modules)
    for arguments in (kwargs, {k: v for k, v in kwargs.items() if k not in config.env.train}):
        try:
            env = make_environment(EnvironmentSpec(config.env.id, arguments))
        except AgentError:
            continue
        try:
            observation, _ = env.reset(seed=0)
            shown = tuple((int(image.shape[0]), int(image.shape[1])) for image in observation["images"])
        except Exception:  # whatever keeps an environment from being played, a plan can do without
            break
        finally:
            env.close()
        return shown, "of the environment's first observation"
    return UNKNOWN, "assumed, since the environment cannot be played here; --pictures says otherwise"
