"""Running programs that nobody vouches for, and searching: what the tools of environments run on. Never torch."""
