"""The critic's model: one number for each state, on top of the last hidden states of a vision-language model.

The value of the state before token t is v = w . h[t - 1] + b, where h[t - 1] is the last hidden state at the token
before it: what the model knows when it chooses token t (as in PPO for language models, arXiv 2203.02155, and TRL). The
trunk is a copy of the policy's model without its head, or the policy's own.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from ..engine.batching import Batch
from ..errors import CheckpointError
from .load import DTYPES
from .lora import fold, has_adapter
from .shared_prompt import batch_hidden_states

SETTINGS, HEAD, TRUNK = "value_head.json", "value_head.safetensors", "trunk"


class ValueModel(nn.Module):
    """A value function over the states of a batch. Values are float32, in units of reward.

    Made by `own_trunk` or `shared_trunk`. `parameters()` and `state_dict()` hold what belongs to the critic: the head,
    and the trunk if it is its own.

    Args:
        trunk: A vision-language model, with or without its language-modelling head.
        shared: The trunk is the policy's: it is neither counted nor saved among the critic's weights.
        detach_trunk: No gradient of the values flows into the trunk.
        init_std: Standard deviation of the head's first weights; 0: every first value is `init_bias`.
        init_bias: The head's first bias.
        seed: Of the head's first weights.
    """

    def __init__(
        self,
        trunk: PreTrainedModel,
        shared: bool,
        detach_trunk: bool = False,
        init_std: float = 0.0,
        init_bias: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.shared, self.detach_trunk = shared, detach_trunk
        self._shared_trunk = (trunk,) if shared else ()  # a tuple hides it from parameters() and state_dict()
        self.own_trunk = None if shared else trunk
        # The head stays in float32: values are regressed, and 8 bits cannot tell 0.50 from 0.501.
        hidden = trunk.config.get_text_config().hidden_size
        self.head = nn.utils.skip_init(nn.Linear, hidden, 1, dtype=torch.float32)
        with torch.no_grad():
            noise = torch.randn(hidden, generator=torch.Generator().manual_seed(seed))
            self.head.weight.copy_(init_std * noise)
            self.head.bias.fill_(init_bias)
        self.head.to(trunk.device)

    @property
    def trunk(self) -> PreTrainedModel:
        return self._shared_trunk[0] if self.own_trunk is None else self.own_trunk

    def values(self, batch: Batch) -> Float[Tensor, "rows tokens"]:
        """Value of the state before each action token; 0 elsewhere."""
        return self.from_hidden(batch_hidden_states(self.trunk, batch), batch)[0]

    def final_values(self, batch: Batch) -> Float[Tensor, " rows"]:
        """Value of the state after the last token of each row."""
        return self.from_hidden(batch_hidden_states(self.trunk, batch), batch)[1]

    def forward(self, batch: Batch) -> tuple[Float[Tensor, "rows tokens"], Float[Tensor, " rows"]]:
        """Both, from one pass."""
        return self.from_hidden(batch_hidden_states(self.trunk, batch), batch)

    def from_hidden(
        self, hidden: Float[Tensor, "rows tokens channels"], batch: Batch
    ) -> tuple[Float[Tensor, "rows tokens"], Float[Tensor, " rows"]]:
        """`values` and `final_values` of last hidden states that somebody else has computed already.

        `hidden` must be valid from the last token of each row's prompt on, as `batch_hidden_states` gives them.
        """
        mask = batch.action_mask.to(hidden.device)
        before = torch.zeros_like(mask)
        before[:, :-1] = mask[:, 1:]
        flat = torch.zeros(mask.shape, dtype=torch.float32, device=hidden.device)
        last = batch.attention_mask.sum(1).to(hidden.device) - 1
        rows = torch.arange(len(batch), device=hidden.device)
        return flat.masked_scatter(mask, self._value(hidden[before])), self._value(hidden[rows, last])

    def _value(self, states: Float[Tensor, "states channels"]) -> Float[Tensor, " states"]:
        states = states.detach() if self.detach_trunk else states
        return self.head(states.float())[:, 0]

    def save(self, folder: Path) -> None:
        """Write head and settings into an existing folder, and a trunk of its own as a Hugging Face folder in it."""
        settings = {"shared": self.shared, "detach_trunk": self.detach_trunk, "hidden": self.head.in_features}
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2))
        save_file({name: tensor.detach().cpu() for name, tensor in self.head.state_dict().items()}, folder / HEAD)
        if self.own_trunk is not None:
            self.own_trunk.save_pretrained(folder / TRUNK)


def own_trunk(policy: PreTrainedModel, **options: Any) -> ValueModel:
    """A critic that begins as a copy of the policy, vision included, without its language-modelling head.

    An adapter is folded in. All of the copy is trainable, whatever is frozen in the policy; see `trainable.freeze`.
    `options`: those of `ValueModel` from `detach_trunk` on.
    """
    trunk: Any = copy.deepcopy(policy.base_model)
    if has_adapter(trunk):
        fold(trunk)
    return ValueModel(trunk.requires_grad_(True), shared=False, **options)


def shared_trunk(policy: PreTrainedModel, detach_trunk: bool = False, **options: Any) -> ValueModel:
    """A critic that is a head on the policy's own last hidden states. `options`: those of `ValueModel`."""
    return ValueModel(policy, shared=True, detach_trunk=detach_trunk, **options)


def load_value_model(
    folder: Path, policy: PreTrainedModel | None = None, dtype: str = "float32", device: str = "cpu"
) -> ValueModel:
    """Load what `ValueModel.save` wrote.

    Args:
        folder: Where it was saved.
        policy: The model whose trunk is shared; needed only then.
        dtype: Of a trunk of its own: "float32" or "bfloat16".
        device: Where a trunk of its own is put.

    Raises:
        CheckpointError: a file is missing or damaged, or the head does not fit the trunk.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text())
        shared, detached, hidden = settings["shared"], settings["detach_trunk"], settings["hidden"]
        weights = load_file(folder / HEAD)
    except Exception as error:  # safetensors reports a damaged file as an exception of its own
        raise CheckpointError(f"{folder}: the critic cannot be read: {error}") from error
    if shared and policy is None:
        raise CheckpointError(f"{folder}: this critic is a head on the policy's trunk; give the policy's model")
    trunk = policy if shared and policy is not None else _trunk(folder / TRUNK, dtype, device)
    width = trunk.config.get_text_config().hidden_size
    if width != hidden:
        raise CheckpointError(
            f"{folder}: the critic's head reads {hidden} channels and the trunk has {width}; they are two models'"
        )
    model = ValueModel(trunk, shared, detached)
    model.head.load_state_dict(weights)
    return model


def _trunk(folder: Path, dtype: str, device: str) -> PreTrainedModel:
    try:
        trunk, report = AutoModel.from_pretrained(
            folder,
            dtype=DTYPES[dtype],
            local_files_only=True,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except Exception as error:
        raise CheckpointError(f"{folder}: the critic's trunk cannot be loaded: {error}") from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(
            f"{folder}: {len(missing)} weights are missing and would be random, among them {', '.join(missing[:3])}"
        )
    return trunk.to(device)
