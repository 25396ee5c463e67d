"""Known illnesses of a run, told in plain words with what helps, once each until the run has recovered.

What is not here stops the run by itself: a reward that is not a number (`ObservationError`, `RewardFault`), sampler and
trainer that disagree (`MismatchError`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

ENTROPY_LEFT = 0.02  # of the entropy that the run began with
STEPS = 10  # in a row without anything to learn
FAR = 10.0  # nats a token from the reference: texts have little in common by then


class Watch:
    """Looks at the metrics of each step."""

    def __init__(self) -> None:
        self._entropy = 0.0
        self._idle = 0
        self._told: set[str] = set()

    def look(self, metrics: Mapping[str, float]) -> list[str]:
        """Warnings that are new with this step."""
        found = dict(self._ill(metrics))
        new = [words for name, words in found.items() if name not in self._told]
        self._told = set(found)
        return new

    def _ill(self, metrics: Mapping[str, float]) -> Iterator[tuple[str, str]]:
        entropy = metrics.get("entropy")
        if entropy is not None:
            self._entropy = self._entropy or entropy
            if entropy < ENTROPY_LEFT * self._entropy and metrics.get("zero_variance_groups", 0.0) > 0.5:
                yield (
                    "entropy",
                    f"entropy collapse: {entropy:.2g} nats a token are left of {self._entropy:.2g}, and most groups "
                    "answer alike. Try a smaller optimizer.lr, algorithm.entropy_coef=0.001, a larger clip_high "
                    "(algorithm.family=dapo), or a divergence (algorithm.divergence.coef=0.01)",
                )
        self._idle = self._idle + 1 if metrics.get("taught", 1.0) == 0 else 0
        if self._idle >= STEPS:
            yield (
                "idle",
                f"nothing to learn for {self._idle} steps: every group's scores are equal. If the reward is "
                f"{metrics.get('reward', float('nan')):.2f} because tasks are too hard, try easier ones, a longer cold "
                "start, a larger rollout.group_size or algorithm.selection.resample_rounds=2; if they are too easy, "
                "harder ones",
            )
        far = metrics.get("kl/k3", 0.0)
        if not far < FAR:
            yield (
                "divergence",
                f"the policy is {far:.3g} nats a token from its reference. Try a smaller optimizer.lr, a larger "
                "algorithm.divergence.coef, or algorithm.divergence.refresh_every",
            )
        norm = metrics.get("grad_norm", 0.0)
        if norm != norm or norm == float("inf"):
            yield (
                "gradient",
                f"the gradient was {norm} and was thrown away. Try a smaller optimizer.lr, model.dtype=float32, or a "
                "bounded loss (algorithm.policy_loss=ppo_clip with dual_clip)",
            )
        for name, value in metrics.items():
            part = name.removeprefix("grad_norm/")
            if part != name and value == 0.0 and norm > 0:
                yield (
                    name,
                    f"the {part} is trained but gets no gradient. If it is not meant to learn, freeze it "
                    f"(optimizer.rates.{part}=0); otherwise something cuts it off: look at model.lora.target and at "
                    "whether episodes have pictures",
                )
