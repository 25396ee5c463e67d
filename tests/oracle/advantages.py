"""Advantages once more, in plain Python loops over lists, each as its equation is written."""

import math
from collections.abc import Sequence

EPSILON = 1e-6

Numbers = Sequence[float]
Matrix = Sequence[Sequence[float]]
Flags = Sequence[bool]


def siblings_of(index: int, groups: Sequence[int], valid: Flags) -> list[int]:
    """Valid trajectories of the same group, the trajectory itself among them if it is valid."""
    return [i for i, group in enumerate(groups) if valid[i] and group == groups[index]]


def mean(numbers: Numbers) -> float:
    return math.fsum(numbers) / len(numbers)


def deviation(numbers: Numbers) -> float:
    """Of a sample: divisor n - 1."""
    centre = mean(numbers)
    return math.sqrt(math.fsum((x - centre) ** 2 for x in numbers) / (len(numbers) - 1))


def all_equal(numbers: Numbers) -> bool:
    return all(x == numbers[0] for x in numbers)


def grpo(scores: Numbers, groups: Sequence[int], valid: Flags, scale: str = "group") -> list[float]:
    advantages = []
    for i in range(len(scores)):
        group = [scores[j] for j in siblings_of(i, groups, valid)]
        if not valid[i] or len(group) < 2 or all_equal(group):
            advantages.append(0.0)
        elif scale == "group":
            advantages.append((scores[i] - mean(group)) / (deviation(group) + EPSILON))
        elif scale == "batch":
            batch = [s for s, v in zip(scores, valid, strict=True) if v]
            advantages.append((scores[i] - mean(group)) / (deviation(batch) + EPSILON))
        else:
            advantages.append(scores[i] - mean(group))
    return advantages


def dr_grpo(scores: Numbers, groups: Sequence[int], valid: Flags) -> list[float]:
    return grpo(scores, groups, valid, "none")


def rloo(scores: Numbers, groups: Sequence[int], valid: Flags) -> list[float]:
    advantages = []
    for i in range(len(scores)):
        others = [scores[j] for j in siblings_of(i, groups, valid) if j != i]
        advantages.append(scores[i] - mean(others) if valid[i] and others else 0.0)
    return advantages


def opo(scores: Numbers, groups: Sequence[int], valid: Flags, lengths: Sequence[int]) -> list[float]:
    advantages = []
    for i in range(len(scores)):
        group = siblings_of(i, groups, valid)
        tokens = sum(lengths[j] for j in group)
        if not valid[i] or tokens == 0 or all_equal([scores[j] for j in group]):
            advantages.append(0.0)
        else:
            advantages.append(scores[i] - math.fsum(lengths[j] * scores[j] for j in group) / tokens)
    return advantages


def gpg(scores: Numbers, groups: Sequence[int], valid: Flags) -> list[float]:
    batch = without_gradient = 0
    for i in range(len(scores)):
        if valid[i]:
            batch += 1
            without_gradient += all_equal([scores[j] for j in siblings_of(i, groups, valid)])
    if batch == without_gradient:
        return [0.0] * len(scores)
    return [a * batch / (batch - without_gradient) for a in dr_grpo(scores, groups, valid)]


def whitened(numbers: Numbers) -> list[float]:
    if not numbers or all_equal(numbers):
        return [0.0] * len(numbers)
    centre, spread = mean(numbers), deviation(numbers)
    return [(x - centre) / (spread + EPSILON) for x in numbers]


def reinforce_pp(rewards: Matrix, mask: Sequence[Flags], valid: Flags, discount: float = 1.0) -> list[list[float]]:
    sums: dict[tuple[int, int], float] = {}
    for i, places in enumerate(places_of(mask, valid)):
        for k, t in enumerate(places):
            sums[i, t] = math.fsum(discount**m * rewards[i][later] for m, later in enumerate(places[k:]))
    return spread(dict(zip(sums, whitened(list(sums.values())), strict=True)), mask)


