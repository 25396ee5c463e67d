"""How fast the environments are, and what the rollout driver adds to them.

    python bench/environments.py [--quick] [--fuzz CASES] [--out FOLDER]

Four measurements, each the median of several rounds, in processor time of this process (so that other work on the
machine disturbs less):

resets    worlds drawn and pictures painted, a second and core: counting, geometry and grounding at 224 pixels in the
          flat style, counting in the CLEVR look at 320 x 240
steps     actions parsed and scored a second: the expert's, a random one and one without tags, in equal shares
driver    what driving 64 environments in threads costs beyond their own resets and steps, with an engine that answers
          from a script, as a share of the environments' own time
fuzzing   with --fuzz, that many texts through every environment of the catalogue (tests/envs/test_fuzz.py)

Writes bench/environments.json and bench/environments.md. --quick measures briefly and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
from made_on import commit, machine

import envs  # noqa: F401  registers the environments
from envs.core.tasks import generator

HERE = Path(__file__).parent
FLAT = ("RLLaVA/Counting-v0", "RLLaVA/Geometry-v0", "RLLaVA/Grounding-v0")
CLEVR_LOOK = ("RLLaVA/CountingCLEVR-v0", {"size": [320, 240]})
ENVIRONMENTS = 64
THREADS = 8
GROUP = 8  # siblings of one task, as in training

DEMANDS = {"resets": 300.0, "clevr": 30.0, "steps": 1000.0, "driver": 0.20}


def rate(work: Callable[[int], None], rounds: int, count: int) -> dict[str, Any]:
    """`work(k)` a second of processor time: the median of rounds of `count` calls, and their extremes."""
    rates = []
    for r in range(rounds):
        start = time.process_time()
        for k in range(r * count, (r + 1) * count):
            work(k)
        rates.append(count / (time.process_time() - start))
    return {
        "per_second": statistics.median(rates),
        "least": min(rates),
        "most": max(rates),
        "rounds": rounds,
        "count": count,
    }


def resets(env_id: str, kwargs: dict[str, Any], rounds: int, count: int) -> dict[str, Any]:
    env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    env.reset(seed=0)
    measured = rate(lambda seed: env.reset(seed=seed), rounds, count)
    shape = env.reset(seed=0)[0]["images"][0].shape
    env.close()
    return measured | {"env_id": env_id, "kwargs": kwargs, "picture": [int(shape[1]), int(shape[0])]}


def steps(env_id: str, rounds: int, count: int) -> dict[str, Any]:
    """Only `step` is timed: every action ends an episode of one turn, and a new world is drawn outside the clock."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    base: Any = env.unwrapped
    rng = generator("bench", env_id)
    rates = []
    for r in range(rounds):
        spent = 0.0
        for k in range(count):
            env.reset(seed=r * count + k)
            action = (base.solve()[-1], base.baseline("random", rng), "I would say that it is 4.")[k % 3]
            start = time.process_time()
            env.step(action)
            spent += time.process_time() - start
        rates.append(count / spent)
    env.close()
    return {
        "per_second": statistics.median(rates),
        "least": min(rates),
        "most": max(rates),
        "rounds": rounds,
        "count": count,
        "env_id": env_id,
    }


class Timed(gymnasium.Wrapper):
    """Adds up the processor time of its own thread inside the environment."""

    spent = 0.0
    calls = 0
    lock = threading.Lock()

    def _clocked(self, call: Callable[[], Any]) -> Any:
        start = time.thread_time()
        try:
            return call()
        finally:
            took = time.thread_time() - start
            with Timed.lock:
                Timed.spent += took
                Timed.calls += 1

    def reset(self, **kwargs: Any) -> Any:
        return self._clocked(lambda: self.env.reset(**kwargs))

    def step(self, action: Any) -> Any:
        return self._clocked(lambda: self.env.step(action))


