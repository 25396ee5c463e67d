"""Every exception that searching raises on purpose.

    SearchError
    ├── SearchArgumentError    (ValueError)   the caller asked for what is not allowed: top_k, a name, a taken folder
    ├── CorpusError            (ValueError)   passages are malformed: the message names file, row and field
    ├── IndexFolderError       (ValueError)   a folder holds no index, a damaged one, or one of another version
    └── SearchUnavailableError (RuntimeError) the search itself cannot be reached: not installed, not there, not up

The text of a query is never a reason: it comes from a policy, and any string has a result, if an empty one.
"""

from typing import ClassVar


class SearchError(Exception):
    """The root: catches everything that searching raises on purpose."""


class SearchArgumentError(SearchError, ValueError):
    """An argument of the caller's is not allowed. The message names it, what came and what is allowed."""


class CorpusError(SearchError, ValueError):
    """Passages are malformed. The message names the file, the row (counted from 1) and the field."""


class IndexFolderError(SearchError, ValueError):
    """A folder cannot be opened as an index. The message says what is wrong with it and how to build one."""


class SearchUnavailableError(SearchError, RuntimeError):
    """Searching failed, or cannot begin, through nobody's fault here. A trainer drops the episode."""

    infrastructure_failure: ClassVar[bool] = True