def reinforce_pp_baseline(scores: Numbers, groups: Sequence[int], valid: Flags, lengths: Sequence[int]) -> list[float]:
    """With one entry a token in the lists that are averaged."""
    compared = [valid[i] and len(siblings_of(i, groups, valid)) > 1 for i in range(len(scores))]
    centred = dr_grpo(scores, groups, valid)
    tokens = [c for c, kept, length in zip(centred, compared, lengths, strict=True) if kept for _ in range(length)]
    if not tokens or all_equal(tokens):
        return [0.0] * len(scores)
    centre, spread = mean(tokens), deviation(tokens)
    return [(c - centre) / (spread + EPSILON) if kept else 0.0 for c, kept in zip(centred, compared, strict=True)]


def remax(scores: Numbers, greedy_scores: Numbers, valid: Flags) -> list[float]:
    return [s - g if v else 0.0 for s, g, v in zip(scores, greedy_scores, valid, strict=True)]


def steps_advantages(rewards: Numbers, values: Numbers, last: float, discount: float, gae_lambda: float) -> list[float]:
    """The sum of the equation, term by term."""
    following = [*values, last][1:]
    errors = [r + discount * f - v for r, f, v in zip(rewards, following, values, strict=True)]
    return [
        math.fsum((discount * gae_lambda) ** k * error for k, error in enumerate(errors[t:]))
        for t in range(len(errors))
    ]


def gae(
    rewards: Matrix,
    values: Matrix,
    mask: Sequence[Flags],
    valid: Flags,
    truncated: Flags,
    final_values: Numbers,
    discount: float = 1.0,
    gae_lambda: float = 1.0,
    whiten: bool = True,
    bootstrap_truncated: bool = False,
) -> tuple[list[list[float]], list[list[float]], list[list[bool]]]:
    turns = [list(range(len(row))) for row in mask]
    return turn_gae(
        rewards, values, mask, turns, valid, truncated, final_values, discount, gae_lambda, whiten, bootstrap_truncated
    )


def turn_gae(
    rewards: Matrix,
    values: Matrix,
    mask: Sequence[Flags],
    turns: Sequence[Sequence[int]],
    valid: Flags,
    truncated: Flags,
    final_values: Numbers,
    discount: float = 1.0,
    gae_lambda: float = 1.0,
    whiten: bool = True,
    bootstrap_truncated: bool = False,
) -> tuple[list[list[float]], list[list[float]], list[list[bool]]]:
    """Over tokens if every token is a turn of its own."""
    advantages: dict[tuple[int, int], float] = {}
    returns: dict[tuple[int, int], float] = {}
    members: dict[tuple[int, int], list[int]] = {}
    for i, places in enumerate(places_of(mask, valid)):
        steps: list[list[int]] = []
        for t in places:
            if steps and turns[i][steps[-1][0]] == turns[i][t]:
                steps[-1].append(t)
            else:
                steps.append([t])
        gained = [math.fsum(rewards[i][t] for t in step) for step in steps]
        before = [values[i][step[0]] for step in steps]
        last = final_values[i] if bootstrap_truncated and truncated[i] else 0.0
        for step, value, advantage in zip(
            steps, before, steps_advantages(gained, before, last, discount, gae_lambda), strict=True
        ):
            advantages[i, step[0]], returns[i, step[0]] = advantage, advantage + value
            members[i, step[0]] = step
    if whiten:
        advantages = dict(zip(advantages, whitened(list(advantages.values())), strict=True))
    credit = {(i, t): advantages[i, first] for i, first in advantages for t in members[i, first]}
    valued = [[(i, t) in returns for t in range(len(row))] for i, row in enumerate(mask)]
    return spread(credit, mask), spread(returns, mask), valued


def places_of(mask: Sequence[Flags], valid: Flags) -> list[list[int]]:
    """Of each trajectory the tokens that count, in order."""
    return [[t for t, here in enumerate(row) if here and v] for row, v in zip(mask, valid, strict=True)]


def spread(entries: dict[tuple[int, int], float], mask: Sequence[Flags]) -> list[list[float]]:
    """The entries at their places in a matrix, 0 elsewhere."""
    return [[entries.get((i, t), 0.0) for t in range(len(row))] for i, row in enumerate(mask)]
