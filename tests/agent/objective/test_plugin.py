"""How a name becomes an estimator or a loss, and what is said if it does not."""

import dataclasses
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from agent.errors import ConfigError
from agent.objective import plugin
from agent.objective.advantage import ADVANTAGES
from agent.objective.plugin import Estimator, PolicyLoss, check_options, resolve_estimator, resolve_policy_loss
from agent.objective.policy_loss import POLICY_LOSSES

USERS = """
from agent.objective.plugin import Estimator, PolicyLoss

def advantage(scores, valid, *, rate: float = 0.5):
    return scores * valid * rate

def loss(logprobs, mask):
    return -logprobs, ~mask

def without_valid(scores):
    return scores

class Nested:
    entry = Estimator(advantage, "a paper", smallest_group=3)

loss_entry = PolicyLoss(loss, "another paper")
number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of a user on the Python path."""
    (tmp_path / "my_algorithms.py").write_text(USERS)
    (tmp_path / "my_broken_algorithms.py").write_text("raise RuntimeError('half a sentence')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_algorithms"
    sys.modules.pop("my_algorithms", None)


def install(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str, str]) -> None:
    """Entry points (name, value, group) in place of those of the packages that are installed."""
    installed = metadata.EntryPoints(metadata.EntryPoint(*point) for point in points)
    monkeypatch.setattr(metadata, "entry_points", lambda **chosen: installed.select(**chosen))


