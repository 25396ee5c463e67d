"""A model composed of a vision encoder, a connector and a language model is one like any other, here and elsewhere."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPConfig,
    CLIPModel,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from agent.engine.batching import Batch, make_batch
from agent.errors import CheckpointError, ConfigError, ObservationError
from agent.model.compose import ComposeConfig, compose
from agent.model.forward import hidden_states, next_token_logits, plain_inputs
from agent.model.load import VLM, load_vlm
from agent.model.lora import adapter_off, attach, merged_tensors
from agent.model.positions import mrope_positions
from agent.model.states import Sharing, share
from agent.model.trainable import freeze, gradient_norms, parts
from agent.model.value_head import own_trunk
from agent.roles.actor import Actor
from agent.rollout.environments import EnvironmentPool
from agent.rollout.episode import Budget, EpisodeSpec
from agent.rollout.episodes import DriverOptions, EpisodeDriver
from agent.rollout.hf import TransformersEngine
from agent.rollout.render import Renderer
from agent.types import ImageSpan, Row, Trajectory
from tests.agent.checkpoints import CLIP, LLAMA, PATCH, SIDE, write_text_tokenizer

Picture = Callable[..., np.ndarray]
# The bound of tests/agent/roles/test_actor.py: 99.9% of the tokens, and all that are not too rare for rounding.
MOST, ALL, SEEN = 2e-5, 1e-4, 1e-6
SIGLIP = {k: v for k, v in CLIP.items() if k != "initializer_factor"} | {"model_type": "siglip_vision_model"}
QWEN2 = LLAMA | {"model_type": "qwen2", "vocab_size": 384, "tie_word_embeddings": True}
KINDS: dict[str, dict[str, Any]] = {
    "clip+llama": {"vision": CLIP, "language": LLAMA},
    "siglip+qwen2": {"vision": SIGLIP, "language": QWEN2},
    "three layers": {"vision": CLIP, "language": QWEN2, "connector_layers": 3, "select_strategy": "full"},
}


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def composed(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], VLM]:
    """The session's model of a kind; a test that changes its weights puts them back."""
    made: dict[str, VLM] = {}

    def load(kind: str) -> VLM:
        if kind not in made:
            config = ComposeConfig(tokenizer=str(tokenizer), **KINDS[kind])
            made[kind] = load_vlm(compose(config, tmp_path_factory.mktemp("composed"), seed=3))
            made[kind].model.eval()
        return made[kind]

    return load


@pytest.fixture(params=list(KINDS))
def vlm(request: pytest.FixtureRequest, composed: Callable[[str], VLM]) -> VLM:
    return composed(request.param)


@pytest.fixture
def one_vlm(composed: Callable[[str], VLM]) -> VLM:
    return composed("clip+llama")


@pytest.fixture
def renderer(vlm: VLM) -> Renderer:
    return Renderer(vlm.processor)


@dataclass(frozen=True, eq=False)
class Made:
    actor: Actor
    renderer: Renderer
    trajectories: list[Trajectory]
    batch: Batch


@pytest.fixture(scope="module")
def made_of(composed: Callable[[str], VLM], pool_of: Callable[..., EnvironmentPool], picture: Picture) -> Any:
    """Four episodes of four turns, a picture in each; siblings share the first."""
    found: dict[str, Made] = {}

    def shown(turn: int) -> dict[str, Any]:
        return {"text": f"Turn {turn}: how many?", "images": (picture(30 + 7 * turn, 40, turn),)}

    def script(seed: int | None, task: int | None) -> list[Any]:
        middle = [(shown(turn), 0.0, False, False, {}) for turn in range(1, 4)]
        return [(shown(0), {}), *middle, ({"text": "", "images": ()}, 1.0, True, False, {})]

    def make(kind: str) -> Made:
        if kind not in found:
            vlm = composed(kind)
            renderer = Renderer(vlm.processor)
            engine = TransformersEngine(vlm.model, vlm.processor.image_token_id, vlm.processor.merge)
            driver = EpisodeDriver(engine, renderer, pool_of(script), DriverOptions(threads=1))
            specs = [EpisodeSpec(0, 0, 50 + sibling) for sibling in range(4)]
            trajectories = driver.run(specs, Budget(1.0, 24, 4000, 20))
            rows = [row for trajectory in trajectories for row in trajectory.rows]
            batch = make_batch(rows, [0, 1, 2, 3], [1.0] * 4, renderer.pixels, vlm.processor.merge)
            found[kind] = Made(Actor(vlm.model, 1.0, vlm.processor.banned_ids), renderer, trajectories, batch)
        return found[kind]

    return make


