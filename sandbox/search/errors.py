"""Every exception that searching raises on purpose.

    SearchError
    ├── SearchArgumentError    (ValueError)   what the caller asked for is not allowed: top_k, a name, a key, a folder
    ├── CorpusError            (ValueError)   passages are malformed: the message names file, row and field
    ├── IndexFolderError       (ValueError)   a folder holds no index, a damaged one, or one of another version
    ├── ReplayMissError        (LookupError)  what is repeated from a cache asks what was never recorded
    └── SearchUnavailableError (RuntimeError) the search itself cannot be reached: not installed, not there, not up

The text of a query is never a reason, but for a ReplayMissError: it comes from a policy, and any string has a result,
if an empty one.
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


class ReplayMissError(SearchError, LookupError):
    """A query is not in the cache, and nothing but the cache may be asked. The message names query and cache.

    No infrastructure failure: a run that is repeated and asks something new is another run, and must stop rather
    than go on without the episodes that differ.
    """


class SearchUnavailableError(SearchError, RuntimeError):
    """Searching failed, or cannot begin, through nobody's fault here. A trainer drops the episode."""

    infrastructure_failure: ClassVar[bool] = True