def estimator_complaint(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve_estimator(name)
    return str(caught.value)


def options_complaint(options: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        check_options(ENTRY, options)
    return str(caught.value)


# --- vocabularies and entries -----------------------------------------------------------------------------------------


def test_the_vocabularies_are_these() -> None:
    expected = (
        "scores groups valid lengths rewards mask turns images_before values final_values truncated greedy_scores"
    )
    assert " ".join(plugin.ESTIMATOR_TENSORS) == expected
    assert plugin.LOSS_TENSORS == ("logprobs", "old_logprobs", "advantages", "mask", "sequence", "selected")
    assert plugin.SELECTION_TENSORS == ("old_logprobs", "advantages", "mask", "sequence")


def test_an_entry_tells_what_its_function_needs_and_its_options() -> None:
    def function(scores, valid, *, scale: Literal["a", "b"] = "a"): ...

    entry = Estimator(function, "a paper")
    assert entry.needs == {"scores", "valid"}
    assert entry.options == {"scale": (Literal["a", "b"], "a")}
    assert (entry.source, entry.smallest_group) == ("a paper", 1)


def test_entries_cannot_be_changed() -> None:
    for entry in (ADVANTAGES["grpo"], PolicyLoss(lambda logprobs: logprobs, "a paper")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            entry.source = "another"


def test_an_estimator_must_take_valid_and_a_loss_log_probabilities() -> None:
    def function(mask): ...

    with pytest.raises(ConfigError, match=r"^advantage estimator '.*function' does not take `valid`: every one must; "):
        _ = Estimator(function, "").needs
    with pytest.raises(ConfigError, match=r"^policy loss '.*function' does not take `logprobs`: every one must; "):
        _ = PolicyLoss(function, "").needs
    with pytest.raises(ConfigError, match=r"tensors are scores, groups, valid, lengths, rewards, mask, turns, images"):
        _ = Estimator(function, "").needs
    with pytest.raises(ConfigError, match=r"tensors are logprobs, old_logprobs, advantages, mask, sequence, selected;"):
        _ = PolicyLoss(function, "").options


def test_a_function_without_a_name_is_shown_as_it_is() -> None:
    class Nameless:
        def __call__(self, scores): ...

        def __repr__(self) -> str:
            return "<nameless>"

    with pytest.raises(ConfigError, match=r"^advantage estimator '<nameless>' does not take"):
        _ = Estimator(Nameless(), "").needs


# --- losses that choose tokens ----------------------------------------------------------------------------------------


def choosing(logprobs, mask, selected, *, clip: float = 0.2): ...


def choose(old_logprobs, mask, *, share: float = 0.1): ...


def test_a_loss_has_the_options_of_its_selection_too() -> None:
    entry = PolicyLoss(choosing, "a paper", choose)
    assert entry.needs == {"logprobs", "mask", "selected"}
    assert entry.options == {"clip": (float, 0.2), "share": (float, 0.1)}


@pytest.mark.parametrize(
    "entry",
    [PolicyLoss(choosing, "a paper"), PolicyLoss(lambda logprobs: logprobs, "a paper", choose)],
    ids=["nothing chooses", "the choice is not used"],
)
def test_a_choice_and_who_chooses_go_together(entry: PolicyLoss) -> None:
    with pytest.raises(
        ConfigError, match=r"^policy loss of a paper: `selected` and a `select` function go together\.$"
    ):
        _ = entry.options


def test_a_selection_takes_what_is_known_before_the_first_micro_batch() -> None:
    def select(logprobs, mask): ...

    with pytest.raises(
        ConfigError, match=r"^selection '.*select' takes `logprobs`, which nothing provides: tensors are o"
    ):
        _ = PolicyLoss(choosing, "", select).options


def test_a_selection_must_take_the_mask() -> None:
    def select(advantages): ...

    with pytest.raises(ConfigError, match=r"^selection '.*select' does not take `mask`"):
        _ = PolicyLoss(choosing, "", select).options


def test_a_selection_without_a_name_is_shown_as_it_is() -> None:
    class Nameless:
        def __call__(self, advantages): ...

        def __repr__(self) -> str:
            return "<nameless>"

    with pytest.raises(ConfigError, match=r"^selection '<nameless>' does not take `mask`"):
        _ = PolicyLoss(choosing, "", Nameless()).options


def test_an_option_that_both_have_must_be_the_same() -> None:
    def alike(mask, *, clip: float = 0.2): ...

    def other(mask, *, clip: float = 0.3): ...

    assert PolicyLoss(choosing, "", alike).options == {"clip": (float, 0.2)}
    with pytest.raises(
        ConfigError, match=r"^selection '.*other' and its loss share the option `clip`: they must declare it alike\.$"
    ):
        _ = PolicyLoss(choosing, "", other).options


# --- names ------------------------------------------------------------------------------------------------------------


def test_every_name_of_a_registry_resolves_to_its_entry() -> None:
    assert all(resolve_estimator(name) is entry for name, entry in ADVANTAGES.items())
    assert all(resolve_policy_loss(name) is entry for name, entry in POLICY_LOSSES.items())
    assert all(isinstance(entry, PolicyLoss) for entry in POLICY_LOSSES.values())


def test_an_unknown_name_suggests_the_nearest_and_names_all(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("their_own", "a:b", "rllava_gym.advantages"), ("a_loss", "a:b", "rllava_gym.policy_losses"))
    known = ", ".join(sorted([*ADVANTAGES, "their_own"]))
    assert estimator_complaint("grpoo") == (
        f"There is no advantage estimator 'grpoo'. Did you mean 'grpo'? Known: {known}; your own is given as "
        "'package.module:function' or as an entry point of the group 'rllava_gym.advantages'."
    )


def test_a_name_like_no_other_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    message = estimator_complaint("zzz")
    assert message.startswith("There is no advantage estimator 'zzz'. Known: dr_grpo, ")
    with pytest.raises(
        ConfigError, match=r"^There is no policy loss 'zzz'\. Known: .*group 'rllava_gym.policy_losses'\.$"
    ):
        resolve_policy_loss("zzz")


def test_a_function_of_a_users_file_is_found_by_its_path(module: str) -> None:
    entry = resolve_estimator(f"{module}:advantage")
    assert entry.options == {"rate": (float, 0.5)}
    assert (entry.source, entry.smallest_group) == ("my_algorithms:advantage", 1)
    assert entry.function(torch.tensor([4.0]), torch.tensor([True]), rate=0.25).tolist() == [1.0]
    assert resolve_policy_loss(f"{module}:loss").needs == {"logprobs", "mask"}


def test_an_entry_of_a_users_file_is_taken_as_it_is(module: str) -> None:
    entry = resolve_estimator(f"{module}:Nested.entry")
    assert (entry.source, entry.smallest_group) == ("a paper", 3)
    assert resolve_policy_loss(f"{module}:loss_entry").source == "another paper"


def test_a_path_whose_module_is_not_there_says_where_it_is_looked_for() -> None:
    assert estimator_complaint("no_such_module_anywhere:advantage") == (
        "The advantage estimator 'no_such_module_anywhere:advantage': the module 'no_such_module_anywhere' cannot be "
        "imported: ModuleNotFoundError: No module named 'no_such_module_anywhere'. It must be on the Python path: run "
        "from its folder with `python -m`, set PYTHONPATH, or install it."
    )


def test_a_path_whose_module_breaks_says_how(module: str) -> None:
    message = estimator_complaint("my_broken_algorithms:advantage")
    assert "'my_broken_algorithms' cannot be imported: RuntimeError: half a sentence. It must" in message


@pytest.mark.parametrize("path", [":advantage", "my_algorithms:", "os:path.:x"])
def test_half_a_path_is_refused(module: str, path: str) -> None:
    assert estimator_complaint(path).startswith(f"The advantage estimator {path!r}: ")


def test_a_path_to_nothing_suggests_the_nearest(module: str) -> None:
    assert estimator_complaint(f"{module}:advantages") == (
        "The advantage estimator 'my_algorithms:advantages': 'my_algorithms' has no 'advantages'; did you mean "
        "'advantage'?"
    )
    assert estimator_complaint(f"{module}:zzz") == (
        "The advantage estimator 'my_algorithms:zzz': 'my_algorithms' has no 'zzz'."
    )


@pytest.mark.parametrize(("name", "kind"), [("number", "int"), ("loss_entry", "PolicyLoss")])
def test_a_path_to_something_else_is_refused(module: str, name: str, kind: str) -> None:
    assert estimator_complaint(f"{module}:{name}") == (
        f"The advantage estimator 'my_algorithms:{name}' is a {kind}; it must be a function or an instance of "
        "agent.objective.plugin.Estimator."
    )


def test_the_signature_of_a_users_function_is_checked(module: str) -> None:
    assert estimator_complaint(f"{module}:without_valid").startswith(
        "advantage estimator 'without_valid' does not take `valid`: every one must; tensors are scores, "
    )
    with pytest.raises(ConfigError, match="policy loss 'advantage' takes `scores`, which nothing provides"):
        resolve_policy_loss(f"{module}:advantage")


def test_the_options_of_a_users_entry_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(logprobs, selected): ...

    monkeypatch.setitem(POLICY_LOSSES, "half", PolicyLoss(loss, "a paper"))
    with pytest.raises(ConfigError, match="go together"):
        resolve_policy_loss("half")


# --- entry points -----------------------------------------------------------------------------------------------------


def test_an_entry_point_of_a_package_is_found_by_its_name(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        monkeypatch,
        ("theirs", f"{module}:advantage", "rllava_gym.advantages"),
        ("theirs", f"{module}:loss", "rllava_gym.policy_losses"),
        ("whole", f"{module}:Nested.entry", "rllava_gym.advantages"),
        ("theirs", f"{module}:number", "another.group"),
    )
    assert resolve_estimator("theirs").source == "my_algorithms:advantage"
    assert resolve_policy_loss("theirs").needs == {"logprobs", "mask"}
    assert resolve_estimator("whole").smallest_group == 3


def test_an_entry_point_does_not_take_the_name_of_ours(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("grpo", f"{module}:advantage", "rllava_gym.advantages"))
    assert resolve_estimator("grpo") is ADVANTAGES["grpo"]


def test_a_name_that_two_packages_bring_is_refused(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    group = "rllava_gym.advantages"
    install(monkeypatch, ("theirs", f"{module}:advantage", group), ("theirs", f"{module}:Nested.entry", group))
    assert estimator_complaint("theirs") == (
        "Several packages bring the advantage estimator 'theirs': 'my_algorithms:advantage' and "
        "'my_algorithms:Nested.entry'. Give one of these."
    )


def test_an_entry_point_that_cannot_be_imported_says_why(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("theirs", "my_broken_algorithms:advantage", "rllava_gym.advantages"))
    assert estimator_complaint("theirs") == (
        "The advantage estimator 'theirs' ('my_broken_algorithms:advantage') cannot be imported: RuntimeError: half a "
        "sentence"
    )


def test_an_entry_point_to_something_else_is_refused(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("theirs", f"{module}:number", "rllava_gym.advantages"))
    assert estimator_complaint("theirs").startswith("The advantage estimator 'my_algorithms:number' is a int; ")


# --- options ----------------------------------------------------------------------------------------------------------


def with_options(valid, *, discount: float = 1.0, scale: Literal["group", "none"] = "group", whiten: bool = True): ...


ENTRY = Estimator(with_options, "a paper")
KNOWN = "Options: discount: float = 1.0, scale: 'group' | 'none' = 'group', whiten: bool = True."


def test_options_are_the_given_ones_and_the_defaults_of_the_others() -> None:
    given = check_options(ENTRY, {"discount": 0, "scale": "none"})
    assert given == {"discount": 0.0, "scale": "none", "whiten": True}
    assert type(given["discount"]) is float
    assert check_options(ENTRY, {}) == {"discount": 1.0, "scale": "group", "whiten": True}


def test_an_unknown_option_suggests_the_nearest_and_names_all() -> None:
    assert options_complaint({"discont": 1.0}) == (
        f"advantage estimator 'with_options' has no option 'discont'; did you mean 'discount'? {KNOWN}"
    )
    assert options_complaint({"zzz": 1.0}) == f"advantage estimator 'with_options' has no option 'zzz'. {KNOWN}"


def test_a_wrong_type_of_an_option_is_named() -> None:
    assert options_complaint({"discount": "0.9"}) == (
        f"advantage estimator 'with_options', option 'discount': '0.9' is not float. {KNOWN}"
    )
    assert options_complaint({"scale": "batch"}) == (
        f"advantage estimator 'with_options', option 'scale': 'batch' is not 'group' | 'none'. {KNOWN}"
    )


def test_an_entry_without_options_says_so() -> None:
    with pytest.raises(ConfigError) as caught:
        check_options(ADVANTAGES["rloo"], {"scale": "none"})
    assert str(caught.value) == "advantage estimator 'rloo' has no option 'scale'. Options: none."


def test_options_of_a_selection_are_options_of_the_loss() -> None:
    assert check_options(PolicyLoss(choosing, "", choose), {"share": 0.5}) == {"clip": 0.2, "share": 0.5}


def test_an_entry_without_a_name_is_shown_as_it_is_if_an_option_is_wrong() -> None:
    class Nameless:
        def __call__(self, valid): ...

        def __repr__(self) -> str:
            return "<nameless>"

    with pytest.raises(ConfigError, match=r"^advantage estimator '<nameless>' has no option 'a'\. Options: none\.$"):
        check_options(Estimator(Nameless(), ""), {"a": 1})
