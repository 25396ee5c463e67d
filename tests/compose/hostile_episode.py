"""Run in the agent's container: each class of hostile programs, as turns of an episode of the coding environment.

Says one line of JSON: what each attack's observation was, whether the episode went on, and what an honest program of
the next episode scored. The judgement is the caller's.
"""

import json

import gymnasium

import envs  # noqa: F401  registers the ids
from sandbox.hostile import ATTACKS
from sandbox.hostile.prelude import GOT_IN, TARGET

EACH = 2  # attacks of a class

env = gymnasium.make(
    "RLLaVA/Coding-v0", sandbox="unix:/run/lane", style="tiny", program="short", problems=(1, 1), instructions="short"
).unwrapped


def honest(seed: int) -> float:
    env.reset(seed=seed)
    total = 0.0
    for action in env.solve():
        _, reward, terminated, truncated, _ = env.step(action)
        total += reward
        assert not truncated
    assert terminated
    return total


chosen: dict[str, list] = {}
for attack in ATTACKS.values():
    if TARGET not in attack.code and "```" not in attack.code:
        chosen.setdefault(attack.topic, []).append(attack)
for attacks in chosen.values():  # first those that are one program and nothing else: an episode has no more to give
    attacks.sort(key=lambda attack: bool(attack.lease or attack.before or attack.follow_up or attack.files))
found = [{"attack": "none", "score": honest(0)}]
for _, attacks in sorted(chosen.items()):
    for attack in attacks[:EACH]:
        env.reset(seed=1)
        observation, _, terminated, truncated, _ = env.step(
            f"<think>this</think><code>```python\n{attack.program}\n```</code>"
        )
        text = observation["text"]
        found.append(
            {
                "attack": attack.name,
                "went_on": not terminated and not truncated,
                "got_in": GOT_IN in text,
                "text": text[-200:],
                "score": honest(2),
            }
        )
print(json.dumps({"classes": sorted({attack.topic for attack in ATTACKS.values()}), "found": found}))
