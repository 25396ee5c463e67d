"""The cold start: supervised steps on an environment's own demonstrations, by TRL's SFTTrainer on our token path.

Demonstrations are rendered by the same renderer and laid out by the same `make_batch` as rollouts, and the loss lies on
the same action tokens that reinforcement learning trains afterwards.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from datasets import IterableDataset
from datasets.utils.logging import disable_progress_bar
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from .config import ColdStartConfig
from .engine.batching import make_batch
from .errors import AgentError, ConfigError, EnvironmentFault, is_outage, outages_told
from .model.forward import plain_inputs
from .model.load import VLM
from .rollout.dialogue import Dialogue
from .rollout.environments import EnvironmentSpec, make_environment, optional
from .rollout.render import Renderer
from .seeds import derive_seed, generator
from .types import Row

TRIES = 5  # a demonstration is played again before an outage ends the cold start


class Demonstrator:
    """Demonstrations as rows, without end: example i is the same whenever and wherever it is made.

    Raises:
        ConfigError: an environment provides no such demonstrator.
    """

    def __init__(self, env: EnvironmentSpec, config: ColdStartConfig, renderer: Renderer, seed: int) -> None:
        self.renderer = renderer
        self.seed = seed
        self.sources = config.sources
        total = sum(source.weight for source in config.sources)
        if not 0 < total < float("inf") or any(source.weight < 0 for source in config.sources):
            given = [source.weight for source in config.sources]
            raise ConfigError(f"cold_start.sources: every weight must be at least 0 and one above it, got {given}")
        self.weights = [source.weight / total for source in config.sources]
        self._specs = [EnvironmentSpec(env.id, {**env.kwargs, **source.kwargs}) for source in config.sources]
        self._envs: list[Any] = []
        self._made_in = os.getpid()
        for source, spec in zip(config.sources, self._specs, strict=True):
            made = make_environment(spec)
            needed = "solve" if source.demonstrator == "solve" else "baseline"
            if optional(made, needed) is None:
                raise ConfigError(
                    f"cold_start.sources: {env.id} does not provide {needed}(), so it has no demonstrator "
                    f"{source.demonstrator!r}; leave cold_start.sources empty or add it to the environment"
                )
            if needed == "baseline":
                made.reset(seed=0)
                try:
                    optional(made, "baseline")(source.demonstrator, generator(seed, "demonstrator"))
                except ValueError as error:
                    raise ConfigError(
                        f"cold_start.sources: {env.id} has no demonstrator {source.demonstrator!r} ({error}); "
                        '"solve" is the expert\'s'
                    ) from error
            self._envs.append(made)

    def rows(self, index: int) -> tuple[Row, ...]:
        """Demonstration `index`: a whole episode. It has as many rows as it would have in a rollout: one, unless the
        environment restarts its context or the chat family rewrites history.

        Raises:
            OutageError: the environment's infrastructure failed, `TRIES` times in a row.
        """
        for _ in range(TRIES - 1):
            try:
                return self._played(index)
            except Exception as error:
                if not is_outage(error):
                    raise
        with outages_told(f"cold start, demonstration {index}, {TRIES} times in a row"):
            return self._played(index)

    def _played(self, index: int) -> tuple[Row, ...]:
        if self._made_in != os.getpid():
            # In a forked worker: what an environment has opened, such as a sandbox, belongs to the process that did.
            self._envs, self._made_in = list(map(make_environment, self._specs)), os.getpid()
        dice = generator(self.seed, "cold start", index)
        which = int(dice.choice(len(self.sources), p=self.weights))
        env, demonstrator = self._envs[which], self.sources[which].demonstrator
        observation, _ = env.reset(seed=derive_seed(self.seed, "cold start world", index))
        dialogue = Dialogue(self.renderer)
        rows = [Row((dialogue.opened(observation["text"], observation["images"], 0),))]
        script = list(optional(env, "solve")()) if demonstrator == "solve" else []
        turn = 0
        while True:
            if demonstrator != "solve":
                script = [optional(env, "baseline")(demonstrator, dice)]
            elif not script:
                raise EnvironmentFault(f"{env}: solve() gave fewer actions than the episode has turns")
            text = script.pop(0)
            action = self.renderer.demonstration(text, turn)
            rows[-1] = rows[-1].append(action)
            observation, _, terminated, truncated, info = env.step(text)
            if terminated or truncated:
                return tuple(rows)
            turn += 1
            said = observation["text"], observation["images"]
            if info.get("context") == "restart":
                segment = dialogue.opened(*said, turn)
            else:
                segment = dialogue.continued(action.token_ids, True, *said, turn)
            if segment.kind == "prompt":
                rows.append(Row((segment,)))
            else:
                rows[-1] = rows[-1].append(segment)


def cold_start(
    vlm: VLM,
    demonstrator: Demonstrator,
    config: ColdStartConfig,
    seed: int,
    validate: Callable[[], float],
    on_step: Callable[[int, dict[str, float]], None],
    interrupted: Callable[[], bool] = lambda: False,
) -> int:
    """Train until greedy validation reaches `stop_at`, or for `max_steps`; returns the steps taken."""
    renderer, merge = demonstrator.renderer, vlm.processor.merge

    def collate(examples: Sequence[dict[str, int]]) -> dict[str, Any]:
        owned = [(k, row) for k, example in enumerate(examples) for row in demonstrator.rows(example["index"])]
        rows = [row for _, row in owned]
        batch = make_batch(rows, [owner for owner, _ in owned], [0.0] * len(rows), renderer.pixels, merge)
        renderer.forget()
        inputs: dict[str, Any] = {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask.long(),
            "labels": batch.input_ids.masked_fill(~batch.action_mask, -100),
        }
        return inputs | plain_inputs(vlm.model, batch.position_ids, batch.images)

    class Progress(TrainerCallback):
        """Reports each step, validates at the stated interval, and stops by the rule."""

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                on_step(state.global_step, {name: float(logs[name]) for name in ("loss", "grad_norm", "learning_rate")})

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % config.check_every == 0 and config.stop_at < 1.0:
                score = validate()
                on_step(state.global_step, {"validation": score})
                control.should_training_stop |= score >= config.stop_at
            control.should_training_stop |= interrupted()

    # The next batch is made on another core, where a worker can inherit what it needs; elsewhere in this process.
    workers = 1 if multiprocessing.get_start_method() == "fork" else 0
    disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=vlm.model,
            args=SFTConfig(
                output_dir=scratch,
                max_steps=config.max_steps,
                per_device_train_batch_size=config.batch_size,
                learning_rate=config.lr,
                warmup_steps=20,
                lr_scheduler_type="linear",
                max_grad_norm=1.0,
                adam_beta2=0.99,
                logging_steps=10,
                save_strategy="no",
                report_to="none",
                remove_unused_columns=False,
                dataset_kwargs={"skip_prepare_dataset": True},
                dataloader_num_workers=workers,
                max_length=None,
                seed=seed % 2**31,
                use_cpu=vlm.model.device.type == "cpu",
                gradient_checkpointing=False,
                bf16=False,
            ),
            train_dataset=IterableDataset.from_generator(
                _indices, gen_kwargs={"count": config.max_steps * config.batch_size}
            ),
            data_collator=collate,
            processing_class=vlm.processor.tokenizer,
            callbacks=[Progress()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        try:
            trainer.train()
        except AgentError as error:
            raise _as_it_was(error) from error
        finally:
            # The trainer replaces the model's forward by one with a fused loss; others use this model after it.
            vlm.model.__dict__.pop("forward", None)
    return int(trainer.state.global_step)


def _indices(count: int) -> Iterator[dict[str, int]]:
    for index in range(count):
        yield {"index": index}


def _as_it_was(error: AgentError) -> AgentError:
    """One that came out of a worker process carries that process's traceback in front of its own words."""
    kind = type(error)
    return kind(str(error).rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].rstrip("\n"))
