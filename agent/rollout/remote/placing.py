"""Which of several servers an episode is played on.

All turns of an episode go to one server, whose prefix cache holds the earlier ones. Siblings begin with the same prompt
and go to the same server too, as long as that does not make it much fuller than the others.
"""

from __future__ import annotations

from collections import Counter

from ..engine import Request

# Episodes by which a server may be fuller than the emptiest one for the sake of a prompt that it has seen.
SLACK = 16

Prompt = tuple[tuple[int, ...], tuple[str, ...]]


class Placing:
    """Gives episodes to `count` servers. It depends on the order of requests alone."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._server: dict[int, int] = {}
        self._prompts: dict[Prompt, int] = {}
        self._waiting: dict[Prompt, int] = {}
        self._prompt_of: dict[int, Prompt] = {}

    def server(self, request: Request) -> int:
        """Index of the server for a request; the first request of an episode decides."""
        if request.episode not in self._server:
            prompt = (request.token_ids, tuple(image.sha256 for image in request.images))
            load = Counter(self._server.values())
            emptiest = min(range(self._count), key=lambda server: (load[server], server))
            known = self._prompts.get(prompt)
            if known is None or load[known] - load[emptiest] >= SLACK:
                known = self._prompts[prompt] = emptiest
            self._server[request.episode] = known
            self._prompt_of[request.episode] = prompt
            self._waiting[prompt] = self._waiting.get(prompt, 0) + 1
        return self._server[request.episode]

    def release(self, episode: int) -> None:
        """The episode is over. A prompt is forgotten with the last episode that began with it."""
        if self._server.pop(episode, None) is None:
            return
        prompt = self._prompt_of.pop(episode)
        self._waiting[prompt] -= 1
        if not self._waiting[prompt]:
            del self._waiting[prompt], self._prompts[prompt]
