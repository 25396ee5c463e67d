"""Figures that papers report, as fractions. Shown beside a result and never mixed with it.

RLLaVA: arXiv 2512.21450, before and after training. Visual-ARFT: arXiv 2505.14246, computed again from the predictions
that its authors released, with the protocol "faithful".
"""

from __future__ import annotations

from collections.abc import Mapping


def _arft(small: tuple[float, float], large: tuple[float, float]) -> dict[str, dict[str, float]]:
    return {
        f"Visual-ARFT {size}": {"f1": round(f1 / 100, 3), "exact_match": round(exact / 100, 3)}
        for size, (f1, exact) in (("3B", small), ("7B", large))
    }


def _rllava(metric: str, before: float, after: float) -> dict[str, dict[str, float]]:
    return {"RLLaVA, base model": {metric: round(before / 100, 3)}, "RLLaVA, trained": {metric: round(after / 100, 3)}}


def figures(name: str) -> dict[str, dict[str, float]]:
    """What papers report of a benchmark, by the metrics of its environment; nothing for one that they leave out."""
    names = {"exact_match": "em"}
    return {
        label: {names.get(metric, metric): value for metric, value in metrics.items()}
        for label, metrics in PUBLISHED.get(name, {}).items()
    }


PUBLISHED: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "mat-search": _rllava("f1", 4.4, 27.1) | _arft((53.7, 46.0), (63.8, 55.3)),
    "mat-coding": _rllava("f1", 16.9, 30.6) | _arft((35.9, 22.5), (50.7, 34.5)),
    "2wiki": _arft((49.8, 39.1), (63.1, 52.0)),
    "hotpotqa": _arft((41.3, 30.1), (48.0, 36.5)),
    "musique": _arft((19.1, 11.6), (22.7, 14.1)),
    "bamboogle": _arft((49.0, 38.4), (60.2, 48.8)),
    "clevr-count": _rllava("accuracy", 52.0, 57.5),
    "geometry3k": _rllava("accuracy", 35.1, 39.0),
    "refcoco": _rllava("iou", 51.3, 63.3),
}
