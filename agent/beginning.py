"""What a run begins from: the environments that its recipe names, and a checkpoint folder, given or made."""

from __future__ import annotations

from pathlib import Path

from .config import Config
from .errors import CheckpointError, ConfigError, outages_told
from .model.tiny import make_tiny_vlm
from .rollout.environments import EnvironmentSpec, make_environment, optional
from .seeds import derive_seed

TOKENIZER_TEXTS = 600


def environment_spec(config: Config, split: str) -> EnvironmentSpec:
    """The environment of a split: the shared arguments, then the split's own.

    An environment that has only the required parts takes no `split` argument: the default of each split is then left
    out, and training and evaluation differ by their seeds alone.
    """
    env = config.env
    own = {"train": env.train, "validation": env.validation, "test": env.test}[split]
    if own == {"split": split} and not _accepts_split(EnvironmentSpec(env.id, env.kwargs)):
        own = {}
    return EnvironmentSpec(env.id, {**env.kwargs, **own})


def _accepts_split(spec: EnvironmentSpec) -> bool:
    env = make_environment(spec)
    env.close()
    return optional(env, "num_tasks") is not None or optional(env, "split") is not None


def model_folder(config: Config, folder: Path) -> Path:
    """The folder that a recipe names, or one made for it in the run's folder.

    Raises:
        CheckpointError: it cannot be written.
        ConfigError: a composed model without its parts.
    """
    if config.model.path not in ("tiny", "composed"):
        return Path(config.model.path)
    made = folder / "initial_model"
    if config.model.path == "composed":
        return _composed(config, made)
    if not (made / "preprocessor_config.json").exists():
        texts = tokenizer_texts(config)
        try:
            make_tiny_vlm(made, texts, derive_seed(config.run.seed, "tiny model"), config.model.tiny)
        except Exception as error:  # safetensors reports a full disk as its own exception
            raise CheckpointError(
                f"the tiny model could not be made in {made}: {error}; free some space or change model.tiny"
            ) from error
    return made


def _composed(config: Config, made: Path) -> Path:
    if config.model.composed is None:
        raise ConfigError("model.path: composed needs model.composed: {vision: FOLDER, language: FOLDER}")
    if not (made / "preprocessor_config.json").exists():
        from .model.compose import compose

        made.mkdir(parents=True, exist_ok=True)
        compose(config.model.composed, made, derive_seed(config.run.seed, "composed model") % 2**31)
    return made


def tokenizer_texts(config: Config) -> list[str]:
    """Material for the tiny model's tokenizer: what the environment says and what its expert answers."""
    kinds = [source.kwargs for source in config.cold_start.sources] or [{}]
    texts: list[str] = []
    for kwargs in kinds:
        spec = environment_spec(config, "train")
        env = make_environment(EnvironmentSpec(spec.id, {**spec.kwargs, **kwargs}))
        with outages_told(f"{spec.id}, played for the tiny model's tokenizer"):
            for index in range(TOKENIZER_TEXTS // len(kinds)):
                observation, _ = env.reset(seed=derive_seed(config.run.seed, "tokenizer", index))
                texts.append(str(observation["text"]))
                if optional(env, "solve") is None:
                    continue
                script = list(map(str, optional(env, "solve")()))
                texts += script
                # What is answered to the expert, but for the last word, which nobody reads.
                texts += [str(env.step(action)[0]["text"]) for action in script[:-1]]
        env.close()
    return texts
