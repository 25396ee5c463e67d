"""Whose fault a failed search is."""

from sandbox.search import errors


def test_a_search_that_cannot_be_reached_drops_the_episode_and_a_mistake_of_the_caller_does_not() -> None:
    assert errors.SearchUnavailableError.infrastructure_failure is True
    for mistake in (errors.SearchArgumentError, errors.CorpusError, errors.IndexFolderError, errors.ReplayMissError):
        assert not getattr(mistake, "infrastructure_failure", False)