@pytest.fixture(params=list(KINDS))
def made(request: pytest.FixtureRequest, made_of: Callable[[str], Made]) -> Made:
    return made_of(request.param)


def exceeds(actor: Actor, batch: Batch) -> bool:
    with torch.no_grad():
        trainer, _ = actor.logprobs(batch)
    seen = batch.action_mask & (batch.sampler_logprobs.exp() > SEEN)
    found = (trainer - batch.sampler_logprobs)[seen].abs().numpy()
    assert len(found) > 100
    return bool(np.percentile(found, 99.9) > MOST or found.max() > ALL)


def test_sampler_and_trainer_agree_within_the_bound_over_several_turns_and_pictures(made: Made) -> None:
    assert [len(row.images) for t in made.trajectories for row in t.rows] == [4] * 4
    assert not exceeds(made.actor, made.batch)


def shifted(made: Made) -> Batch:
    """Everything after the second action stands one further."""
    positions = made.batch.position_ids.clone()
    row = made.trajectories[0].rows[0]
    positions[:, :, sum(len(segment.token_ids) for segment in row.segments[:4]) :] += 1
    return replace(made.batch, position_ids=positions)


def another_pixel(made: Made) -> Batch:
    """A corner of one picture is inverted."""
    array = made.batch.images[1].original.copy()
    array[:4, :4] = 255 - array[:4, :4]
    changed = made.renderer.processor.process(array)
    return replace(made.batch, images=(made.batch.images[0], changed, *made.batch.images[2:]))


def swapped(made: Made) -> Batch:
    """Two pictures change places; all have the same number of tokens."""
    first, second, *rest = made.batch.images
    return replace(made.batch, images=(second, first, *rest))


@pytest.mark.parametrize("fault", [shifted, another_pixel, swapped], ids=lambda fault: fault.__name__)
def test_a_planted_fault_exceeds_the_bound(made: Made, fault: Callable[[Made], Batch]) -> None:
    assert exceeds(made.actor, fault(made))


