"""Which figures there are, how each is measured, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from agent.config_engine import EngineConfig

from . import counted
from .job import MICRO, Job
from .rounds import Effort, Measured, ratios
from .rows import Row

KINDS = ("grpo", "rloo", "ppo")
SIDES = (56, 224, 448)
LARGE = "qwen2_vl_2b"  # see `models`
PLAIN = "sharing: none"  # an option of ours: updates run whole rows, padded, and rollouts every sibling's prompt
# What is asked for: the least ratio of a row.
FLOORS: dict[str, float] = {
    **{f"{kind}_step_{side}px": least for kind in KINDS for side, least in ((56, 2.5), (224, 6.0), (448, 10.0))},
    **{f"grpo_step_{side}px_memory": least for side, least in ((56, 1.0), (224, 1.0), (448, 2.0))},
    "update_1024_128_g8": 4.0,
    "update_448px_128_g8": 5.0,
    "rollout_1024_vs_generate": 6.0,
    "rollout_4_turns_vs_prefill": 2.5,
}


@dataclass(frozen=True)
class Part:
    """Rows that are measured together. `kind`: by which several parts are asked for at once."""

    name: str
    kind: str
    rows: tuple[str, ...]
    measure: Callable[[Effort], list[Row]]

    def answers(self, names: Sequence[str]) -> bool:
        """Whether one of these names means it."""
        return bool({self.name, self.kind, *self.rows}.intersection(names))


def parts(device: str = "cpu") -> list[Part]:
    """All of them, in the order of the page; on a GPU those of a model that is worth one."""
    if device == "cuda":
        return [_step(448, LARGE), _update("update_448px_128_g8_2b", 448, LARGE, "a picture of 448 pixels")]
    steps = [_step(side) for side in SIDES]
    updates = [
        _update("update_1024_128_g8", 56, "qwen2_vl", "a picture of 56 pixels"),
        _update("update_448px_128_g8", 448, "qwen2_vl", "a picture of 448 pixels"),
        _update("update_448px_128_g8_qwen2_5_vl", 448, "qwen2_5_vl", "a picture of 448 pixels, Qwen2.5-VL"),
        _update("update_448px_128_g8_qwen3_vl", 448, "qwen3_vl", "a picture of 448 pixels, Qwen3-VL"),
    ]
    rollouts = [
        Part("rollout_1024_vs_generate", "rollouts", ("rollout_1024_vs_generate",), rollout),
        Part("rollout_4_turns_vs_prefill", "rollouts", ("rollout_4_turns_vs_prefill",), turns),
    ]
    return [
        Part("agreement", "agreement", ("loss_against_trl", "gradient_against_trl"), agreement),
        *steps,
        *updates,
        *rollouts,
    ]


def has_plain() -> bool:
    """Whether this version can be told not to share anything."""
    return "sharing" in {field.name for field in fields(EngineConfig)}


def agreement(effort: Effort) -> list[Row]:
    """Raises ValueError where the two losses differ: then nothing else may be compared."""
    effort.tell("the same completions through both losses")
    found = effort.run(replace(Job("agreement", warm=0, measured=1), device=effort.device))
    apart = abs(found["ours"] - found["theirs"])
    if not apart <= 1e-5 or not found["gradient"] <= 1e-5 or not found["clipped"] > 0:
        raise ValueError(f"our loss and TRL's differ on the same completions, by {apart:.2g}: {found}")
    note = f"the loss is {found['theirs']:.6f}, {found['clipped']:.0%} of the tokens are clipped"
    wide = f"the largest gradient is {found['largest']:.2g}"
    common: dict[str, Any] = {"kind": "agreement", "floor": "at most 1e-5", "against": "TRL's GRPO loss"}
    batch = "64 completions of TRL's with pictures, old log-probabilities moved by chance"
    return [
        Row("loss_against_trl", apart, "difference", what=f"the loss of {batch}", note=note, **common),
        Row(
            "gradient_against_trl",
            found["gradient"],
            "difference",
            what="the largest difference of a weight's gradient",
            note=wide,
            **common,
        ),
    ]


def tried_rows(effort: Effort, job: Job) -> dict[int, Measured]:
    """A step of TRL's with all rows in one micro-batch (0), and with a few at a time; the faster one comes first.

    Raises:
        RuntimeError: it is possible with neither.
    """
    short, found, failures = replace(effort, rounds=1), {}, []
    for rows in (0, MICRO):
        name = f"TRL, micro-batches of {rows or 'all'}"
        try:
            found[rows] = short.interleaved({name: replace(job, rows=rows, warm=1, measured=2)})[name]
        except RuntimeError as error:  # a GPU may be too small for all at once
            failures.append(str(error))
    if not found:
        raise RuntimeError(failures[-1])
    return dict(sorted(found.items(), key=lambda each: each[1].seconds))


def _step(side: int, family: str = "qwen2_vl") -> Part:
    end = "_2b" if family == LARGE else ""
    names = [f"{algorithm}_step_{side}px{end}" for algorithm in ("grpo", "rloo", "ppo")]
    rows = (*names, f"grpo_step_{side}px_memory{end}")
    return Part(f"step_{side}px{end}", "steps", rows, lambda effort: whole_step(effort, side, family))


def whole_step(effort: Effort, side: int, family: str = "qwen2_vl") -> list[Row]:
    """Ours and TRL's, all algorithms in the same rounds."""
    laps: dict[str, Any] = {"side": side, "family": family} | ({"warm": 1} if side > 300 else {})
    ours, theirs = Job("step", **laps), Job("trl step", **laps)
    tried = tried_rows(effort, theirs)
    rows = next(iter(tried))
    ours, theirs = replace(ours, rows=rows), replace(theirs, rows=rows)
    jobs = {
        "TRL GRPO": theirs,
        "GRPO": ours,
        "TRL RLOO": replace(theirs, algorithm="rloo"),
        "RLOO": replace(ours, algorithm="rloo"),
        "PPO": replace(ours, algorithm="ppo"),
    }
    if has_plain():
        jobs |= {f"GRPO, {PLAIN}": replace(ours, way="plain")}
        jobs |= {f"RLOO, {PLAIN}": replace(ours, way="plain", algorithm="rloo")}
        jobs |= {f"PPO, {PLAIN}": replace(ours, way="plain", algorithm="ppo")}
    other = "" if rows == MICRO else f"GRPO, micro-batches of {MICRO} rows"
    if other:
        jobs[other] = replace(ours, rows=MICRO)
    found = effort.interleaved(jobs)
    for name, of in found.items():
        if any(each["trained"] != ours.prompts * ours.group for each in of.rounds):
            raise ValueError(f"{name} trained on {of.last['trained']} of {ours.prompts * ours.group} trajectories")
    shape, work = _counted(found["GRPO"], ours)
    again = counted.forward(shape, work, shared=False)  # TRL's RLOO computes old log-probabilities first
    least, padded = counted.step(shape, work, shared=True), counted.step(shape, work, shared=False)
    trl = f"TRL, micro-batches of {rows} rows" if rows else "TRL, all rows at once"
    compared = (
        ("grpo", "GRPO", "TRL GRPO", trl, padded / least),
        ("rloo", "RLOO", "TRL RLOO", trl, (padded + again) / least),
        ("ppo", "PPO", "TRL RLOO", f"{trl}: its RLOO, as it has no PPO", None),
    )
    end, kind = ("_2b", "gpu") if family == LARGE else ("", "step")
    made = [
        _step_row(f"{algorithm}_step_{side}px{end}", side, found[own], found[other], against, operations)
        for algorithm, own, other, against, operations in compared
    ]
    made[0] = replace(made[0], beside=_beside(found, f"GRPO, {PLAIN}"))
    made[1] = replace(made[1], beside=_beside(found, f"RLOO, {PLAIN}"))
    made[2] = replace(made[2], beside=_beside(found, f"PPO, {PLAIN}"))
    name, peak, theirs_peak = f"grpo_step_{side}px_memory{end}", found["GRPO"].peak, found["TRL GRPO"].peak
    others = {f"TRL, {n or 'all'} rows at once": round(of.peak, 1) for n, of in tried.items() if n != rows}
    if other:
        others[f"ours, {MICRO} rows at once"] = round(found[other].peak, 1)
    if has_plain():
        others[PLAIN] = round(found[f"GRPO, {PLAIN}"].peak, 1)
    memory = Row(
        name,
        round(peak, 1),
        "MiB",
        round(theirs_peak, 1),
        round(theirs_peak / peak, 2),
        what=f"peak of memory at {side} pixels, above what was there when the model was loaded",
        against=trl,
        floor=FLOORS.get(name),
        beside=others,
    )
    return [replace(row, kind=kind) for row in (*made, memory)]


