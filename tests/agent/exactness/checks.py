"""No sampled token encoded again, no token masked wrongly, no picture out of place.

Everything is worked out again from what the engine was asked and answered and from the world, never from the segments
that the trainer's batch is made of. Each check returns what is wrong, in words.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch

from agent.engine.batching import Batch
from agent.model.load import VLM
from agent.model.processor import ProcessedImage, image_sha256
from agent.types import Row
from tests.agent.exactness.play import Played


def token_errors(played: Played) -> list[str]:
    """No sampled token was encoded again, nothing was lost between turns, and every text is what the world said."""
    errors = []
    for index, (trajectory, turns) in enumerate(zip(played.trajectories, played.turns, strict=True)):
        actions = list(trajectory.actions)
        if len(actions) != len(turns):
            errors.append(f"episode {index}: {len(actions)} actions, the engine answered {len(turns)} times")
            continue
        for turn, (action, (_, completion)) in enumerate(zip(actions, turns, strict=True)):
            if action.token_ids != completion.token_ids or action.logprobs != completion.logprobs:
                errors.append(f"episode {index}, turn {turn}: recorded is not what the engine answered")
            if action.turn != turn or len(action.token_ids) > played.budget.max_turn_tokens:
                errors.append(f"episode {index}, turn {turn}: numbered {action.turn}, {len(action.token_ids)} tokens")
        if 0 < played.budget.max_episode_tokens < trajectory.action_count:
            errors.append(f"episode {index}: {trajectory.action_count} tokens, more than it may have")
        errors += [f"episode {index}: {error}" for error in _turn_errors(played, index)]
        errors += [f"episode {index}: {error}" for error in _row_errors(played, index)]
    return errors


def _turn_errors(played: Played, index: int) -> Iterator[str]:
    """Each turn as the engine saw it: nothing banned, one end token at most, and all of the turn before in front."""
    processor, turns = played.vlm.processor, played.turns[index]
    banned, stops = set(processor.banned_ids), set(processor.stop_ids)
    for turn, (_, completion) in enumerate(turns):
        ids = completion.token_ids
        if banned.intersection(ids) or stops.intersection(ids[:-1]):
            yield f"turn {turn}: a banned token, or an end token within the turn"
        if (ids[-1] in stops) != (completion.stop_reason == "stop"):
            yield f"turn {turn}: ended by token {ids[-1]}, told as {completion.stop_reason!r}"
    for row in played.told[index]:
        for before, after in pairwise(row):
            (request, completion), (following, _) = turns[before], turns[after]
            sampled = request.token_ids + completion.token_ids
            if following.token_ids[: len(sampled)] != sampled:
                yield f"turn {after}: what was sampled is not a prefix of the next prompt"
            if following.images[: len(request.images)] != request.images:
                yield f"turn {after}: the pictures of the turn before are not the first of this one"


def _row_errors(played: Played, index: int) -> Iterator[str]:
    """Rows begin where they should, and each is what the engine saw and the world said, action by action."""
    trajectory, turns, told = played.trajectories[index], played.turns[index], played.told[index]
    if len(trajectory.rows) != len(told):
        yield f"{len(trajectory.rows)} rows, there should be {len(told)}"
        return
    for number, (row, numbers) in enumerate(zip(trajectory.rows, told, strict=True)):
        if len(row) > played.budget.max_row_tokens:
            yield f"a row of {len(row)} tokens, {played.budget.max_row_tokens} allowed"
        pieces = [segment for segment in row.segments if segment.kind != "action"]
        if len(pieces) != len(numbers):
            yield f"{len(pieces)} prompts and observations for the turns {numbers}"
            continue
        for place, turn in enumerate(numbers):
            before = Row(row.segments[: 2 * place + 1]).collapsed
            if before != turns[turn][0].token_ids:
                yield f"turn {turn}: the row before the action is not what the engine was given"
        if played.renderer.family.rewrites_history:
            if played.vlm.processor.decode(Row(row.segments[:1]).collapsed) != _conversation(played, index, number):
                yield f"turn {numbers[0]}: the prompt is not the template's rendering of the conversation"
            continue
        for place, (turn, piece) in enumerate(zip(numbers, pieces, strict=True)):
            if _spelled(played, piece.token_ids) != _expected(played, index, turn, first=place == 0):
                yield f"turn {turn}: the tokens do not say what the world said"


def _conversation(played: Played, index: int, row: int) -> str:
    """What the chat template makes of all that was said since the last restart, control tokens spelled out."""
    messages: list[dict[str, object]] = []
    for turn in played.shown(index, row):
        if messages:
            answer = [{"type": "text", "text": played.answer(index, turn - 1)}]
            messages.append({"role": "assistant", "content": answer})
        images = [{"type": "image"}] * len(played.worlds[index].scenes[turn].images)
        messages.append({"role": "user", "content": [*images, {"type": "text", "text": played.said(index, turn)}]})
    tokenizer = played.vlm.processor.tokenizer
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _spelled(played: Played, token_ids: Sequence[int]) -> list[int | str]:
    """Control tokens as ids and the text between them."""
    control = set(played.vlm.processor.control_tokens.values())
    parts: list[int | str] = []
    plain: list[int] = []
    for token in (*token_ids, None):
        if token is not None and token not in control:
            plain.append(token)
            continue
        if plain:
            parts.append(played.vlm.processor.decode(plain))
            plain = []
        if token is not None:
            parts.append(token)
    return parts


def _expected(played: Played, index: int, turn: int, first: bool) -> list[int | str]:
    """The same from the template's strings: their control tokens are meant, the world's text has none."""
    processor, family = played.vlm.processor, played.renderer.family
    head, image, tail = family.opening, family.image, family.reply
    if not first:
        ended = played.turns[index][turn - 1][1].stop_reason == "stop"
        head = family.following if ended else family.closing + family.following
        image, tail = family.observation_image or "", family.resuming
    for picture in played.worlds[index].scenes[turn].images:
        head += image.replace(processor.image_token, processor.image_token * processor.process(picture).tokens)
    parts: list[int | str] = []
    control = processor.control_tokens
    for part in (*_cut(control, head), played.said(index, turn), *_cut(control, tail)):
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        elif part != "":
            parts.append(part)
    return parts


def _cut(control: dict[str, int], text: str) -> list[int | str]:
    """A template's text with its control tokens as ids."""
    at = [(text.find(token), token) for token in control if token in text]
    if not at:
        return [text]
    start, token = min(at, key=lambda found: (found[0], -len(found[1])))
    return [text[:start], control[token], *_cut(control, text[start + len(token) :])]


