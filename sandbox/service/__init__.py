"""Sandboxes over HTTP, for trainers on other hosts: `python -m sandbox serve`; the client is `sandbox.remote`."""
