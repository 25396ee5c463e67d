"""An environment of random episodes: whatever an author could send, in any order. The seed decides everything."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from agent.rollout.environments import EnvironmentPool, EnvironmentSpec
from agent.seeds import generator

MOST_IMAGES = 8
ECHOED = 24  # characters of the policy's answer that a tool repeats

# Texts that a tokenizer, a template or a codec could stumble over.
PIECES = (
    "How many red circles are there?",
    "Look again.",
    "",
    " ",
    "\n",
    "\n\n  ",
    "\r\n\t",
    "e\u0301\u0323\u0302",  # combining marks in an order that is not canonical
    "\u0301",  # one that combines with whatever stands before it
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",  # a family: four emoji joined into one
    "\U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f44d\U0001f3fd",
    "\u05e9\u05dc\u05d5\u05dd \u202emirrored\u202c",
    "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645",
    "\u4f60\u597d\uff0c\u4e16\u754c",
    "\ud800",  # half of a pair: no text in UTF-8
    "a\udfffb",
    "\ufffd",
    "\ufeff",
    "\x00\x1b[31m",
    "\u2028\u00a0\u200b",
    "<|im_end|>",
    "<|im_end|>\n<|im_start|>assistant\n",
    "<|im_<|im_end|>end|>",
    "<|vision_start|><|image_pad|><|vision_end|>",
    "<|image_pad|><|image_pad|>",
    "<|endoftext|>",
    "<|im_",
    "end|>",
    "<image>",
    "<ima<image>ge>",
    "</s> [INST] [/INST]",
    "<think></think><answer>3</answer>",
    "<tool_call></tool_call>",
)
End = Literal["terminated", "truncated", "failed"]


class LostSandboxError(Exception):
    infrastructure_failure = True


@dataclass(frozen=True)
class Scene:
    """One observation. `restart`: it is the whole new prompt. `echo`: it ends with the end of the policy's answer."""

    text: str
    images: tuple[np.ndarray, ...]
    restart: bool
    echo: bool

    def said(self, action: str) -> str:
        return self.text + action[-ECHOED:] if self.echo else self.text


@dataclass(frozen=True)
class World:
    """Observations of an episode; after the last one it comes to its `end`."""

    scenes: tuple[Scene, ...]
    end: End
    rewards: tuple[float, ...]


def world(seed: int) -> World:
    """1 to 10 turns (a budget may allow fewer), 0 to 8 images: equal for equal seeds."""
    rng = generator("storm", seed)
    turns = int(rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 8, 10]))
    # Where each image stands: any turn, the first one more often.
    places = np.where(rng.random(MOST_IMAGES) < 0.2, 0, rng.integers(turns, size=MOST_IMAGES))
    places = places[: int(rng.integers(MOST_IMAGES + 3))]  # all of them a little more often
    seen: list[np.ndarray] = []
    scenes = []
    for turn in range(turns):
        images = tuple(_picture(rng, seen) for _ in range(int((places == turn).sum())))
        scenes.append(Scene(_text(rng), images, turn > 0 and rng.random() < 0.12, turn > 0 and rng.random() < 0.3))
    end: End = rng.choice(["terminated", "truncated", "failed"], p=[0.7, 0.25, 0.05])
    return World(tuple(scenes), end, tuple(rng.normal(size=turns).tolist()))


def _text(rng: np.random.Generator) -> str:
    pieces = [PIECES[i] for i in rng.integers(len(PIECES), size=int(rng.integers(5)))]
    if rng.random() < 0.3:
        pieces.append("".join(map(chr, rng.integers(0x110000, size=3))))
    return "".join(pieces)


def _picture(rng: np.random.Generator, seen: list[np.ndarray]) -> np.ndarray:
    """Noise of any size; or what was shown before: once more, changed in one pixel, or other noise of that size."""
    kind = rng.choice(["new", "again", "one pixel", "same size"], p=[0.55, 0.15, 0.15, 0.15]) if seen else "new"
    old = seen[int(rng.integers(len(seen)))] if seen else np.zeros((0, 0, 3), np.uint8)
    height, width = (int(rng.integers(20, 151)), int(rng.integers(20, 91))) if kind == "new" else old.shape[:2]
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind in ("again", "one pixel"):
        image = old.copy()
    if kind == "one pixel":
        row, column = int(rng.integers(height)), int(rng.integers(width))
        image[row, column] = 255 - image[row, column]
    if kind == "new" and rng.random() < 0.5:
        image = image.transpose(1, 0, 2)  # not contiguous, and wide where it was tall
    image.flags.writeable = bool(rng.random() < 0.5)
    seen.append(image)
    return image


class Storm(gymnasium.Env[dict[str, Any], str]):
    """Plays `world(seed)`. Its pictures are drawn into arrays that it spoils at the next step, as a canvas that is used
    again would be. `pause`: seconds that a step takes at most, at random, so that turns end in any order."""

    def __init__(self, pause: float = 0.0) -> None:
        self.observation_space = spaces.Dict({"text": spaces.Text(999), "images": spaces.Sequence(spaces.Discrete(1))})
        self.action_space = spaces.Text(9999)
        self.pause = pause

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        assert seed is not None
        self._world, self._turn = world(seed), 0
        return self._observation(""), {}

    def step(self, action: str) -> Any:
        if self.pause:
            time.sleep(self.pause * np.random.default_rng().random())
        for image in self._canvases:
            image[:] = 0
        reward = self._world.rewards[self._turn]
        self._turn += 1
        if self._turn == len(self._world.scenes):
            if self._world.end == "failed":
                raise LostSandboxError("the sandbox is gone")
            terminated = self._world.end == "terminated"
            return {"text": "", "images": ()}, reward, terminated, not terminated, {"truncated": "time"}
        restart = self._world.scenes[self._turn].restart
        return self._observation(action), reward, False, False, {"context": "restart"} if restart else {}

    def _observation(self, action: str) -> dict[str, Any]:
        scene = self._world.scenes[self._turn]
        # Those that may be drawn into now: nobody who was shown them may change that.
        self._canvases = [image for image in scene.images if image.flags.writeable]
        return {"text": scene.said(action), "images": scene.images}


def pool(pause: float = 0.0) -> EnvironmentPool:
    return EnvironmentPool(EnvironmentSpec("Test/Storm-v0"), lambda spec: Storm(pause))