def test_a_picture_has_as_many_tokens_as_the_tower_makes_features(vlm: VLM, picture: Picture) -> None:
    patches = (SIDE // PATCH) ** 2
    # CLIP has a class token: "default" leaves it out and "full" keeps it. SigLIP has none.
    class_token = vlm.model.config.vision_config.model_type == "clip_vision_model"
    full = vlm.model.config.vision_feature_select_strategy == "full"
    assert full == (vlm.family == "rllava_composed" or not class_token)
    for height, width in ((1, 1), (20, 90), (300, 40)):
        image = vlm.processor.process(picture(height, width))
        assert image.tokens == patches + (class_token and full)
        assert image.grid == (image.tokens, 1, 1) and image.pixels.shape == (1, 3, SIDE, SIDE)
        features = vlm.model.base_model.get_image_features(image.pixels).pooler_output
        assert [len(feature) for feature in features] == [image.tokens]


def test_positions_count_the_tokens_one_by_one(renderer: Renderer, vlm: VLM, picture: Picture) -> None:
    row = Row((renderer.prompt("How many?", [picture(30, 40), picture(20, 20, 1)]),))
    assert mrope_positions(len(row), row.images, vlm.processor.merge)[0].tolist() == list(range(len(row)))
    # And the next token of a text, an image of 3 tokens and a text stands after all of them.
    assert mrope_positions(6, [ImageSpan(2, 3, (3, 1, 1), "x")], 1)[0].tolist() == [0, 1, 2, 3, 4, 5]


# The chat template of a text-only model.


def test_pictures_stand_in_the_text_of_the_language_models_own_template(renderer: Renderer, picture: Picture) -> None:
    segment = renderer.prompt("How many?", [picture(30, 40), picture(30, 40, 1)])
    tokens = renderer.processor.tokens  # type: ignore[attr-defined]
    image = "<image>" * tokens + "\n"
    assert renderer.processor.decode(segment.token_ids) == f"[INST] {image}{image}How many? [/INST]"
    assert [span.length for span in segment.images] == [tokens] * 2
    assert renderer.processor.decode(renderer.prompt("A word.", []).token_ids) == "[INST] A word. [/INST]"
    again = renderer.observation("Again?", [], 1, True)
    assert renderer.processor.decode(again.token_ids) == "[INST] Again? [/INST]"


def test_no_text_becomes_a_picture_and_no_policy_may_say_one(vlm: VLM) -> None:
    image = vlm.processor.image_token_id
    assert image not in vlm.processor.encode("an <image> of <image><image>")
    assert image in vlm.processor.banned_ids
    allowed = set(range(vlm.processor.vocabulary)) - set(vlm.processor.banned_ids)
    names = set(vlm.processor.tokenizer.convert_ids_to_tokens(sorted(allowed)))
    assert None not in names and "<|im_end|>" in names and "<image>" not in names
    assert vlm.processor.vocabulary == vlm.model.get_output_embeddings().weight.shape[0]


def test_what_is_no_picture_is_refused(one_vlm: VLM) -> None:
    with pytest.raises(ObservationError, match="uint8 array"):
        one_vlm.processor.process(np.zeros((4, 4), dtype=np.uint8))


def test_a_padded_picture_keeps_its_proportions_and_a_stretched_one_fills_the_square(
    tokenizer: Path, tmp_path: Path
) -> None:
    # 28 x 56 white pixels: padded to 56 x 56 and halved, the middle 14 rows are white; stretched, all are.
    white = np.full((28, 56, 3), 255, dtype=np.uint8)
    for fit, expected in (("pad", 14), ("stretch", 28)):
        config = ComposeConfig(SIGLIP, QWEN2, str(tokenizer), image_fit=fit)  # type: ignore[arg-type]
        pixels = load_vlm(compose(config, tmp_path / fit)).processor.process(white).pixels
        assert int((pixels[0, 0, :, 14] > 0.5).sum()) == pytest.approx(expected, abs=2)


# As the trainer uses it.


def logprobs(vlm: VLM, picture: np.ndarray, model: Any = None) -> torch.Tensor:
    renderer = Renderer(vlm.processor)
    row = Row((renderer.prompt("How many?", [picture]),)).append(renderer.demonstration("three circles", 0))
    other = Row(row.segments[:1]).append(renderer.demonstration("two", 0))
    batch = make_batch([row, other], [0, 1], [1.0] * 2, renderer.pixels, vlm.processor.merge)
    return Actor(model or vlm.model, 1.0, vlm.processor.banned_ids).logprobs(batch)[0]


def test_it_trains_a_step_saves_and_loads_again_as_it_was(vlm: VLM, tmp_path: Path, picture: Picture) -> None:
    trained = load_vlm(vlm.processor.folder)
    before = logprobs(trained, picture(60, 90))
    assert torch.equal(before, logprobs(vlm, picture(60, 90)))
    optimizer = torch.optim.AdamW(trained.model.parameters(), lr=1e-3)
    (-before.sum()).backward()
    assert set(gradient_norms(trained.model)) == {"vision", "connector", "language"}
    assert min(gradient_norms(trained.model).values()) > 0
    optimizer.step()
    after = logprobs(trained, picture(60, 90))
    assert after.sum() > before.sum()
    trained.save(tmp_path)
    again = load_vlm(tmp_path)
    assert torch.equal(logprobs(again, picture(60, 90)), after)
    assert Renderer(again.processor).family == Renderer(vlm.processor).family
    for name, tensor in trained.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name


@pytest.mark.parametrize("way", ["tree", "prefix"])
def test_a_shared_prompt_changes_neither_the_loss_nor_a_gradient(vlm: VLM, picture: Picture, way: Sharing) -> None:
    found: dict[str, tuple[torch.Tensor, dict[str, torch.Tensor]]] = {}
    for each in ("none", way):
        vlm.model.zero_grad()
        share(vlm.model, each)
        said = logprobs(vlm, picture(30, 60))
        loss = (said * torch.linspace(-1, 1, said.numel()).view_as(said)).mean()
        loss.backward()
        found[each] = loss.detach(), {n: w.grad.clone() for n, w in vlm.model.named_parameters() if w.grad is not None}
    share(vlm.model, "auto")
    vlm.model.zero_grad()
    assert abs(float(found[way][0] - found["none"][0])) <= 1e-6
    for name, gradient in found["none"][1].items():
        assert (found[way][1][name] - gradient).abs().max() <= 1e-5 * max(1.0, float(gradient.abs().max())), name


def test_each_part_is_the_module_of_its_name(vlm: VLM) -> None:
    trunk, held = vlm.model.base_model, parts(vlm.model)
    for part, module in (("vision", trunk.vision_tower), ("connector", trunk.multi_modal_projector)):
        assert {id(w) for w in held[part].values()} == {id(w) for w in module.parameters()}  # type: ignore[index]
    assert sum(len(weights) for weights in held.values()) == len(list(vlm.model.parameters()))


def test_a_frozen_tower_gets_no_gradient_and_the_connector_does(vlm: VLM, picture: Picture) -> None:
    trained = load_vlm(vlm.processor.folder)
    freeze(trained.model, ["vision", "language"])
    logprobs(trained, picture(30, 30)).sum().backward()
    assert {n for n, w in trained.model.named_parameters() if w.grad is not None} == set(
        parts(trained.model)["connector"]
    )


def test_it_takes_an_adapter(vlm: VLM, picture: Picture) -> None:
    trained = load_vlm(vlm.processor.folder)
    attach(trained.model, rank=2, target="all-linear")
    with torch.no_grad():
        for name, weight in trained.model.named_parameters():
            weight += 0.02 if ".lora_B." in name else 0.0
        plain = load_vlm(vlm.processor.folder)
        engine = TransformersEngine(plain.model, vlm.processor.image_token_id, vlm.processor.merge)
        engine.load_weights(merged_tensors(trained.model), 1)
        np.testing.assert_allclose(
            logprobs(plain, picture(30, 60)), logprobs(trained, picture(30, 60)), atol=5e-4, rtol=1e-4
        )
        with adapter_off(trained.model):
            assert torch.equal(logprobs(trained, picture(30, 60)), logprobs(vlm, picture(30, 60)))


def test_it_makes_a_critic(vlm: VLM, renderer: Renderer, picture: Picture) -> None:
    row = Row((renderer.prompt("How many?", [picture(30, 30)]),)).append(renderer.demonstration("three", 0))
    batch = make_batch([row], [0], [1.0], renderer.pixels, vlm.processor.merge)
    critic = own_trunk(vlm.model)
    critic(batch)[0].sum().backward()
    assert critic.head.weight.grad is not None and bool(critic.head.weight.grad.any())


def test_the_models_own_forward_gives_the_same_logits(vlm: VLM, renderer: Renderer, picture: Picture) -> None:
    rows = [Row((renderer.prompt(text, [picture(30, 40)]),)) for text in ("How many?", "How many of these?")]
    batch = make_batch(rows, [0, 1], [0.0] * 2, renderer.pixels, vlm.processor.merge)
    with torch.no_grad():
        ours = next_token_logits(
            vlm.model,
            hidden_states(vlm.model, batch.input_ids, batch.attention_mask, batch.position_ids, batch.images),
        )
        theirs = vlm.model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask.long(),
            **plain_inputs(vlm.model, batch.position_ids, batch.images),
        ).logits
    np.testing.assert_allclose(ours[batch.attention_mask], theirs[batch.attention_mask], atol=2e-4, rtol=1e-4)