def mask_errors(played: Played, batch: Batch) -> list[str]:
    """The mask is True at what the engine sampled and nowhere else, with the engine's ids and log-probabilities."""
    errors = []
    expected = torch.zeros_like(batch.action_mask)
    sampler = torch.zeros_like(batch.sampler_logprobs)
    for line, (index, row) in enumerate(played.trained):
        sampled: list[int] = []
        length = 0
        for turn, (request, completion) in zip(played.told[index][row], played.pairs(index, row), strict=True):
            start = len(request.token_ids) + sum(image.tokens - 1 for image in request.images)
            length = start + len(completion.token_ids)
            expected[line, start:length] = True
            sampler[line, start:length] = torch.tensor(completion.logprobs)
            sampled += completion.token_ids
            if set(batch.turns[line, start:length].tolist()) != {turn}:
                errors.append(f"row {line}: tokens of turn {turn} are counted to another")
        if batch.input_ids[line][expected[line]].tolist() != sampled:
            errors.append(f"row {line}: the ids at the engine's places are not the engine's")
        if int(batch.attention_mask[line].sum()) != length or bool(batch.attention_mask[line, length:].any()):
            errors.append(
                f"row {line}: {int(batch.attention_mask[line].sum())} tokens attended to, {length} in the row"
            )
    wrong = (batch.action_mask != expected).nonzero().tolist()
    errors += [f"row {line}: the mask is wrong at token {token}" for line, token in wrong[:5]]
    if not torch.equal(batch.sampler_logprobs, sampler):
        errors.append("log-probabilities stand at other tokens than the engine's")
    count = sum(len(c.token_ids) for index, row in played.trained for _, c in played.pairs(index, row))
    if int(batch.action_mask.sum()) != count:
        errors.append(f"{int(batch.action_mask.sum())} tokens are trained, {count} were sampled")
    return errors


def picture_errors(played: Played, batch: Batch) -> list[str]:
    """Every picture is the world's, in its place, with a token for each feature, and the very tensor that the sampler
    was given."""
    errors = []
    processor = played.vlm.processor
    given = iter(batch.images)
    for line, (index, row) in enumerate(played.trained):
        shown, spans = played.pictures(index, row), played.trajectories[index].rows[row].images
        asked = played.pairs(index, row)[-1][0].images
        if not len(shown) == len(spans) == len(asked) == batch.image_row.count(line):
            errors.append(f"row {line}: {len(shown)} pictures shown, {len(spans)} spans, {len(asked)} for the sampler")
            continue
        features = 0
        for picture, span, sampled, trained in zip(shown, spans, asked, given, strict=False):
            inside = batch.input_ids[line, span.start : span.start + span.length]
            features += trained.tokens
            if not (trained is sampled and trained is played.renderer.pixels(span.sha256)):
                errors.append(f"row {line}: sampler and trainer hold different tensors of a picture")
            if not np.array_equal(trained.original, picture) or span.sha256 != image_sha256(picture):
                errors.append(f"row {line}: a picture is not the one that the world showed there")
            if span.length != trained.tokens or set(inside.tolist()) != {processor.image_token_id}:
                errors.append(f"row {line}: {trained.tokens} features for a span of {span.length}")
        if int((batch.input_ids[line] == processor.image_token_id).sum()) != features:
            errors.append(f"row {line}: image tokens outside of pictures")
    distinct = {image.sha256: image for image in batch.images}
    return errors + [error for image in distinct.values() for error in _tensor_errors(played.vlm, image)]


@torch.no_grad()
def _tensor_errors(vlm: VLM, image: ProcessedImage) -> Iterator[str]:
    """Whether the tensor is the picture's, and the tower makes of it what the placeholders promise."""
    plain = vlm.processor.image_processor.processor
    again = plain(images=[image.original], return_tensors="pt", input_data_format="channels_last")["pixel_values"]
    if not torch.equal(again.float(), image.pixels):
        yield f"picture {image.sha256[:8]}: its tensor is not its own"
    sizes = {} if vlm.family == "llava" else {"image_grid_thw": torch.tensor([image.grid])}
    (features,) = vlm.model.base_model.get_image_features(image.pixels, **sizes).pooler_output
    if len(features) != image.tokens:
        yield f"picture {image.sha256[:8]}: {len(features)} features, {image.tokens} promised"


def processing_errors(vlm: VLM) -> list[str]:
    """Each picture went through the image processor once, whoever saw it and however often."""
    calls = vlm.processor.image_processor.calls
    return [f"picture {sha256[:8]} was processed {count} times" for sha256, count in calls.items() if count != 1]
