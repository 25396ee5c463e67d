"""Finding the generation servers that a recipe names."""

from __future__ import annotations

from pathlib import Path

from ...config_engine import RemoteConfig
from ...errors import ConfigError, at_least
from ...model.load import VLM
from ..vllm_start import FAMILIES
from .connection import Connection
from .engine import RemoteEngine
from .interface import Expected, Interface
from .same_model import check_same_model
from .sglang_server import SglangInterface
from .vllm_server import VllmInterface
from .weights import WeightFolder


def start_remote(options: RemoteConfig, vlm: VLM, max_tokens: int) -> RemoteEngine:
    """An engine on these servers, each of which has been asked what it is.

    Args:
        options: Where they are.
        vlm: The model that they serve, or that they will be given the weights of.
        max_tokens: The longest context, answers included.

    Raises:
        ConfigError: an option is not acceptable, or a server is not as it must be; the message says how to start it.
        OutageError: a server does not answer.
    """
    check(options)
    patches = vlm.family != "llava"
    if options.kind == "vllm" and vlm.family not in FAMILIES:
        raise ConfigError(
            f"engine.remote.kind: vLLM has no model for the family {vlm.family!r}; it has {', '.join(FAMILIES)}. "
            "Generate with transformers: --engine.rollout transformers"
        )
    interface: Interface = VllmInterface(patches) if options.kind == "vllm" else SglangInterface()
    servers = [Connection(url, options.timeout, options.retries, options.concurrency) for url in options.urls]
    folder = WeightFolder(Path(options.folder).resolve()) if options.weights == "folder" else None
    engine = RemoteEngine(interface, servers, vlm.processor.image_token_id, folder)
    processor = vlm.processor
    try:
        prompt = tuple(processor.encode("Look again."))
        engine.check(Expected(max_tokens, folder is not None, prompt, processor.vocabulary))
        if folder is None:
            check_same_model(engine, vlm, pictures=options.kind == "vllm")
    except BaseException:
        engine.close()
        raise
    return engine


def check(options: RemoteConfig) -> None:
    """Raises ConfigError for a value that is not allowed."""
    if not options.urls:
        raise ConfigError(
            "engine.remote.urls: at least one server is needed: --engine.remote.urls '[http://host:8000]' (or generate "
            "here: --engine.rollout transformers)"
        )
    for url in options.urls:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"engine.remote.urls: {url!r} is no address: expected http://host:port")
    if len(set(options.urls)) < len(options.urls):
        raise ConfigError(f"engine.remote.urls: a server is named twice: {', '.join(options.urls)}")
    if options.weights == "folder" and not options.folder:
        raise ConfigError(
            "engine.remote.folder: weights go through a folder that the servers see under the same path: "
            "--engine.remote.folder PATH"
        )
    at_least(
        ("engine.remote.timeout", options.timeout, 1.0),
        ("engine.remote.retries", options.retries, 0),
        ("engine.remote.concurrency", options.concurrency, 1),
    )
