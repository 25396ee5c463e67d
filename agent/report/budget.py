"""How many bytes of the page something may take: every file gets its share, so that late steps are seen as well."""

from __future__ import annotations


class Budget:
    """Bytes, to be shared by a number of files in turn; what one does not need is there for those after it.

    Args:
        total: Bytes for all files.
        files: How many there will be.
    """

    def __init__(self, total: int, files: int) -> None:
        self._left, self._files = total, files
        self._here = 0
        self.spent = False

    def open_file(self) -> None:
        """The next file begins: it may take an equal part of what is left."""
        self._here = self._left // max(1, self._files)
        self._files -= 1
        self.spent = False

    def take(self, size: int) -> bool:
        """Whether there is room for `size` bytes, which are then taken; once there is not, the file has had enough."""
        if self.spent or size > self._here:
            self.spent = True
            return False
        self._here -= size
        self._left -= size
        return True
