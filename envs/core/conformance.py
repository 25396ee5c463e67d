"""The contract of an environment, as checks that can fail.

`check_env` works on any Gymnasium environment whose observation is `{"text": str, "images": tuple of uint8 (H, W, 3)}`
and whose action is a str, whoever wrote it. The two spaces and `reset(seed)` are required; whatever else is absent is
reported as "not provided" and breaks no law.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from itertools import combinations, repeat
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.utils.env_checker import data_equivalence

from .elsewhere import fingerprints, fingerprints_elsewhere
from .garbage import GARBAGE
from .report import Entry, Report
from .subject import BrokenLawError, NotProvidedError, Subject, hold
from .tasks import SPLITS

SEEDS = range(12)  # per law that plays episodes; a flaw in one world of four is missed in 3% of checks
SPLIT_SEEDS = 32
BASELINES = ("constant", "random", "blind")
SLOW = 10.0  # seconds of processor time for one step


def check_env(env: str | gymnasium.Env[Any, Any], **kwargs: Any) -> Report:
    """Check every law on an environment, given as an id (with keyword arguments) or as an object.

    Nothing raises: an exception inside the environment is a failed law with the exception as its message. An unknown
    id raises what `gymnasium.make` raises.
    """
    made = gymnasium.make(env, disable_env_checker=True, **kwargs) if isinstance(env, str) else env
    subject = Subject(made, made.spec)
    name = made.spec.id if made.spec is not None else type(made.unwrapped).__name__
    try:
        entries = tuple(_examine(law, check, subject) for law, check in LAWS.items())
    finally:
        if isinstance(env, str):
            made.close()
    return Report(name, dict(made.spec.kwargs) if made.spec is not None else {}, entries)


def _examine(law: str, check: Callable[[Subject], str], subject: Subject) -> Entry:
    try:
        return Entry(law, "passed", check(subject))
    except NotProvidedError as absent:
        return Entry(law, "not provided", str(absent))
    except BrokenLawError as broken:
        message = str(broken)
    except Exception as error:  # whatever the environment raises is the finding
        message = f"{type(error).__name__}: {error}"
    # A message may quote garbage; it must be fit to be printed.
    return Entry(law, "failed", message.encode("utf-8", "backslashreplace").decode())


def _spaces(subject: Subject) -> str:
    space, env = subject.env.observation_space, subject.env
    hold(
        isinstance(space, gymnasium.spaces.Dict) and set(space) == {"text", "images"},
        f'observation_space must be a Dict of exactly "text" and "images"; it is {space}',
    )
    for text in ("", "<think>a</think><answer>\U0001f9ee 4</answer>"):
        hold(env.action_space.contains(text), f"action_space {env.action_space} does not contain {text!r}")
    observation, _ = env.reset(seed=0)
    subject.look(observation)
    hold(isinstance(observation["text"], str), f"text must be a str; it is {type(observation['text']).__name__}")
    hold(isinstance(observation["images"], tuple), "images must be a tuple of arrays")
    for picture in observation["images"]:
        fits = isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3
        hold(fits and picture.shape[2] == 3, f"a picture must be uint8 (H, W, 3); one is {np.asarray(picture).shape}")
    return "text and pictures in, text out"


def _gymnasium(subject: Subject) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gymnasium_check(subject.env.unwrapped, skip_render_check=subject.spec is None)
    hold(not caught, f"Gymnasium's check warns: {caught[0].message if caught else None}")
    return "Gymnasium's own check, without a warning"


def _same_seed(subject: Subject) -> str:
    first, again = fingerprints(subject.env, list(SEEDS)), fingerprints(subject.env, list(SEEDS))
    wrong = [seed for seed, a, b in zip(SEEDS, first, again, strict=True) if a != b]
    hold(not wrong, f"reset(seed={(wrong or [0])[0]}) showed two different things")
    hold(len(set(first)) > 1, f"{len(first)} different seeds all showed the same: reset ignores its seed")
    return f"{len(SEEDS)} seeds, each twice: the same text and pixels"


def _elsewhere(subject: Subject) -> str:
    if subject.spec is None or not isinstance(subject.spec.entry_point, str):
        raise NotProvidedError("it has no registered id with an entry point that another process could load")
    here = fingerprints(subject.env, list(SEEDS))
    there, features = fingerprints_elsewhere(subject.spec, list(SEEDS))
    wrong = [seed for seed, a, b in zip(SEEDS, here, there, strict=True) if a != b]
    hold(not wrong, f"reset(seed={(wrong or [0])[0]}) shows other text or pixels in a process without {features}")
    return f"the same text and pixels in a process without {', '.join(features) or 'any change: nothing to switch off'}"


def _gold(subject: Subject) -> str:
    subject.part("solve")
    for seed in SEEDS:
        subject.env.reset(seed=seed)
        actions = subject.env.unwrapped.solve()  # type: ignore[attr-defined]
        episode = subject.play(actions, seed)
        hold(episode.terminated, f"solve() with seed {seed} does not end the episode: {actions!r:.200}")
        hold(
            abs(episode.score - 1.0) < 1e-9, f"solve() with seed {seed} scores {episode.score}, not 1: {actions!r:.200}"
        )
    return f"{len(SEEDS)} gold answers score 1"


def _nothing(subject: Subject) -> str:
    for seed in SEEDS:
        score = subject.play(repeat(""), seed).score
        hold(score == 0.0, f"saying nothing with seed {seed} scores {score}, not 0")
    return f"{len(SEEDS)} episodes of saying nothing score 0"


def _garbage(subject: Subject) -> str:
    for name, text in GARBAGE.items():
        start = time.process_time()  # a busy machine is nobody's fault
        try:
            episode = subject.play(repeat(text), 0)
        except Exception as error:
            raise BrokenLawError(f"{name}: {type(error).__name__}: {error!s:.300}") from error
        took = (time.process_time() - start) / len(episode.rewards)
        hold(took < SLOW, f"{name}: one step took {took:.1f} s, allowed are {SLOW:g}")
    return f"{len(GARBAGE)} kinds of garbage survived"


def _replay(subject: Subject) -> str:
    texts = ["", "no tags", "<think>a</think><answer>1</answer>", "<answer>2", "<think>b</think><answer>x</answer>"]
    for seed in SEEDS:
        actions = [texts[(seed + turn) % len(texts)] for turn in range(len(texts))]
        first, again = subject.play(actions, seed), subject.play(actions, seed)
        same = (first.seen, first.rewards, first.terminated, first.truncated) == (
            again.seen,
            again.rewards,
            again.terminated,
            again.truncated,
        )
        hold(same and data_equivalence(first.info, again.info, exact=True), f"a replay with seed {seed} went otherwise")
    return f"{len(SEEDS)} episodes replayed without a difference"


def _splits(subject: Subject) -> str:
    subject.part("split")
    worlds: dict[str, set[str]] = {}
    splits = getattr(subject.env.unwrapped, "splits", SPLITS)
    for split in splits:
        env = subject.make(split=split)
        seen = worlds.setdefault(split, set())
        for seed in range(SPLIT_SEEDS):
            observation, info = env.reset(seed=seed)
            # What is shown counts too: an environment that names its worlds wrongly must not pass.
            seen |= {subject.look(observation), str(info.get("world", subject.look(observation)))}
        env.close()
    for one, other in combinations(splits, 2):
        shared = worlds[one] & worlds[other]
        hold(not shared, f"{one} and {other} share {len(shared)} of {SPLIT_SEEDS} worlds")
    return f"no world of {SPLIT_SEEDS} in two of {', '.join(splits)}"


def _tasks(subject: Subject) -> str:
    num_tasks, env = subject.part("num_tasks"), subject.env
    split = subject.part("split")
    count = num_tasks(split)
    hold(isinstance(count, int) and count > 0, f"num_tasks({split!r}) must be a positive int; it is {count!r}")
    seen = []
    for index in sorted({0, 1, 2, count // 2, count - 1} & set(range(count))):
        a, b = (env.reset(seed=seed, options={"task": index})[0] for seed in (3, 4))
        hold(subject.look(a) == subject.look(b), f'reset(options={{"task": {index}}}) depends on the seed')
        seen.append(subject.look(a))
    hold(len(set(seen)) > 1 or count == 1, f"tasks of {split!r} all show the same")
    try:
        env.reset(options={"task": count})
    except ValueError:
        return f"{count} tasks of {split!r}, each reached by its number whatever the seed"
    raise BrokenLawError(f'reset(options={{"task": {count}}}) must raise ValueError: the split has {count} tasks')


def _rewards(subject: Subject) -> str:
    rewards = subject.play(repeat("<think>a</think><answer>1</answer>"), 0).info.get("rewards")
    if rewards is None:
        raise NotProvidedError('it has no info["rewards"]')
    for name, value in rewards.items():
        hold(isinstance(value, float) and math.isfinite(value), f"rewards[{name!r}] is {value!r}, no finite float")
    return f"parts: {', '.join(rewards)}"


def _metrics(subject: Subject) -> str:
    primary = getattr(subject.env.unwrapped, "primary_metric", None)
    results = []
    for seed in SEEDS:
        info = subject.play(repeat("<think>a</think><answer>1</answer>"), seed).info
        if "metrics" not in info:
            raise NotProvidedError('it has no info["metrics"]')
        results.append(info["metrics"])
        for name, value in info["metrics"].items():
            hold(
                isinstance(value, (int, float)) and 0.0 <= value <= 1.0,
                f"metrics[{name!r}] is {value!r}, not in [0, 1]",
            )
    hold(primary in results[0], f"primary_metric is {primary!r}; the metrics are {', '.join(results[0])}")
    aggregate = getattr(subject.env.unwrapped, "aggregate", None)
    if aggregate is not None:
        total = aggregate(results, "strict")
        hold(primary in total and 0.0 <= total[primary] <= 1.0, f"aggregate() gives {total!r:.200} without {primary!r}")
    return f"{', '.join(results[0])} in [0, 1]; primary: {primary}"


def _tags(subject: Subject) -> str:
    tags = subject.play(repeat("<think>a</think><answer>1</answer>"), 0).info.get("tags")
    if tags is None:
        raise NotProvidedError('it has no info["tags"]')
    for name, value in tags.items():
        hold(
            isinstance(name, str) and isinstance(value, (str, int)), f"tags[{name!r}] is {value!r}; expected str or int"
        )
    return ", ".join(tags) or "none"


def _baselines(subject: Subject) -> str:
    baseline = subject.part("baseline")
    means = {}
    for name in BASELINES:
        rng, scores = np.random.default_rng(0), []
        for seed in SEEDS:
            subject.env.reset(seed=seed)
            action = baseline(name, rng)
            hold(isinstance(action, str), f"baseline({name!r}) must be a str; it is {type(action).__name__}")
            scores.append(subject.play(repeat(action), seed).score)
        means[name] = math.fsum(scores) / len(scores)
        hold(means[name] < 1.0, f"the baseline {name!r} scores the maximum: the task needs no skill")
    try:
        baseline("no such baseline", np.random.default_rng(0))
    except ValueError:
        return "mean reward: " + ", ".join(f"{name} {mean:.2f}" for name, mean in means.items())
    raise BrokenLawError("an unknown baseline must raise ValueError and name those there are")


# In this order they are checked and printed.
LAWS: dict[str, Callable[[Subject], str]] = {
    "spaces": _spaces,
    "gymnasium": _gymnasium,
    "same seed": _same_seed,
    "same elsewhere": _elsewhere,
    "replay": _replay,
    "gold answer": _gold,
    "nothing": _nothing,
    "garbage": _garbage,
    "rewards": _rewards,
    "metrics": _metrics,
    "tags": _tags,
    "splits": _splits,
    "tasks": _tasks,
    "baselines": _baselines,
}
