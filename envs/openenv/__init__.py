"""Environments of other people that an OpenEnv server offers, behind this package's contract."""

from .environment import OpenEnv

__all__ = ["OpenEnv"]