# As other tools see it.


@pytest.mark.parametrize("kind", ["clip+llama", "siglip+qwen2"])
def test_the_folder_is_a_plain_llava_one_to_other_tools(
    composed: Callable[[str], VLM], kind: str, picture: Picture
) -> None:
    vlm, image = composed(kind), picture(20, 50)
    folder, renderer = vlm.processor.folder, Renderer(vlm.processor)
    model, report = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    assert type(model).__name__ == "LlavaForConditionalGeneration"
    processor = AutoProcessor.from_pretrained(folder)
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many?"}]}
    text = processor.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    theirs = processor(text=text, images=[image], return_tensors="pt")
    segment = renderer.prompt("How many?", [image])
    assert theirs["input_ids"][0].tolist() == list(segment.token_ids)
    np.testing.assert_allclose(theirs["pixel_values"], renderer.pixels(segment.images[0].sha256).pixels, atol=1e-6)
    batch = make_batch([Row((segment,))], [0], [0.0], renderer.pixels, vlm.processor.merge)
    with torch.no_grad():
        ours = next_token_logits(
            vlm.model,
            hidden_states(vlm.model, batch.input_ids, batch.attention_mask, batch.position_ids, batch.images),
        )
        np.testing.assert_allclose(ours, model(**theirs).logits, atol=2e-4, rtol=1e-4)


