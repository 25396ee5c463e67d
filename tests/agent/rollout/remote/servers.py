"""Servers that speak vLLM's and SGLang's protocols and whose model is a hash: real HTTP, real distributions.

What they sample depends on the prompt's tokens, the weights that they were given, the seed and every sampling option
that is used here, so a client that forgets one is found out.
"""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

VOCABULARY = 64


class Server:
    """Counts and remembers what it is asked. Attributes may be changed while it runs.

    `failures`: statuses with which the next requests fail. `delay`: seconds before an answer. `raw`: it gives the
    log-probabilities of the untempered, unbiased model. `length`: the longest context. `vocabulary`: how many
    tokens there are.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.bodies: list[bytes] = []
        self.failures: list[int] = []
        self.delay = 0.0
        self.raw = False
        self.length = 512
        self.vocabulary = VOCABULARY
        self.version = "initial"
        self.weights = ""
        self.url = ""

    def paths(self) -> list[str]:
        return [path for method, path, _ in self.asked if method == "POST"]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        raise NotImplementedError

    def load(self, folder: str) -> None:
        """As a loader does: every safetensors file in the folder, and nothing else is needed there."""
        tensors: dict[str, np.ndarray] = {}
        for path in sorted(Path(folder).glob("*.safetensors")):
            tensors |= load_file(path)
        if not tensors:
            raise FileNotFoundError(f"no safetensors in {folder}")
        digest = hashlib.sha256()
        for name in sorted(tensors):
            digest.update(name.encode() + tensors[name].tobytes())
        self.weights = digest.hexdigest()

    def sample(
        self, prompt: list[int], temperature: float, seed: int, limit: int, stop: list[int], bias: dict[str, float]
    ) -> tuple[list[int], list[float]]:
        dice = np.random.default_rng(seed)
        tokens: list[int] = []
        logprobs: list[float] = []
        while len(tokens) < limit and not (tokens and tokens[-1] in stop):
            key = hashlib.sha256(f"{self.weights} {prompt + tokens}".encode()).digest()
            logits = 2.0 * np.random.default_rng(int.from_bytes(key[:8], "little")).standard_normal(self.vocabulary)
            biased = logits.copy()
            for token, added in bias.items():
                biased[int(token)] += added
            tempered = _log_softmax(biased / (temperature or 1.0))
            token = int(dice.choice(self.vocabulary, p=np.exp(tempered))) if temperature else int(tempered.argmax())
            tokens.append(token)
            logprobs.append(float((_log_softmax(logits) if self.raw else tempered)[token]))
        return tokens, logprobs


class FakeVllm(Server):
    """`development`: it was started with VLLM_SERVER_DEV_MODE=1."""

    def __init__(self, development: bool = True) -> None:
        super().__init__()
        self.development = development
        self.normalises = False
        self.busy = False
        self.echo = lambda token_ids: token_ids

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": "model", "max_model_len": self.length}]}
        if path == "/inference/v1/generate":
            return self._generate(body)
        if not self.development:
            return 404, {"detail": "Not Found"}
        if path.startswith("/server_info"):
            options = {"mm_device_do_normalize": self.normalises, "limit_per_prompt": {}}
            return 200, {"vllm_config": {"model_config": {"multimodal_config": options}}}
        if path == "/collective_rpc":
            assert body["method"] == "reload_weights"
            try:
                self.load(body["kwargs"]["weights_path"])
            except FileNotFoundError as error:
                return 500, {"error": {"message": str(error)}}
            return 200, {"results": [None]}
        if path in ("/reset_mm_cache", "/reset_encoder_cache"):
            return 200, None
        if path == "/reset_prefix_cache":
            return 200, {"success": not self.busy}
        if path == "/update_weight_version":
            self.version = body["new_version"]
            return 200, {"success": True}
        return 404, {"detail": "Not Found"}

    def _generate(self, body: Any) -> tuple[int, Any]:
        wanted, prompt = body["sampling_params"], body["token_ids"]
        if len(prompt) >= self.length:
            told = {"message": f"the prompt has {len(prompt)} tokens, the model takes {self.length}", "code": 400}
            return 400, {"error": told}
        for place, hash_, data in zip(
            body.get("features", {}).get("mm_placeholders", {}).get("image", []),
            body.get("features", {}).get("mm_hashes", {}).get("image", []),
            body.get("features", {}).get("kwargs_data", {}).get("image", []),
            strict=True,
        ):
            prompt = [*prompt, place["offset"], place["length"], *hash_.encode(), *data.encode()]
        assert wanted["ignore_eos"] and not wanted["detokenize"]
        tokens, logprobs = self.sample(
            prompt,
            wanted["temperature"],
            wanted["seed"],
            wanted["max_tokens"],
            wanted.get("stop_token_ids", []),
            wanted.get("logit_bias", {}),
        )
        stopped = tokens[-1] in wanted.get("stop_token_ids", [])
        content = [
            {"token_id": t, "logprob": p, "rank": 1, "top_logprobs": []} for t, p in zip(tokens, logprobs, strict=True)
        ]
        choice = {
            "index": 0,
            "finish_reason": "stop" if stopped else "length",
            "stop_reason": tokens[-1] if stopped else None,
            "token_ids": tokens,
            "logprobs": {"content": content},
            "weight_versions": [{"version": self.version, "start": 0, "end": len(tokens)}],
        }
        echoed = self.echo(body["token_ids"]) if body.get("return_token_ids") else None
        return 200, {"request_id": "r", "choices": [choice], "prompt_token_ids": echoed, "output_mode": "tokens"}


class FakeSglang(Server):
    def __init__(self) -> None:
        super().__init__()
        self.deterministic = True
        self.extra_tokens = 0

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/get_server_info":
            return 200, {"context_length": self.length, "enable_deterministic_inference": self.deterministic}
        if path == "/update_weights_from_disk":
            try:
                self.load(body["model_path"])
            except FileNotFoundError as error:
                return 400, {"success": False, "message": str(error)}
            self.version = body["weight_version"]
            return 200, {"success": True, "message": "Succeeded to update model weights."}
        if path != "/generate":
            return 404, {"detail": "Not Found"}
        wanted, prompt = body["sampling_params"], body["input_ids"]
        # The defaults of a checkpoint's generation_config.json, where a request does not say otherwise.
        assert (wanted["top_p"], wanted["top_k"], wanted["min_p"], wanted["repetition_penalty"]) == (1.0, -1, 0.0, 1.0)
        stop = wanted.get("stop_token_ids", [])
        tokens, logprobs = self.sample(
            prompt,
            wanted["temperature"],
            wanted["sampling_seed"],
            wanted["max_new_tokens"],
            stop,
            wanted.get("logit_bias", {}),
        )
        stopped = tokens[-1] in stop
        reason = {"type": "stop", "matched": tokens[-1]} if stopped else {"type": "length", "length": len(tokens)}
        info = {
            "id": "r",
            "finish_reason": reason,
            "prompt_tokens": len(prompt) + self.extra_tokens,
            "completion_tokens": len(tokens),
            "weight_version": self.version,
            "output_token_logprobs": [[p, t, None] for t, p in zip(tokens, logprobs, strict=True)],
        }
        return 200, {"text": "", "output_ids": tokens[:-1] if stopped else tokens, "meta_info": info}


@contextmanager
def served(server: Server, port: int = 0) -> Iterator[Server]:
    """The server, answering at `server.url` meanwhile."""

    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def _answer(self, method: str) -> None:
            if gone.is_set():  # a connection that was kept open
                self.close_connection = True
                return
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.loads(raw) if raw else None
            server.asked.append((method, self.path, body))
            server.bodies.append(raw)
            time.sleep(server.delay)
            status, told = (
                (server.failures.pop(0), "broken") if server.failures else server.answer(method, self.path, body)
            )
            content = b"" if told is None else json.dumps(told).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                pass  # the client went away

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as http:
        http.daemon_threads = True
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            gone.set()
            http.shutdown()
            thread.join()


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())