def _step_row(name: str, side: int, ours: Measured, theirs: Measured, against: str, operations: float | None) -> Row:
    return _timed(
        name,
        ours,
        theirs,
        operations,
        what=f"a step of {name.split('_')[0].upper()}, pictures of {side} pixels",
        against=against,
        note=f"tokens of a completion: ours {ours.last['length']:.1f}, TRL's {theirs.last['length']:.1f}; trained on "
        f"{ours.last['trained']:.0f} and {theirs.last['trained']:.0f} of 64; by the clock {ours.wall:.3f} and "
        f"{theirs.wall:.3f} s",
    )


def _timed(name: str, ours: Measured, theirs: Measured, operations: float | None, **more: Any) -> Row:
    """Seconds of ours beside those of another way."""
    return Row(
        name,
        round(ours.seconds, 4),
        "s",
        round(theirs.seconds, 4),
        round(theirs.seconds / ours.seconds, 3),
        floor=FLOORS.get(name),
        operations=operations and round(operations, 2),
        spread=ratios(ours, theirs),
        **more,
    )


def _beside(found: dict[str, Measured], name: str) -> dict[str, float]:
    return {PLAIN: round(found[name].seconds, 4)} if name in found else {}


def _counted(of: Measured, job: Job) -> tuple[counted.Shape, counted.Work]:
    shape = counted.Shape(**of.last["shape"])
    return shape, counted.Work(job.prompts, job.group, of.last["prompt"], of.last["image_tokens"], job.tokens)


