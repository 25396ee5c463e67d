"""The other half of a checkpoint folder: tokenizer, image processor, chat template. Text and pictures in, numbers out.

The parts are loaded one by one and never through transformers' processor classes: those need torchvision (for videos,
which nobody asks for here), and a folder whose processor class is unknown makes `AutoProcessor` return a bare tokenizer
without a word.
"""

from __future__ import annotations

import json
import shutil
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ..errors import CheckpointError, ObservationError
from .picture_hash import image_sha256

IMAGE_PROCESSORS = ("Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast", "Qwen2VLImageProcessorPil")
NOT_SETTINGS = {"image_processor_type", "processor_class", "auto_map"}
PROCESSOR_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
CACHED_IMAGES = 4096
CACHED_TEXTS = 4096


@dataclass(frozen=True, eq=False)
class ProcessedImage:
    """A picture as the vision tower takes it: `pixels` (patches, channels x frames x side x side) float32, `grid`
    (frames, rows, columns) of patches, `tokens` features after merging; `original` uint8 (height, width, 3). LLaVA's
    family has `pixels` (1, channels, height, width) and, as its positions have one axis, `grid` (tokens, 1, 1)."""

    pixels: torch.Tensor
    grid: tuple[int, int, int]
    tokens: int
    sha256: str
    original: np.ndarray


# What an environment shows, or what has been made of it already.
Picture: TypeAlias = "np.ndarray | ProcessedImage"


class Processor:
    """Tokenizer, image processor and chat template of one checkpoint folder.

    Raises:
        CheckpointError: a part is missing, is of another family, or disagrees with the model's config.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = read_json(folder / "config.json", "the model's config")
        self.image_processor: Any = self._load_images()
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(folder)
        self.merge: int = getattr(self.image_processor, "merge_size", 1)
        self._encoded: dict[str, tuple[int, ...]] = {}
        self._images: OrderedDict[str, ProcessedImage] = OrderedDict()
        self._lock = Lock()  # of the cache: environments' threads process their pictures themselves
        self._turns: dict[str, Lock] = {}
        self._check()

    def _check(self) -> None:
        self._check_images()
        for token in (self.image_token, *self.image_frame):
            if self.tokenizer.convert_tokens_to_ids(token) in (None, self.tokenizer.unk_token_id):
                raise CheckpointError(f"{self.folder}: the tokenizer does not know {token}; is it a text-only model's?")
        models = self.config.get("image_token_id", self.config.get("image_token_index", self.image_token_id))
        if self.image_token_id != models:
            raise CheckpointError(
                f"{self.folder}: the tokenizer's {self.image_token} is token {self.image_token_id}, config.json says "
                f"image_token_id={models}. Tokenizer and weights belong to different models."
            )
        if not self.tokenizer.chat_template:
            raise CheckpointError(
                f"{self.folder}: no chat template (chat_template.jinja, chat_template.json or in tokenizer_config.json)"
                ". Base models have none: use the instruction-tuned checkpoint, or add a chat_template.jinja."
            )

    # What stands for a picture, and what stands around it.
    image_token = "<|image_pad|>"
    image_frame: tuple[str, ...] = ("<|vision_start|>", "<|vision_end|>")

    def _load_images(self) -> Any:
        return load_image_processor(self.folder)

    def _check_images(self) -> None:
        vision = self.config.get("vision_config", {})
        pairs = [
            ("patch_size", self.image_processor.patch_size, vision.get("patch_size", 14)),
            ("merge_size", self.image_processor.merge_size, vision.get("spatial_merge_size", 2)),
            ("temporal_patch_size", self.image_processor.temporal_patch_size, vision.get("temporal_patch_size", 2)),
        ]
        for name, ours, models in pairs:
            if ours != models:
                raise CheckpointError(
                    f"{self.folder}: preprocessor_config.json has {name}={ours}, but the vision tower in config.json "
                    f"has {models}. The processor belongs to another model; copy the one that came with these weights."
                )

    @cached_property
    def image_token_id(self) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(self.image_token))

    @cached_property
    def control_tokens(self) -> dict[str, int]:
        """Every token that means something to the model rather than says something: special ones, and those spelled
        like `<|...|>` even where a tokenizer forgot to mark them."""
        added = {str(token): index for index, token in self.tokenizer.added_tokens_decoder.items()}
        special = set(self.tokenizer.all_special_tokens)
        special |= {str(t) for t in self.tokenizer.added_tokens_decoder.values() if t.special}
        return {t: i for t, i in added.items() if t in special or (t.startswith("<|") and t.endswith("|>"))}

    @cached_property
    def vocabulary(self) -> int:
        """Rows of the embedding matrix: token ids are below this."""
        return int(self.config.get("text_config", self.config).get("vocab_size", len(self.tokenizer)))

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end a turn: the tokenizer's end token."""
        return (int(self.tokenizer.eos_token_id),)

    @cached_property
    def banned_ids(self) -> tuple[int, ...]:
        """What a policy must never sample: every control token but the end of a turn, and the ids that exist in the
        embedding matrix only as padding, which have no text."""
        nameless = set(range(self.vocabulary)) - set(self.tokenizer.get_vocab().values())
        return tuple(sorted((set(self.control_tokens.values()) | nameless) - set(self.stop_ids)))

    def encode(self, text: str) -> list[int]:
        """Token ids of untrusted text. The spelling of a control token in it stays text: it is cut after its first
        character, so that no tokenizer can match it."""
        if text in self._encoded:
            return list(self._encoded[text])
        ids: list[int] = []
        for piece in self._split(text):
            # The backend itself: transformers' wrapper costs twenty times as much on short texts.
            ids += self.tokenizer.backend_tokenizer.encode(piece, add_special_tokens=False).ids
        forbidden = set(ids) & set(self.control_tokens.values())
        if forbidden:
            raise ObservationError(f"text became control tokens {sorted(forbidden)}; report this text: {text[:200]!r}")
        if len(self._encoded) >= CACHED_TEXTS:
            self._encoded.clear()
        self._encoded[text] = tuple(ids)
        return ids

    def _split(self, text: str) -> list[str]:
        # A lone surrogate has no UTF-8 form; "?" is what Python's own codecs put in its place.
        pieces = [text.encode("utf-8", "replace").decode("utf-8")]
        for token in self.control_tokens:
            pieces = [part for piece in pieces for part in _break(piece, token)]
        return [piece for piece in pieces if piece]

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens, special ones spelled out."""
        # The backend itself, as in `encode`; transformers' wrapper would only clean up spaces, which nobody wants.
        return str(self.tokenizer.backend_tokenizer.decode(list(token_ids), skip_special_tokens=False))

    def process(self, image: np.ndarray) -> ProcessedImage:
        """Pixels of a uint8 (height, width, 3) picture; equal pictures are processed once, whichever threads bring
        them.

        Raises:
            ObservationError: not such an array, empty, too large, or of an aspect ratio that the model refuses.
        """
        sha256 = image_sha256(image)
        with self._lock:
            if (known := self._known(sha256)) is not None:
                return known
            turn = self._turns.setdefault(sha256, Lock())
        with turn:  # whoever comes second with the same picture waits for the first
            with self._lock:
                if (known := self._known(sha256)) is not None:
                    return known
            try:
                processed = self._processed(image, sha256)
                with self._lock:
                    self._images[sha256] = processed
                    while len(self._images) > CACHED_IMAGES:
                        self._images.popitem(last=False)
            finally:
                with self._lock:
                    self._turns.pop(sha256, None)
        return processed

    def _known(self, sha256: str) -> ProcessedImage | None:
        if sha256 in self._images:
            self._images.move_to_end(sha256)
        return self._images.get(sha256)

    def _processed(self, image: np.ndarray, sha256: str) -> ProcessedImage:
        image = image.copy()  # an environment may draw its next picture into the same array
        image.flags.writeable = False
        try:
            out = self.image_processor(images=[image], return_tensors="pt", input_data_format="channels_last")
        except ValueError as error:
            raise ObservationError(f"the image processor refuses a picture of shape {image.shape}: {error}") from error
        grid, tokens = self._layout(out)
        return ProcessedImage(out["pixel_values"].to(torch.float32).contiguous(), grid, tokens, sha256, image)

    def _layout(self, out: Mapping[str, Any]) -> tuple[tuple[int, int, int], int]:
        """Grid of patches and number of features of what the image processor returned for one picture."""
        frames, rows, columns = (int(side) for side in out["image_grid_thw"][0])
        tokens = frames * rows * columns // self.merge**2
        if len(out["pixel_values"]) != tokens * self.merge**2:
            grid = (frames, rows, columns)
            raise ObservationError(f"{len(out['pixel_values'])} patches for a grid of {grid} and merge {self.merge}")
        return (frames, rows, columns), tokens

    def save(self, folder: Path) -> None:
        """Copy the processor's files as they are, so that a trained checkpoint loads wherever its origin did."""
        for name in PROCESSOR_FILES:
            if (self.folder / name).exists():
                shutil.copyfile(self.folder / name, folder / name)


