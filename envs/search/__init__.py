"""Questions about pictures that are answered by searching. `environment` has the card of `RLLaVA/Search-v0`."""

from .environment import Search, world_passages

__all__ = ["Search", "world_passages"]