def test_the_weights_have_the_names_of_the_published_llava_folders(one_vlm: VLM) -> None:
    with safe_open(one_vlm.processor.folder / "model.safetensors", "pt") as file:
        prefixes = {name.split(".")[0] for name in file.keys()}  # noqa: SIM118
    assert prefixes == {"language_model", "vision_tower", "multi_modal_projector"}


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_the_connector_has_as_many_layers_as_asked_for_with_the_activation_between_them(
    tokenizer: Path, tmp_path: Path, layers: int
) -> None:
    vlm = load_vlm(compose(ComposeConfig(CLIP, LLAMA, str(tokenizer), connector_layers=layers), tmp_path))
    assert vlm.family == ("llava" if layers == 2 else "rllava_composed")
    weights = [w for w in vlm.model.base_model.multi_modal_projector.parameters() if w.ndim == 2]
    assert [tuple(w.shape) for w in weights] == [(64, 32)] + [(64, 64)] * (layers - 1)
    biases = [w for w in vlm.model.base_model.multi_modal_projector.parameters() if w.ndim == 1]
    x = torch.linspace(-1, 1, 32)
    expected = x
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        # GELU(x) = x (1 + erf(x / sqrt 2)) / 2, arXiv 1606.08415.
        expected = expected * (1 + torch.erf(expected / 2**0.5)) / 2 if index else expected
        expected = weight @ expected + bias
    found = vlm.model.base_model.multi_modal_projector(x)
    np.testing.assert_allclose(found.detach(), expected.detach(), atol=1e-5)


def test_a_tool_that_does_not_know_another_connector_refuses_the_folder(composed: Callable[[str], VLM]) -> None:
    folder = composed("three layers").processor.folder
    # transformers refuses a model_type that it does not know, and of itself it does not know this one.
    assert json.loads((folder / "config.json").read_text())["model_type"] not in CONFIG_MAPPING_NAMES
    assert "llava" in CONFIG_MAPPING_NAMES
    assert AutoConfig.from_pretrained(folder).connector_layers == 3  # one that does know it loads it


# From folders.


