"""Trajectories as tensors: nothing depends on padding or on how a batch is split."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.batching import Batch, make_batch
from agent.model.load import VLM
from agent.model.positions import mrope_positions
from agent.model.processor import ProcessedImage
from agent.roles.actor import Actor
from agent.rollout.render import Renderer
from agent.types import ImageSpan, Row, SampledWith, Segment

Picture = Callable[..., np.ndarray]
SAMPLED = SampledWith(1.0, (), 8, 0, 0, "stop")


def rows_of(renderer: Renderer, picture: Picture) -> list[Row]:
    """Rows of different lengths with 0 to 3 pictures; the second and the last share one."""
    rows = []
    for index, sizes in enumerate([[], [(60, 80)], [(30, 30), (90, 40), (50, 50)], [(70, 70)], [(60, 80), (30, 90)]]):
        images = [picture(h, w, h + w) for h, w in sizes]
        row = Row((renderer.prompt("How many circles? " * (1 + index % 3), images[:1]),))
        row = row.append(renderer.demonstration("three circles"[: 3 + index], 0))
        if len(images) > 1:
            row = row.append(renderer.observation("Again?", images[1:], 1, True)).append(
                renderer.demonstration("two", 1)
            )
        rows.append(row)
    return rows


def batch_of(renderer: Renderer, rows: Sequence[Row]) -> Batch:
    count = len(rows)
    advantages = [0.5 - k for k in range(count)]
    return make_batch(rows, list(range(count)), advantages, renderer.pixels, renderer.processor.merge)


def test_log_probabilities_depend_neither_on_padding_nor_on_neighbours_nor_on_the_split(
    vlm: VLM, renderer: Renderer, picture: Picture
) -> None:
    rows = rows_of(renderer, picture)
    batch = batch_of(renderer, rows)
    # In float64, so that only a fault can make a difference and not the order in which a kernel adds.
    actor = Actor(deepcopy(vlm.model).double(), 1.0, vlm.processor.banned_ids)
    with torch.no_grad():
        together = actor.logprobs(batch)[0]
        for max_tokens in (1, 120, 200, 10_000):
            start = 0
            for micro in batch.split(max_tokens):
                part = actor.logprobs(micro)[0]
                whole = together[start : start + len(micro), : part.shape[1]]
                np.testing.assert_allclose(part, whole, atol=1e-6)
                start += len(micro)
            assert start == len(rows)
        for index, row in enumerate(rows):
            alone = actor.logprobs(batch_of(renderer, [row]))[0][0]
            np.testing.assert_allclose(alone, together[index, : len(row)], atol=1e-6)


def test_padding_changes_no_log_probability_beyond_rounding(
    one_vlm: VLM, one_renderer: Renderer, picture: Picture
) -> None:
    batch = batch_of(one_renderer, rows_of(one_renderer, picture)[1:2])
    wide = Batch(
        **{
            name: torch.nn.functional.pad(getattr(batch, name), (0, 37))
            for name in (
                "input_ids",
                "attention_mask",
                "position_ids",
                "action_mask",
                "sampler_logprobs",
                "advantages",
                "turns",
            )
        },
        trajectory=batch.trajectory,
        prompt_length=batch.prompt_length,
        prompt_images=batch.prompt_images,
        images=batch.images,
        image_row=batch.image_row,
    )
    actor = Actor(deepcopy(one_vlm.model).double(), 1.0, one_vlm.processor.banned_ids)
    with torch.no_grad():
        short, long = actor.logprobs(batch)[0], actor.logprobs(wide)[0]
    np.testing.assert_allclose(long[:, : short.shape[1]], short, atol=1e-6)
    assert not long[:, short.shape[1] :].any()


def test_each_tensor_says_of_each_token_what_its_row_says(one_renderer: Renderer, picture: Picture) -> None:
    rows = rows_of(one_renderer, picture)
    batch = batch_of(one_renderer, rows)
    for index, row in enumerate(rows):
        n = len(row)
        assert tuple(batch.input_ids[index, :n].tolist()) == row.token_ids
        assert batch.attention_mask[index].tolist() == [True] * n + [False] * (batch.input_ids.shape[1] - n)
        assert tuple(batch.action_mask[index, :n].tolist()) == row.action_mask
        assert not batch.action_mask[index, n:].any()
        expected = mrope_positions(n, row.images, one_renderer.processor.merge)
        assert (batch.position_ids[:, index, :n].numpy() == expected).all()
        weights = np.where(batch.action_mask[index], 0.5 - index, 0.0)
        assert (batch.advantages[index].numpy() == weights.astype(np.float32)).all()
        shas = [image.sha256 for image, of in zip(batch.images, batch.image_row, strict=True) if of == index]
        assert shas == [span.sha256 for span in row.images]


def test_sampled_log_probabilities_stand_at_their_tokens(one_renderer: Renderer) -> None:
    prompt = one_renderer.prompt("How many?", [])
    row = Row((prompt,)).append(Segment("action", (5, 6, 7), 0, (), (-1.0, -2.0, -3.0), SAMPLED, 0.0))
    row = row.append(one_renderer.observation("Again?", [], 1, True))
    row = row.append(Segment("action", (8,), 1, (), (-4.0,), SAMPLED, 0.0))
    batch = batch_of(one_renderer, [row])
    said = {(i, float(v)) for i, v in enumerate(batch.sampler_logprobs[0]) if v}
    first, second = len(prompt.token_ids), len(row) - 1
    assert said == {(first, -1.0), (first + 1, -2.0), (first + 2, -3.0), (second, -4.0)}


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(1, 40), st.data())
def test_a_split_covers_every_row_once_within_its_budget(lengths: list[int], most: int, data: st.DataObject) -> None:
    """On rows of single tokens, with pictures of one token at random."""
    images: dict[str, ProcessedImage] = {}
    rows = []
    for index, length in enumerate(lengths):
        count = data.draw(st.integers(0, min(2, length - 1)))
        names = [f"{index}.{k}" for k in range(count)]
        spans = tuple(ImageSpan(k, 1, (1, 1, 1), name) for k, name in enumerate(names))
        for name in names:
            images[name] = ProcessedImage(torch.zeros(1, 1), (1, 1, 1), 1, name, np.zeros((1, 1, 3), dtype=np.uint8))
        rows.append(Row((Segment("prompt", (9,) * count + (index % 9,) * (length - count), 0, spans),)))
    batch = make_batch(rows, list(range(len(rows))), [0.0] * len(rows), images.__getitem__, 1)
    seen: list[int] = []
    for micro in batch.split(most):
        assert len(micro) == 1 or micro.input_ids.numel() <= most
        assert micro.attention_mask.any(0).all()  # no column is padding alone
        for local, index in enumerate(micro.trajectory.tolist()):
            kept = micro.attention_mask[local]
            assert tuple(micro.input_ids[local][kept].tolist()) == rows[index].token_ids
            shas = [image.sha256 for image, of in zip(micro.images, micro.image_row, strict=True) if of == local]
            assert shas == [span.sha256 for span in rows[index].images]
        assert list(micro.image_row) == sorted(micro.image_row)
        seen += micro.trajectory.tolist()
    assert seen == list(range(len(rows)))


def with_span(row: Row, **changes: object) -> Row:
    prompt = row.segments[0]
    (span,) = prompt.images
    return Row((replace(prompt, images=(replace(span, **changes),)), *row.segments[1:]))  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["another picture", "shorter span", "another grid", "shifted span", "stray token"])
def test_a_batch_in_which_images_and_placeholders_disagree_cannot_be_built(
    one_renderer: Renderer, picture: Picture, fault: str
) -> None:
    row = rows_of(one_renderer, picture)[1]
    (span,) = row.images
    if fault == "another picture":
        row = with_span(row, sha256=one_renderer.prompt("", [picture(30, 30)]).images[0].sha256)
    elif fault == "shorter span":
        row = with_span(row, length=span.length - 1)
    elif fault == "another grid":
        row = with_span(row, grid=(span.grid[0], span.grid[2], span.grid[1]))
    elif fault == "shifted span":
        row = with_span(row, start=span.start + 1)
    else:
        row = row.append(Segment("observation", (one_renderer.processor.image_token_id,), 1))
    with pytest.raises(ValueError, match=r"features|coincide"):
        batch_of(one_renderer, [row])


@pytest.mark.parametrize(("trajectory", "advantages"), [([0], [1.0, 1.0]), ([0, 1], [1.0]), ([0], [1.0])])
def test_every_row_has_a_trajectory_and_an_advantage(
    one_renderer: Renderer, picture: Picture, trajectory: list[int], advantages: list[float]
) -> None:
    rows = rows_of(one_renderer, picture)[:2]
    with pytest.raises(ValueError, match="2 rows"):
        make_batch(rows, trajectory, advantages, one_renderer.pixels, one_renderer.processor.merge)


def plain_batch(lengths: Sequence[int], owners: Sequence[int]) -> Batch:
    rows = [
        Row((Segment("prompt", (1,), 0), Segment("action", (5,) * (n - 1), k, (), (-0.5,) * (n - 1))))
        for k, n in enumerate(lengths)
    ]
    return make_batch(rows, owners, [0.0] * len(rows), {}.__getitem__, 1)


def test_rows_of_a_trajectory_stay_together_where_that_is_asked_for() -> None:
    """Rows of 4, 2, 5, 3, 2 tokens, of the trajectories 0 0 3 3 7; a trajectory longer than the budget stands alone."""
    batch = plain_batch([4, 2, 5, 3, 2], [0, 0, 3, 3, 7])
    assert list(batch.spans(8, whole=True)) == [(0, 2, 4), (2, 4, 5), (4, 5, 2)]
    assert list(batch.spans(8)) == [(0, 2, 4), (2, 3, 5), (3, 5, 3)]
    assert list(batch.spans(15, whole=True)) == [(0, 2, 4), (2, 5, 5)]
    assert list(batch.spans(25, whole=True)) == [(0, 5, 5)]


def test_every_token_has_its_turn() -> None:
    batch = plain_batch([3, 2], [0, 0])
    assert batch.turns.tolist() == [[0, 0, 0], [0, 1, 0]]


def test_chosen_rows_keep_what_belongs_to_them(one_renderer: Renderer, picture: Picture) -> None:
    batch = batch_of(one_renderer, rows_of(one_renderer, picture))
    chosen = batch.select([1, 2, 4])
    assert chosen.trajectory.tolist() == [1, 2, 4]
    assert chosen.image_row == (0, 1, 1, 1, 2, 2)
    assert [i.sha256 for i in chosen.images] == [
        i.sha256 for i, row in zip(batch.images, batch.image_row, strict=True) if row in (1, 2, 4)
    ]
    assert torch.equal(chosen.input_ids, batch.input_ids[[1, 2, 4]])
    assert torch.equal(chosen.position_ids, batch.position_ids[:, [1, 2, 4]])


def test_packed_micro_batches_count_a_shared_prompt_once_and_no_padding(
    one_renderer: Renderer, picture: Picture
) -> None:
    prompts = [one_renderer.prompt("How many? " * 9, (picture(30, 30, kind),)) for kind in (1, 2)]
    lengths = (3, 20, 5, 4)
    rows = [Row((p, Segment("action", tuple(range(n)), 0))) for p in prompts for n in lengths]
    batch = batch_of(one_renderer, rows)
    group = len(prompts[0].token_ids) + sum(lengths)
    assert [b.trajectory.tolist() for b in batch.split(group, packed=True)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(list(batch.split(2 * group, packed=True))) == 1
    assert [len(b) for b in batch.split(group - 1, packed=True)] == [3, 1, 3, 1]
    assert len(list(batch.split(2 * group))) > 2  # padded, and each with its prompt