def driver(env_id: str, deterministic: bool, rounds: int, episodes: int) -> dict[str, Any]:
    """Drive `episodes` episodes, 64 at once, and compare the process's time with the environments' own."""
    from agent.model.processor import Processor
    from agent.rollout.environments import EnvironmentPool, EnvironmentSpec, make_environment
    from agent.rollout.episode import Budget, EpisodeSpec
    from agent.rollout.episodes import DriverOptions, EpisodeDriver
    from agent.rollout.render import Renderer
    from agent.rollout.scripted import ScriptedEngine

    processor: Processor = _processor()
    answer = (*processor.encode("<think>four of them</think><answer>4</answer>"), *processor.stop_ids[:1])
    logprobs = [-1.0] * len(answer)
    budget = Budget(temperature=1.0, max_turn_tokens=64, max_row_tokens=4096, max_turns=1)
    pool = EnvironmentPool(EnvironmentSpec(env_id), lambda spec: Timed(make_environment(spec)))
    measured: dict[str, list[float]] = {"own": [], "pictures": [], "all": []}
    for r in range(rounds + 1):
        renderer = Renderer(processor)
        pictures = _clock_pictures(renderer)
        engine = ScriptedEngine(lambda request: (list(answer), logprobs))
        run = EpisodeDriver(engine, renderer, pool, DriverOptions(ENVIRONMENTS, THREADS, deterministic))
        specs = [EpisodeSpec(None, (r * episodes + k) // GROUP, k) for k in range(episodes)]
        Timed.spent, Timed.calls = 0.0, 0
        start = time.process_time()
        trajectories = run.run(specs, budget)
        spent = time.process_time() - start
        assert len(trajectories) == episodes and Timed.calls == 2 * episodes
        if r > 0:  # the first round makes the environments
            measured["own"].append(Timed.spent)
            measured["pictures"].append(pictures[0])
            measured["all"].append(spent)
    pool.close()
    shares = [
        (whole - own - pictures) / own
        for whole, own, pictures in zip(measured["all"], measured["own"], measured["pictures"], strict=True)
    ]
    with_pictures = [(whole - own) / own for whole, own in zip(measured["all"], measured["own"], strict=True)]
    return {
        "env_id": env_id,
        "mode": "rounds" if deterministic else "overlapped",
        "environments": ENVIRONMENTS,
        "threads": THREADS,
        "episodes": episodes,
        "rounds": rounds,
        "added": statistics.median(shares),
        "least": min(shares),
        "most": max(shares),
        "added_with_pictures": statistics.median(with_pictures),
        "own_ms": 1000 * statistics.median(measured["own"]) / episodes,
        "pictures_ms": 1000 * statistics.median(measured["pictures"]) / episodes,
    }


def _clock_pictures(renderer: Any) -> list[float]:
    """Adds up the time in which pictures are told apart and become the model's patches: the model's work, whoever
    drives."""
    spent, processed = [0.0], renderer._processed

    def clocked(image: Any) -> Any:
        start = time.thread_time()
        try:
            return processed(image)
        finally:
            spent[0] += time.thread_time() - start

    renderer._processed = clocked
    return spent


def _processor() -> Any:
    from agent.config_model import TinyShape
    from agent.model.load import load_vlm
    from agent.model.tiny import make_tiny_vlm

    folder = Path(tempfile.mkdtemp(prefix="bench-environments-"))
    texts = ["How many large red squares are there? four of them 0 1 2 3 4 5 6 7 8 9"] * 2
    return load_vlm(make_tiny_vlm(folder, texts, 0, TinyShape())).processor


def fuzz(cases: int) -> list[dict[str, Any]]:
    """Run the fuzz test with that many cases an environment: name, outcome and seconds of each."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "fuzz.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
        command += ["-n", str(os.cpu_count() or 1), "--dist", "worksteal"]
        code = subprocess.run(
            [*command, "tests/envs/test_fuzz.py"], cwd=HERE.parent, env=os.environ | {"ENVS_FUZZ_CASES": str(cases)}
        ).returncode
        found = [
            {
                "test": case.get("name"),
                "seconds": float(case.get("time", "0")),
                "passed": not any(case.find(kind) is not None for kind in ("failure", "error", "skipped")),
            }
            for case in ElementTree.parse(report).iter("testcase")
        ]
    if code != 0 and all(case["passed"] for case in found):
        raise SystemExit(f"the fuzz test ended with status {code}")
    return found


def measure(quick: bool, cases: int) -> dict[str, Any]:
    rounds, worlds, scored, episodes = (2, 40, 60, 128) if quick else (7, 300, 600, 1024)
    flat = [env_id for env_id in FLAT if env_id in gymnasium.registry]
    found: dict[str, Any] = {"commit": commit(), "machine": machine(), "demands": DEMANDS}
    found["resets"] = [_told(resets(env_id, {}, rounds, worlds)) for env_id in flat]
    found["clevr"] = [_told(resets(*CLEVR_LOOK, rounds, worlds // 5))]
    found["steps"] = [_told(steps(env_id, rounds, scored)) for env_id in flat]
    found["driver"] = [
        _told(driver(env_id, deterministic, rounds, episodes)) for env_id in flat for deterministic in (True, False)
    ]
    found["fuzz"] = {"cases": cases, "environments": fuzz(cases)} if cases else None
    return found


def _told(measured: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(measured), flush=True)
    return measured


def markdown(found: dict[str, Any]) -> str:
    demands = found["demands"]
    lines = [
        "# Environments: speed",
        "",
        f"`make verify-environments` at commit {found['commit']} on {found['machine']}. One core; processor time; "
        "medians over rounds, with the least and the most.",
        "",
        "| resets a second | picture | median | range | demanded |",
        "|---|---|---|---|---|",
    ]
    for row in [*found["resets"], *found["clevr"]]:
        wanted = demands["clevr"] if row["kwargs"] else demands["resets"]
        label = row["env_id"] + (f" {json.dumps(row['kwargs'])}" if row["kwargs"] else "")
        lines.append(f"| {label} | {row['picture'][0]} x {row['picture'][1]} | {_range(row)} | {wanted:.0f} |")
    lines += ["", "| parse and score, steps a second | median | range | demanded |", "|---|---|---|---|"]
    lines += [f"| {row['env_id']} | {_range(row)} | {demands['steps']:.0f} |" for row in found["steps"]]
    lines += [
        "",
        f"Driver: {ENVIRONMENTS} environments in {THREADS} threads, groups of {GROUP}. Added: processor time of "
        "the whole process beyond the environments' own `reset` and `step`, as a share of these; without and with "
        "telling pictures apart and turning them into the model's patches, which any driver must have done.",
        "",
        f"| driver | mode | added | range | with patches | own ms an episode | at most {demands['driver']:.0%} |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['env_id']} | {row['mode']} | {row['added']:.1%} | {row['least']:.1%} to {row['most']:.1%} "
        f"| {row['added_with_pictures']:.1%} | {row['own_ms']:.2f} "
        f"| {'yes' if row['added'] <= demands['driver'] else 'no'} |"
        for row in found["driver"]
    ]
    if found["fuzz"]:
        environments = found["fuzz"]["environments"]
        failed = [case["test"] for case in environments if not case["passed"]]
        lines += [
            "",
            f"Fuzzing: {found['fuzz']['cases']:,} texts through each of {len(environments)} environments, "
            f"{sum(case['seconds'] for case in environments):.0f} s; "
            + (f"failed: {', '.join(failed)}." if failed else "nothing raised, no score outside [0, 1]."),
        ]
    return "\n".join(lines) + "\n"


def _range(row: dict[str, Any]) -> str:
    return f"{row['per_second']:,.0f} | {row['least']:,.0f} to {row['most']:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="measure briefly and write nothing")
    parser.add_argument("--fuzz", type=int, default=0, metavar="CASES", help="texts for every environment")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    found = measure(given.quick, given.fuzz)
    if given.quick:
        print(markdown(found))
        return
    (given.out / "environments.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "environments.md").write_text(markdown(found))
    print(f"wrote {given.out / 'environments.md'}")


if __name__ == "__main__":
    main()
