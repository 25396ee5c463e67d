"""Attention of vision towers, in which patches see those of their own piece: a picture, or a window of one.

Without a kernel for pieces of any length, transformers' towers of the Qwen families call attention for one piece after
another: each layer as often as there are pictures, or windows (1,024 for sixteen pictures of 896 pixels). Here pieces
of one length that follow each other are one call. Asked by a name with "flash" in it, a tower hands over all pieces.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

NAME = "rllava_flash_pieces"


def attention(
    module: Any,
    query: Float[Tensor, "1 heads patches channels"],
    key: Float[Tensor, "1 heads patches channels"],
    value: Float[Tensor, "1 heads patches channels"],
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: Any = None,
    **options: Any,
) -> tuple[Float[Tensor, "1 patches heads channels"], None]:
    """Transformers' contract of an attention function. `cu_seq_lens_q`: (pieces + 1,) where each begins and ends, a
    tensor or an array; without it this is `sdpa`."""
    if cu_seq_lens_q is None:
        options |= {"scaling": scaling, "dropout": dropout}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    found, start = [], 0
    for length, pieces in groupby(stop - begin for begin, stop in pairwise(cu_seq_lens_q.tolist())):
        count = len(list(pieces))
        stop = start + count * length
        some = (each[0, :, start:stop].unflatten(1, (count, length)).transpose(0, 1) for each in (query, key, value))
        out = scaled_dot_product_attention(*some, dropout_p=dropout, scale=scaling)
        found.append(out.transpose(1, 2).flatten(0, 1))
        start = stop
    return (found[0] if len(found) == 1 else torch.cat(found))[None], None


AttentionInterface.register(NAME, attention)


def join_pieces(model: PreTrainedModel) -> None:
    """Let a model's vision tower attend to pieces of one length at once, if it would take them one by one."""
    vision: Any = model.config.vision_config
    if vision.model_type.startswith("qwen") and vision._attn_implementation == "sdpa":
        vision._attn_implementation = NAME
