"""Who takes memory in a run, and when each may be on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .memory import EVERY, Owner, Phase

if TYPE_CHECKING:
    from ..parts import Parts

UPDATES = frozenset({Phase.UPDATE})


def owners_of(parts: Parts) -> list[Owner]:
    """The owners of a run's memory. They look at `parts` anew each time: roles and engines are replaced on the way.

    `engine.offload` says what leaves while others work: "none"; "optimizer", its moments and master copies; "all", also
    the weights of trainer, reference and critic. The trainer's weights stay where the sampler shares them.
    """
    chosen = parts.config.engine.offload
    shared = parts.config.engine.shared
    weights = EVERY if shared or chosen != "all" else frozenset({Phase.SYNC, Phase.UPDATE})
    beside = UPDATES if chosen == "all" else EVERY
    optimizer = EVERY if chosen == "none" else UPDATES
    return [
        Owner(
            "trainer weights",
            weights,
            lambda: parts.train_engine.weights.held(),
            lambda: parts.train_engine.weights.leave(),
            lambda: parts.train_engine.weights.enter(),
        ),
        Owner(
            "kept prompts",
            frozenset({Phase.ROLLOUT, Phase.UPDATE}),
            lambda: parts.kept.nbytes if parts.kept else 0,
            lambda: parts.drop_prompts(),
        ),
        Owner("gradients", UPDATES, lambda: parts.train_engine.gradient_bytes),
        Owner(
            "optimizer state",
            optimizer,
            lambda: parts.train_engine.state.held(),
            lambda: parts.train_engine.state.leave(),
            lambda: parts.train_engine.state.enter(),
        ),
        Owner(
            "reference",
            beside,
            lambda: parts.reference.offload.held() if parts.reference else 0,
            lambda: parts.reference.offload.leave() if parts.reference else None,
            lambda: parts.reference.offload.enter() if parts.reference else None,
        ),
        Owner(
            "critic",
            beside,
            lambda: parts.critic.offload.held() if parts.critic else 0,
            lambda: parts.critic.offload.leave() if parts.critic else None,
            lambda: parts.critic.offload.enter() if parts.critic else None,
        ),
        Owner(
            "sampler weights",
            frozenset({Phase.ROLLOUT, Phase.SYNC}),
            lambda: parts.rollout_engine.held().get("sampler weights", 0),
            lambda: parts.rollout_engine.sleep(),
        ),
        Owner(
            "key-value cache",
            frozenset({Phase.ROLLOUT}),
            lambda: parts.rollout_engine.held().get("key-value cache", 0),
            lambda: parts.rollout_engine.sleep(),
            lambda: parts.rollout_engine.wake(),
        ),
    ]
