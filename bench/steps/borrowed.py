"""Figures that other benches made: taken over from their files, with the commit and the machine of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .rows import Row

Found = dict[str, Any]


def borrowed(folder: Path) -> list[Row]:
    """Rows from the JSON files of bench/; a file that is not there gives none."""
    made = []
    for name, take in SOURCES.items():
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        common = {"kind": "elsewhere", "commit": found["commit"], "machine": found.get("machine", "")}
        made += [Row(**(row | common)) for row in take(found)]
    return made


def _better(value: float, baseline: float) -> dict[str, float]:
    """Calls a second: more is better."""
    return {"value": round(value, 1), "baseline": round(baseline, 1), "ratio": round(value / baseline, 2)}


def _sandboxes(found: Found) -> list[Found]:
    ways = found["together"]
    prints, pictures, ran = ways["print, lane"]["median"], ways["picture, lane"]["median"], ways["print, run"]["median"]
    return [
        {
            "name": "sandbox_print_vs_exec_run",
            "unit": "calls a second",
            "what": "`print(1)` in a hardened container, four callers",
            "against": "`docker exec` in a warm container",
            "floor": 8.0,
            "beside": {"docker run --rm": round(ran, 1)},
            "note": f"{prints / ran:.1f} times `docker run --rm`, hardened alike",
        }
        | _better(prints, ways["print, exec"]["median"]),
        {
            "name": "sandbox_image_vs_exec_run",
            "unit": "calls a second",
            "what": "turning a picture of 640 x 480, in and out, four callers",
            "against": "`docker exec`, with its imports",
            "floor": 8.0,
        }
        | _better(pictures, ways["picture, exec"]["median"]),
    ]


def _search(found: Found) -> list[Found]:
    return [
        {
            "name": "search_question_median",
            "value": round(found["in_process"]["median_ms"], 2),
            "unit": "ms",
            "what": f"a question to an index of {found['passages']:,} passages, median",
            "floor": f"at most {found['demands']['median_ms']:g} ms",
        },
        {
            "name": "search_index",
            "value": round(found["index_seconds"], 1),
            "unit": "s",
            "what": "building that index",
            "floor": f"at most {found['demands']['index_seconds']:g} s",
        },
    ]


def _compose(found: Found) -> list[Found]:
    return [
        {
            "name": "compose_to_report",
            "value": round(found["calm"]["seconds"], 1),
            "unit": "s",
            "what": "`docker compose up` to the report of three trained tasks",
            "note": f"to the first trained step {found['calm']['first_step_seconds']:.0f} s",
        }
    ]


def _overlap(found: Found) -> list[Found]:
    first = found["regimes"][0]
    return [
        {
            "name": "overlap_short_turns",
            "value": round(first["overlapped"], 2),
            "unit": "s",
            "baseline": round(first["rounds"], 2),
            "ratio": round(first["rounds"] / first["overlapped"], 3),
            "what": f"{found['episodes']} episodes, every call of a tool {found['seconds']:g} s",
            "against": "turns in rounds",
            "floor": f"at most {found['demand']:g} times the longer of generation and calls",
            "note": f"{first['ratio']:.2f} times that",
        }
    ]


def _step_time(found: Found) -> list[Found]:
    return [
        {
            "name": "step_outside_of_the_model",
            "value": round(found["found"]["overlapped"]["outside"], 3),
            "unit": "share",
            "what": "of a step of counting that is neither computing nor overlapped with it",
        }
    ]


def _device(found: Found) -> list[Found]:
    ours = found["ours"]["metrics"]["seconds/step"]
    theirs = found["trl"].get("without a cap", {}).get("seconds of a step")
    compared = {} if theirs is None else {"baseline": round(theirs, 2), "ratio": round(theirs / ours, 2)}
    return [
        {
            "name": "device_small_step",
            "value": round(ours, 2),
            "unit": "s",
            "what": f"a step of a Qwen3-VL of {found['ours']['parameters'] / 1e6:.1f} million parameters in shards",
            "against": "TRL's GRPOTrainer with gradient checkpointing",
        }
        | compared
    ]


def _environments(found: Found) -> list[Found]:
    first = found["resets"][0]
    return [
        {
            "name": "environment_resets",
            "value": round(first["per_second"], 1),
            "unit": "a second",
            "what": f"resets of {first['env_id']}, pictures drawn",
            "floor": f"at least {found['demands']['resets']:g}",
        }
    ]


def _exactness(found: Found) -> list[Found]:
    largest = max(of["largest"] for of in found["families"].values())
    return [
        {
            "name": "sampler_against_trainer",
            "value": float(f"{largest:.2g}"),
            "unit": "nats",
            "what": "the largest difference of a sampled token's log-probability, over 1,000 episodes",
            "floor": f"at most {found['bound']:g}",
        }
    ]


SOURCES: dict[str, Callable[[Found], list[Found]]] = {
    "sandboxes": _sandboxes,
    "search": _search,
    "compose": _compose,
    "overlap": _overlap,
    "step_time": _step_time,
    "device_small": _device,
    "environments": _environments,
    "exactness": _exactness,
}