def _update(name: str, side: int, family: str, words: str) -> Part:
    return Part(name, "updates", (name,), lambda effort: update(effort, name, side, family, words))


def update(effort: Effort, name: str, side: int, family: str, words: str) -> list[Row]:
    job = Job("update", family=family, side=side, prompt=1024, prompts=1, tokens=128)
    jobs = {"padded": replace(job, way="padded"), "ours": job}
    if has_plain():
        jobs |= {f"ours, {PLAIN}": replace(job, way="plain")}
    found = effort.interleaved(jobs)
    ours, padded = found["ours"], found["padded"]
    norms = [of.last["gradient"] for of in found.values()]
    if max(norms) > min(norms) * (1.001 if effort.device == "cpu" else 1.1):
        raise ValueError(f"{name}: the norms of the gradients differ: {dict(zip(found, norms, strict=True))}")
    operations = None
    if ours.last["shape"]:
        shape, work = _counted(ours, job)
        operations = counted.update(shape, work, False) / counted.update(shape, work, True)
    memory = {"MiB, ours": round(ours.peak, 1), "MiB, padded": round(padded.peak, 1)}
    plain = {n: round(of.seconds, 4) for n, of in found.items() if n == f"ours, {PLAIN}"}
    return [
        _timed(
            name,
            ours,
            padded,
            operations,
            kind="gpu" if family == LARGE else "update",
            what=f"the gradient of 8 siblings, prompt of 1,024 tokens with {words}, responses of 128",
            against="padded rows, by transformers",
            beside=memory | plain,
        )
    ]


def rollout(effort: Effort) -> list[Row]:
    job = Job("rollout", prompt=1024)
    found = effort.interleaved({"generate": replace(job, way="generate"), "ours": job})
    shape, work = _counted(found["ours"], job)
    operations = counted.rollout(shape, work, False) / counted.rollout(shape, work, True)
    return [
        _rollout_row(
            "rollout_1024_vs_generate",
            found["ours"],
            found["generate"],
            "8 prompts of 1,024 tokens with a picture, 8 siblings each, 32 tokens",
            "`generate` of transformers on 64 rows, pictures processed",
            operations,
        )
    ]


def turns(effort: Effort) -> list[Row]:
    job = Job("turns", side=224, prompt=512, turns=4)
    found = effort.interleaved({"forgotten": replace(job, way="forgotten"), "kept": job})
    return [
        _rollout_row(
            "rollout_4_turns_vs_prefill",
            found["kept"],
            found["forgotten"],
            "8 prompts of 512 tokens, 8 siblings each, 4 turns of 32 tokens, a picture of 224 pixels in every answer",
            "ours with its caches forgotten before each turn",
            None,
        )
    ]


def _rollout_row(name: str, ours: Measured, theirs: Measured, what: str, against: str, operations: float | None) -> Row:
    if ours.last["drawn"] != theirs.last["drawn"]:
        raise ValueError(f"{name}: ours drew {ours.last['drawn']} tokens, the other way {theirs.last['drawn']}")
    return _timed(
        name,
        ours,
        theirs,
        operations,
        kind="rollout",
        what=what,
        against=against,
        beside={"MiB, ours": round(ours.peak, 1), "MiB, other": round(theirs.peak, 1)},
    )
