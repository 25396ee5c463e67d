"""Whole commands with generation servers: a run that loses one, and what cannot be trained."""

from pathlib import Path
from typing import Any

import pytest

from agent.__main__ import main
from agent.config import Config
from agent.config_engine import EngineConfig, RemoteConfig
from agent.errors import ConfigError, OutageError
from agent.model.load import load_vlm
from agent.run import run
from tests.agent.rollout.remote.servers import FakeVllm, served
from tests.agent.run_fixtures import quiet, small_config, tiny_folder


class Mortal(FakeVllm):
    """Answers for so many updates of its weights, and then neither requests nor updates."""

    def __init__(self, updates: int, at: str) -> None:
        super().__init__()
        self.updates = updates
        self.at = at

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/collective_rpc":
            self.updates -= 1
        if self.updates < 0 and path == self.at:
            return 503, "gone"
        return super().answer(method, path, body)


def remote(folder: Path, url: str) -> Config:
    weights = RemoteConfig(urls=[url], weights="folder", folder=str(folder / "weights"), retries=1)
    return small_config(
        folder,
        check={"on_failure": "warn"},  # what the server samples is no model's
        engine={"rollout": "remote", "remote": weights},
        optimizer={"steps": 4},
        run={"save_every": 10},
    )


@pytest.mark.parametrize(
    # The server is given weights when the run is built and after every step.
    ("at", "updates"),
    [("/inference/v1/generate", 3), ("/collective_rpc", 3)],
    ids=["while it generates", "while it loads"],
)
def test_a_run_that_loses_its_server_ends_with_a_checkpoint_and_goes_on_from_it(
    tmp_path: Path, at: str, updates: int
) -> None:
    mortal = Mortal(updates, at)
    mortal.vocabulary = load_vlm(tiny_folder()).processor.vocabulary
    with served(mortal) as server:
        config = remote(tmp_path, server.url)
        with pytest.raises(OutageError, match=r"503: gone.*2 times in a row.*give the same command"):
            run(config, quiet()[0])
        # Nothing that was learned is lost: the third step was the last before the server was missed.
        assert {path.name for path in (tmp_path / "run" / "checkpoints").glob("step_*")} == {"step_0", "step_3"}
        mortal.updates = 1000
        assert run(config, quiet()[0]).finished


def test_nothing_is_trained_with_servers_that_keep_their_weights(tmp_path: Path) -> None:
    config = small_config(tmp_path, engine={"rollout": "remote", "remote": RemoteConfig(urls=["http://127.0.0.1:9"])})
    with pytest.raises(ConfigError, match=r"engine\.remote\.weights: none.*--engine\.remote\.weights folder"):
        run(config, quiet()[0])


def test_the_options_of_servers_can_be_given_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    environment = ["--env", "Test/Parity-v0", "--modules", "[tests.agent.run_fixtures]", "--device", "cpu"]
    served_at = ["--engine.rollout", "remote", "--engine.remote.urls", "[ftp://host]"]
    assert main(["eval", "--model", str(tiny_folder()), *environment, *served_at]) == 1
    assert "'ftp://host' is no address" in capsys.readouterr().err
    assert EngineConfig(rollout="remote").fixed and not EngineConfig().fixed
