"""From a traced scene to pixels.

The ground is smooth and is computed once a pixel, and so are the pixels inside a solid; at edges every sample is
computed and the mean is taken, so that they are soft. Means are of light, before the root that turns light into the
numbers of a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from .camera import Camera, View
from .shading import FILL, KEY, SKY, Samples, ground_light, solid_light
from .shadows import blocked, occluded, shadow_window, sky_window
from .solids import Solid
from .tracing import FINE, SAMPLES, Floats, Tracing, Window, slopes

GROUND_TINT = (1.0, 0.99, 0.97)
OTHERS = [(a, b) for a in range(FINE) for b in range(FINE)][1:]  # the samples of a pixel but its first


def picture(view: View, solids: Sequence[Solid], tracing: Tracing) -> NDArray[np.uint8]:
    """uint8 (height, width, 3): the scene that `trace(view.camera, solids)` traced."""
    ground = _ground(view, solids)
    points = _points(view.camera, solids, tracing.ids, tracing.depth)
    root = np.sqrt(ground)
    bare = ground.ravel()[points.pixels] * points.bare
    shown = np.empty((*ground.shape, 3), dtype=np.uint8)
    for k, colour in enumerate(solid_light(view, points.samples, ground)):
        shown[:, :, k] = root * (254.999 * sqrt(GROUND_TINT[k])) + 0.5
        flat = shown.reshape(-1, 3)[:, k]
        flat[points.inner_pixel] = _numbers(colour[points.inner])
        # Added one after the other, in the order of the samples.
        sums = np.bincount(points.place, weights=colour[points.edge], minlength=points.pixels.size) * (1.0 / SAMPLES)
        flat[points.pixels] = _numbers(sums.astype(np.float32) + bare * GROUND_TINT[k])
    return shown


def _numbers(light: Floats) -> NDArray[np.uint8]:
    """What a picture stores; a mean of ones may exceed 1 by its last digit."""
    return (np.sqrt(light) * 254.999 + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class _Points:
    """Where the light of solids is computed.

    A pixel that shows one solid only is computed once, at its middle; any other one at each sample that shows a solid.
    inner, edge: which samples are of the one and of the other kind. inner_pixel: the pixel of each inner one. pixels:
    those that edge samples belong to; place: where in `pixels` each has its own; bare: the share of the ground in them.
    """

    samples: Samples
    inner: NDArray[np.int64]
    inner_pixel: NDArray[np.int64]
    edge: NDArray[np.int64]
    pixels: NDArray[np.int64]
    place: NDArray[np.int64]
    bare: Floats


def _points(camera: Camera, solids: Sequence[Solid], ids: NDArray[np.int8], depth: Floats) -> _Points:
    wide = FINE * camera.width
    first, single = ids[0::FINE, 0::FINE], ids >= 0
    whole = first >= 0
    for a, b in OTHERS:
        whole &= ids[a::FINE, b::FINE] == first
    for number, solid in enumerate(solids):
        if solid.shape == "cube" and solid.material == "metal":  # its edges flash: one point a pixel is not enough
            whole &= first != number
    several = ~whole
    covered = np.zeros(first.shape, dtype=np.uint8)
    for a, b in ((0, 0), *OTHERS):
        part = single[a::FINE, b::FINE]
        part &= several
        covered += part
    inner, edge = np.flatnonzero(whole), np.flatnonzero(single)
    row, edge_row = inner // camera.width, edge // wide
    column, edge_column = inner - row * camera.width, edge - edge_row * wide
    corner = (FINE * wide) * row + FINE * column  # the first sample of each inner pixel
    flat = depth.ravel()
    mean = flat[corner] * (1.0 / SAMPLES)
    for a, b in OTHERS:
        mean += flat[corner + (a * wide + b)] * (1.0 / SAMPLES)
    numbers = np.concatenate([ids.ravel()[corner], ids.ravel()[edge]])
    ranking = sorted(range(len(solids)), key=lambda k: (solids[k].material, solids[k].shape))
    rank = np.empty(len(solids), dtype=np.uint8)
    rank[ranking] = np.arange(len(solids), dtype=np.uint8)
    ranks = rank[numbers]
    order = np.argsort(ranks, kind="stable")
    ends = np.cumsum(np.bincount(ranks, minlength=len(solids))).tolist()
    groups = tuple((solids[k], slice(a, b)) for k, a, b in zip(ranking, [0, *ends[:-1]], ends, strict=True))
    (u, v), (inner_u, inner_v) = (slopes(camera, (0, 0, camera.width, camera.height), fine) for fine in (FINE, 1))
    samples = Samples(
        np.concatenate([inner_u[0, column], u[0, edge_column]])[order],
        np.concatenate([inner_v[row, 0], v[edge_row, 0]])[order],
        np.concatenate([mean, flat[edge]])[order],
        groups,
    )
    went = np.empty(order.size, dtype=np.int64)
    went[order] = np.arange(order.size)
    pixels = np.flatnonzero(covered)
    bare = (SAMPLES - covered.ravel()[pixels]) * np.float32(1.0 / SAMPLES)
    place = np.searchsorted(pixels, edge_row // FINE * camera.width + edge_column // FINE)
    return _Points(samples, went[: inner.size], inner, went[inner.size :], pixels, place, bare)


def _ground(view: View, solids: Sequence[Solid]) -> Floats:
    """float32 (height, width): the light that the ground sends to the camera, without what stands on it."""
    camera = view.camera
    u, v = slopes(camera, (0, 0, camera.width, camera.height), 1)
    # The camera is level, so that a row of pixels sees the ground at one depth; above the horizon, at a far one.
    depth = -camera.place[2] / np.minimum(v * camera.down[2] + camera.forward[2], -0.05)
    x = (u * camera.right[0] + (v * camera.down[0] + camera.forward[0])) * depth + camera.place[0]
    y = (u * camera.right[1] + (v * camera.down[1] + camera.forward[1])) * depth + camera.place[1]
    # What each light gives where nothing stands in its way; together 1.
    strengths = (SKY, KEY * view.key.towards[2], FILL * view.fill.towards[2])
    whole = strengths[0] + strengths[1] + strengths[2]
    sky, key, fill = (np.full(x.shape, strength / whole, dtype=np.float32) for strength in strengths)
    for solid in solids:
        around = sky_window(camera, solid)
        if around is not None:
            part = _part(around)
            sky[part] *= 1.0 - occluded(solid, x[part], y[part])
        for light, share in ((view.key, key), (view.fill, fill)):
            around = shadow_window(camera, solid, light)
            if around is not None:
                part = _part(around)
                share[part] *= 1.0 - blocked(solid, light, x[part], y[part], 0.0)
    sky += key
    sky += fill
    sky *= ground_light(x, y)
    return sky


def _part(around: Window) -> tuple[slice, slice]:
    left, top, right, bottom = around
    return slice(top, bottom), slice(left, right)