@pytest.fixture(scope="module")
def trained_parts(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A whole CLIP model and a language model, as they are published."""
    vision, language = tmp_path_factory.mktemp("clip"), tmp_path_factory.mktemp("language")
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    CLIPModel(CLIPConfig(text_config=text, vision_config=CLIP, projection_dim=16)).save_pretrained(vision)
    images = {"image_processor_type": "CLIPImageProcessor", "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (vision / "preprocessor_config.json").write_text(json.dumps(images))
    shutil.copytree(tokenizer, language, dirs_exist_ok=True)
    settings = dict(LLAMA)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings)).save_pretrained(
        language
    )
    return vision, language


def test_the_parts_of_folders_keep_their_weights(trained_parts: tuple[Path, Path], tmp_path: Path) -> None:
    vision, language = trained_parts
    model = load_vlm(compose(ComposeConfig(str(vision), str(language)), tmp_path)).model
    tower = CLIPModel.from_pretrained(vision).vision_model.state_dict()
    assert all(torch.equal(tensor, tower[name]) for name, tensor in model.base_model.vision_tower.state_dict().items())
    text = AutoModelForCausalLM.from_pretrained(language)
    for name, tensor in text.base_model.state_dict().items():
        assert torch.equal(model.base_model.language_model.state_dict()[name][: len(tensor)], tensor)
    assert torch.equal(model.lm_head.weight[: LLAMA["vocab_size"]], text.lm_head.weight)
    assert len(model.lm_head.weight) == LLAMA["vocab_size"] + 1  # the image token, and no padding


def test_pictures_are_normalised_as_the_encoder_is_used_to(trained_parts: tuple[Path, Path], tmp_path: Path) -> None:
    vision, language = trained_parts
    processor = load_vlm(compose(ComposeConfig(str(vision), str(language)), tmp_path)).processor
    pixels = processor.process(np.full((28, 28, 3), 51, dtype=np.uint8)).pixels  # 51 / 255 = 0.2
    # (0.2 - mean) / deviation of each channel.
    np.testing.assert_allclose(pixels[0, :, 5, 5], [0.1 / 0.4, 0.0, -0.1 / 0.6], atol=1e-5)


def test_the_seed_decides_what_is_drawn_and_torchs_generator_is_left_alone(tokenizer: Path, tmp_path: Path) -> None:
    def files(seed: int, name: str) -> dict[str, bytes]:
        folder = compose(ComposeConfig(CLIP, LLAMA, str(tokenizer)), tmp_path / name, seed)
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = files(1, "a")
    assert first == files(1, "b") and first != files(2, "c")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"connector_layers": 5}, "connector_layers must be 1 to 4, got 5"),
        ({"image_text": "a picture"}, "image_text must hold <image> once"),
        ({"vision": SIGLIP, "select_strategy": "default"}, "this encoder's first feature is a patch"),
        ({"vision": CLIP | {"image_size": 30}}, r"whole patches; its config has image_size=30 and patch_size=7"),
        ({"vision_feature_layer": -5}, "hidden states -4 to 3, got -5"),
        ({"vision": {"hidden_size": 32}}, "a config needs model_type"),
        ({"language": LLAMA | {"model_type": "lama"}}, "language: .*lama"),
        ({"tokenizer": None}, "give the folder of a tokenizer"),
        # Cohere's models multiply their logits, which a linear head does not.
        ({"language": LLAMA | {"model_type": "cohere", "logit_scale": 0.5}}, "cohere does more with its last hidden"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(
    tokenizer: Path, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        compose(ComposeConfig(**{"vision": CLIP, "language": LLAMA, "tokenizer": str(tokenizer), **options}), tmp_path)


def test_a_language_model_whose_layers_forget_is_refused(tokenizer: Path, tmp_path: Path) -> None:
    windowed = LLAMA | {"model_type": "mistral", "sliding_window": 16}
    with pytest.raises(CheckpointError, match="sliding window of 16 tokens"):
        load_vlm(compose(ComposeConfig(CLIP, windowed, str(tokenizer)), tmp_path))


@pytest.fixture
def spoiled(one_vlm: VLM, tmp_path: Path) -> Path:
    return shutil.copytree(one_vlm.processor.folder, tmp_path / "m")


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (
            "preprocessor_config.json",
            {"image_processor_type": "ViTImageProcessor"},
            "'ViTImageProcessor'; a model in LL",
        ),
        (
            "preprocessor_config.json",
            {"do_pad": False, "do_center_crop": True, "size": {"shortest_edge": SIDE}},
            "cuts off what stands at the border",
        ),
        (
            "preprocessor_config.json",
            {"size": {"height": 14, "width": 14}},
            r"\(1, 3, 14, 14\), the vision tower takes",
        ),
        ("processor_config.json", {"patch_size": 14}, "has patch_size=14, config.json has 7"),
        (
            "processor_config.json",
            {"vision_feature_select_strategy": "full"},
            "strategy='full', config.json has 'default'",
        ),
        ("config.json", {"image_token_index": 5}, "says image_token_id=5"),
    ],
)
def test_a_folder_whose_halves_disagree_is_refused(
    spoiled: Path, file: str, change: dict[str, Any], words: str
) -> None:
    settings = json.loads((spoiled / file).read_text())
    (spoiled / file).write_text(json.dumps(settings | change))
    with pytest.raises(CheckpointError, match=words):
        load_vlm(spoiled)