def _break(piece: str, token: str) -> list[str]:
    parts = piece.split(token)
    broken = [parts[0]]
    for part in parts[1:]:
        broken[-1] += token[0]
        broken.append(token[1:] + part)
    return broken


def read_json(path: Path, what: str) -> dict:
    """A file of a checkpoint folder; `what` it is, for the message of the CheckpointError where it cannot be read."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent}: {path.name} ({what}) is missing; is this a checkpoint folder?") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error


def image_processor_settings(folder: Path) -> dict[str, Any]:
    """The settings of a checkpoint folder's image processor.

    Raises:
        CheckpointError: there are none.
    """
    if (folder / "preprocessor_config.json").exists():
        return read_json(folder / "preprocessor_config.json", "the image processor")
    if (folder / "processor_config.json").exists():
        return dict(read_json(folder / "processor_config.json", "the processor").get("image_processor", {}))
    raise CheckpointError(
        f"{folder}: no preprocessor_config.json: without an image processor this folder holds a bare tokenizer, "
        "and pictures would be dropped. Copy preprocessor_config.json from the model's origin."
    )


def load_image_processor(folder: Path) -> Qwen2VLImageProcessorPil:
    """The image processor of a checkpoint folder of the Qwen families.

    Raises:
        CheckpointError: it is missing or of another family.
    """
    settings = image_processor_settings(folder)
    kind = settings.get("image_processor_type")
    if kind not in IMAGE_PROCESSORS:
        raise CheckpointError(
            f"{folder}: the image processor is {kind!r}; supported are {', '.join(IMAGE_PROCESSORS)} (the Qwen2-VL, "
            "Qwen2.5-VL and Qwen3-VL families)."
        )
    return Qwen2VLImageProcessorPil(**{k: v for k, v in settings.items() if k not in NOT_SETTINGS})


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The fast tokenizer of a checkpoint folder, with its chat template if there is one.

    Raises:
        CheckpointError: it is missing or not a fast one.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: no tokenizer could be loaded: {error}") from error
    if not tokenizer.is_fast:
        raise CheckpointError(f"{folder}: the tokenizer is not a fast one; add its tokenizer.json")
    # A tokenizer.json can carry its trainer's settings; a prompt is never cut or padded here.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    if not tokenizer.chat_template and (folder / "chat_template.json").exists():
        tokenizer.chat_template = read_json(folder / "chat_template.json", "the chat template").get("chat_template")
    return tokenizer
