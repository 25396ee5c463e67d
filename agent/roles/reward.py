"""The Reward: what each trajectory is worth to the objective.

The environment's return, plus named terms, each weighted and logged by itself:

    length    action tokens of the episode
    format    1 if the text of every action matches a pattern (option `pattern`, a regular expression), else 0
    info      a number that the environment tells in `info["rewards"]` (option `key`)
    model     a reward model in Hugging Face format, on the episode's text (option `path`)
    package.module:function     a function of (trajectory, texts of its actions), with the term's other options
"""

from __future__ import annotations

import importlib
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import CheckpointError, ConfigError, RewardFault
from ..seeds import generator
from ..types import Trajectory

Score: TypeAlias = "Callable[..., float]"  # (trajectory, texts of its actions, **options) -> a number
MODEL_TOKENS = 4096


@dataclass(frozen=True, eq=False)
class Term:
    """A named addition to the reward: `weight` times what `score` says of a trajectory."""

    name: str
    weight: float
    score: Score
    options: Mapping[str, Any]


def make_terms(given: Mapping[str, Mapping[str, Any]]) -> tuple[Term, ...]:
    """Terms from a recipe's `reward.terms`.

    Raises:
        ConfigError: a weight that is not a number, an unknown kind or option.
        CheckpointError: a reward model that cannot be loaded.
    """
    return tuple(_term(name, dict(fields)) for name, fields in given.items())


def scores_and_validity(
    trajectories: Sequence[Trajectory],
) -> tuple[Float[Tensor, " trajectories"], Bool[Tensor, " trajectories"]]:
    """The environments' returns (0 where there is none) and which trajectories count."""
    scores = torch.tensor([0.0 if t.outcome.score is None else t.outcome.score for t in trajectories])
    return scores, torch.tensor([t.valid for t in trajectories], dtype=torch.bool)


def term_scores(
    terms: Sequence[Term], trajectories: Sequence[Trajectory], decode: Callable[[Sequence[int]], str]
) -> dict[str, Float[Tensor, " trajectories"]]:
    """What each term adds to each trajectory, its weight included; 0 for those that do not count.

    Raises:
        RewardFault: a term gave something that is not a finite number; the message names term, task and seed.
    """
    texts = [[decode(action.token_ids) for action in t.actions] if terms else [] for t in trajectories]
    return {
        term.name: torch.tensor(
            [_scored(term, t, text) if t.valid else 0.0 for t, text in zip(trajectories, texts, strict=True)]
        )
        for term in terms
    }


def shuffled(
    scores: Float[Tensor, " trajectories"], valid: Bool[Tensor, " trajectories"], seed: int, step: int
) -> Float[Tensor, " trajectories"]:
    """A control: the same scores in another order, so that they tell nothing about the trajectories they stand at.

    Only valid trajectories exchange scores: what stands at a broken one is not a reward.
    """
    places = valid.nonzero()[:, 0]
    order = torch.from_numpy(generator(seed, "shuffled rewards", step).permutation(len(places)))
    return scores.index_put((places,), scores[places[order]])


def _scored(term: Term, trajectory: Trajectory, texts: Sequence[str]) -> float:
    where = f"reward.terms.{term.name} on task {trajectory.task} of {trajectory.env_id}, seed {trajectory.seed}"
    try:
        value = float(term.score(trajectory, texts, **term.options))
    except Exception as error:
        raise RewardFault(f"{where}: {type(error).__name__}: {error}") from error
    if not math.isfinite(value):
        raise RewardFault(f"{where}: must be a finite number, got {value}. The episode said {' | '.join(texts)!r:.300}")
    return term.weight * value


def _length(trajectory: Trajectory, texts: Sequence[str]) -> float:
    return float(trajectory.action_count)


def _format(trajectory: Trajectory, texts: Sequence[str], *, pattern: str) -> float:
    return float(bool(texts) and all(re.fullmatch(pattern, text, re.DOTALL) for text in texts))


def _info(trajectory: Trajectory, texts: Sequence[str], *, key: str) -> float:
    if key not in trajectory.rewards:
        raise KeyError(f"the environment tells no reward {key!r}; it tells {sorted(trajectory.rewards)}")
    return float(trajectory.rewards[key])


KINDS: dict[str, Score] = {"length": _length, "format": _format, "info": _info}


def _term(name: str, fields: dict[str, Any]) -> Term:
    where = f"reward.terms.{name}"
    kind, weight = fields.pop("kind", name), fields.pop("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
        raise ConfigError(f"{where}.weight: must be a finite number, got {weight!r}")
    if kind == "model":
        return Term(name, float(weight), _model(where, fields), {})
    score = KINDS.get(kind) or _imported(where, str(kind))
    given = dict(inspect.signature(score).parameters)
    options = {key for key, parameter in given.items() if parameter.kind is parameter.KEYWORD_ONLY}
    if unknown := set(fields) - options:
        raise ConfigError(f"{where}: no option {sorted(unknown)[0]!r}; {kind} takes {sorted(options) or 'none'}")
    missing = {k for k in options if given[k].default is inspect.Parameter.empty} - set(fields)
    if missing:
        raise ConfigError(f"{where}: needs {sorted(missing)[0]!r}")
    if kind == "format":
        try:
            re.compile(fields["pattern"])
        except (re.error, TypeError) as error:
            raise ConfigError(f"{where}.pattern: not a regular expression: {error}") from error
    return Term(name, float(weight), score, fields)


def _imported(where: str, path: str) -> Score:
    module, _, attribute = path.partition(":")
    if not attribute:
        raise ConfigError(
            f"{where}.kind: there is no {path!r}; there are {', '.join([*KINDS, 'model'])}, and your own function as "
            '"package.module:function"'
        )
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}.kind: {path!r} cannot be imported: {error}") from error
    if not callable(function):
        raise ConfigError(f"{where}.kind: {path!r} is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]


def _model(where: str, fields: dict[str, Any]) -> Score:
    """A sequence classifier with one output, on the episode's actions, one after the other."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    path = fields.pop("path", None)
    if fields or not isinstance(path, str):
        raise ConfigError(
            f"{where}: kind model takes `path`, a folder in Hugging Face's format; got {fields or path!r}"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(path, local_files_only=True).eval()
    except Exception as error:
        raise CheckpointError(f"{where}.path: {path} cannot be loaded as a reward model: {error}") from error
    if model.config.num_labels != 1:
        raise CheckpointError(f"{where}.path: a reward model has one output, {path} has {model.config.num_labels}")

    @torch.no_grad()
    def score(trajectory: Trajectory, texts: Sequence[str]) -> float:
        inputs = tokenizer("\n".join(texts), return_tensors="pt", truncation=True, max_length=MODEL_TOKENS)
        return float(model(**inputs).logits[0, 0])

    return score
