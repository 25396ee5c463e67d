"""Environments over a published list of items: the same episode, with the item as the world.

Procedural worlds are drawn; published ones are looked up. Item i of a split is task i, in the published order. A seed
names an item too: the one that the generator of (environment, split, seed) draws, so that a run is repeated by its seed
here as elsewhere.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeVar

from .arguments import one_of
from .env import Environment
from .errors import ArgumentError, DatasetError
from .spaces import Images
from .tasks import SPLITS, Task, generator, hash_state

Item = TypeVar("Item")


class Listed(Environment[Item]):
    """Base of environments over published data. Define `load` and the hooks from `state` on (see `env`).

    Args:
        data: a folder or a file in the published format, or a hub name; None means the published hub name.
        The others are those of `Environment`.
    """

    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __init__(
        self,
        *,
        images: Images,
        data: str | None = None,
        split: str = "test",
        max_turns: int = 1,
        max_text: int = 1 << 16,
        render_mode: str | None = None,
    ) -> None:
        if data is not None and (not isinstance(data, str) or not data.strip()):
            raise ArgumentError(f"data must be a folder, a file or a hub name, or None for the hub's; got {data!r}")
        self.data = data
        self._items: dict[str, Sequence[Item]] = {}
        super().__init__(images=images, split=split, max_turns=max_turns, max_text=max_text, render_mode=render_mode)

    @abstractmethod
    def load(self, split: str) -> Sequence[Item]:
        """The items of a split in the published order. Called once a split, when it is first needed.

        Raises:
            DatasetError: the data are missing or malformed.
        """

    def items(self, split: str | None = None) -> Sequence[Item]:
        """The items of a split (the environment's own by default), loaded once."""
        split = one_of("split", self.split if split is None else split, self.splits)
        if split not in self._items:
            items = self.load(split)
            if not len(items):
                raise DatasetError(
                    f"{type(self).__name__}: the split {split!r} of {self.data or 'the published data'} holds no item"
                )
            self._items[split] = items
        return self._items[split]

    def num_tasks(self, split: str | None = None) -> int:
        return len(self.items(split))

    def draw(self, index: int | None, seed: int | None) -> Task[Item]:
        items = self.items()
        if index is None:
            at = int(generator(type(self).__name__, self.split, "seed", seed or 0).integers(len(items)))
        else:
            at = index
        item = items[at]
        return Task(self.split, index, seed, item, hash_state(self.state(item)))
