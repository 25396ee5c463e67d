"""The two plug-in points, advantage estimators and policy losses: what an entry is, and how a name becomes one.

A name is one of a registry (`advantage.ADVANTAGES`, `policy_loss.POLICY_LOSSES`), an entry point of an installed
package (groups "rllava_gym.advantages" and "rllava_gym.policy_losses"), or a dotted path "package.module:function".
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from typing import Any, ClassVar, TypeVar

from ..errors import ConfigError
from .signature import Signature, converted, read_signature, spelled

ESTIMATOR_TENSORS = (
    "scores",
    "groups",
    "valid",
    "lengths",
    "rewards",
    "mask",
    "turns",
    "images_before",
    "values",
    "final_values",
    "truncated",
    "greedy_scores",
)
"""What an advantage estimator may take.

    scores         Float[" trajectories"]          return of each trajectory; rubbish where not valid
    groups         Int[" trajectories"]            group of each, 0 to count - 1
    valid          Bool[" trajectories"]           which count; required
    lengths        Int[" trajectories"]            action tokens of each
    rewards        Float["trajectories actions"]   reward that arrives after each action token
    mask           Bool["trajectories actions"]    which entries exist: action tokens of all turns, in order
    turns          Int["trajectories actions"]     turn of each token
    images_before  Int["trajectories actions"]     pictures between the action token before it, or the beginning, and it
    values         Float["trajectories actions"]   critic's value of the state before each token
    final_values   Float[" trajectories"]          critic's value of the state after the last token
    truncated      Bool[" trajectories"]           which episodes were cut off
    greedy_scores  Float[" trajectories"]          return of the greedy episode of the same task

It returns Float[" trajectories"] or Float["trajectories actions"]; one that takes `values` returns (advantages,
returns, valued): the critic's targets Float["trajectories actions"] and where it is trained, Bool of that shape.
"""

LOSS_TENSORS = ("logprobs", "old_logprobs", "advantages", "mask", "sequence", "selected")
"""What a policy loss may take.

    logprobs       Float["rows tokens"]   under the policy that is trained; required
    old_logprobs   Float["rows tokens"]   under the policy at the beginning of the step
    advantages     Float["rows tokens"]
    mask           Bool["rows tokens"]    action tokens
    sequence       Int[" rows"]           trajectory of each row
    selected       Bool["rows tokens"]    tokens that the entry's `select` chose over the whole mini-batch

It returns (losses Float["rows tokens"], clipped Bool["rows tokens"]).
"""

SELECTION_TENSORS = ("old_logprobs", "advantages", "mask", "sequence")
"""What the `select` of a policy loss may take: what is known before the first micro-batch; `mask` is required. It
returns `selected`, Bool["rows tokens"].
"""


@dataclass(frozen=True)
class _Entry:
    function: Callable[..., Any]
    source: str

    kind: ClassVar[str]
    vocabulary: ClassVar[tuple[str, ...]]
    required: ClassVar[str]

    @property
    def needs(self) -> frozenset[str]:
        """Names of the tensors that `function` takes."""
        return self._signature().needs

    @property
    def options(self) -> dict[str, tuple[Any, Any]]:
        """Name -> (annotation, default)."""
        return self._signature().options

    def _signature(self) -> Signature:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return read_signature(self.function, f"{self.kind} {name!r}", self.vocabulary, self.required)


E = TypeVar("E", bound=_Entry)


@dataclass(frozen=True)
class Estimator(_Entry):
    """An advantage estimator.

    Args:
        function: Takes tensors of `ESTIMATOR_TENSORS` by name; its keyword-only parameters are options.
        source: The paper, with its arXiv id.
        smallest_group: Siblings without which it has nothing to compare.
    """

    smallest_group: int = 1

    kind: ClassVar[str] = "advantage estimator"
    vocabulary: ClassVar[tuple[str, ...]] = ESTIMATOR_TENSORS
    required: ClassVar[str] = "valid"


@dataclass(frozen=True)
class PolicyLoss(_Entry):
    """A policy loss.

    Args:
        function: Takes tensors of `LOSS_TENSORS` by name; its keyword-only parameters are options.
        source: The paper, with its arXiv id.
        select: Chooses tokens over the whole mini-batch for a function that takes `selected`; takes tensors of
            `SELECTION_TENSORS`. `options` has its options as well: call both with `signature.call`, which gives each
            what it names.
    """

    select: Callable[..., Any] | None = None

    kind: ClassVar[str] = "policy loss"
    vocabulary: ClassVar[tuple[str, ...]] = LOSS_TENSORS
    required: ClassVar[str] = "logprobs"

    @property
    def options(self) -> dict[str, tuple[Any, Any]]:
        """Name -> (annotation, default), of `function` and of `select`."""
        own = self._signature()
        if ("selected" in own.needs) != (self.select is not None):
            raise ConfigError(f"{self.kind} of {self.source}: `selected` and a `select` function go together.")
        if self.select is None:
            return own.options
        name = f"selection {getattr(self.select, '__qualname__', repr(self.select))!r}"
        others = read_signature(self.select, name, SELECTION_TENSORS, "mask").options
        for shared in own.options.keys() & others.keys():
            if own.options[shared] != others[shared]:
                raise ConfigError(f"{name} and its loss share the option `{shared}`: they must declare it alike.")
        return {**own.options, **others}


def resolve_estimator(name: str) -> Estimator:
    """The estimator of a registry name, an entry point or a dotted path.

    Raises:
        ConfigError: there is none, it cannot be imported, or its signature is not that of an estimator.
    """
    from .advantage import ADVANTAGES  # the registry's module imports this one

    return _resolve(name, ADVANTAGES, "rllava_gym.advantages", Estimator)


def resolve_policy_loss(name: str) -> PolicyLoss:
    """The policy loss of a registry name, an entry point or a dotted path.

    Raises:
        ConfigError: there is none, it cannot be imported, or its signature is not that of a policy loss.
    """
    from .policy_loss import POLICY_LOSSES  # the registry's module imports this one

    return _resolve(name, POLICY_LOSSES, "rllava_gym.policy_losses", PolicyLoss)


def check_options(entry: Estimator | PolicyLoss, options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of an entry: the given ones, checked, and the defaults of the others.

    Raises:
        ConfigError: an option that it does not have, or a value of another type.
    """
    declared = entry.options
    name = getattr(entry.function, "__name__", repr(entry.function))
    known = ", ".join(f"{key}: {spelled(kind)} = {default!r}" for key, (kind, default) in declared.items()) or "none"
    for key in options:
        if key not in declared:
            near = get_close_matches(key, declared, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ConfigError(f"{entry.kind} {name!r} has no option {key!r}{hint} Options: {known}.")
    result = {}
    for key, (kind, default) in declared.items():
        try:
            result[key] = converted(options.get(key, default), kind)
        except TypeError as error:
            raise ConfigError(f"{entry.kind} {name!r}, option {key!r}: {error}. Options: {known}.") from error
    return result


def _resolve(name: str, registry: Mapping[str, E], group: str, entry_class: type[E]) -> E:
    if name in registry:
        entry = registry[name]
    elif ":" in name:
        entry = _as_entry(_imported(name, entry_class.kind), name, entry_class)
    else:
        installed = metadata.entry_points(group=group)
        found = [point for point in installed if point.name == name]
        if not found:
            known = sorted({*registry, *(point.name for point in installed)})
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"There is no {entry_class.kind} {name!r}.{hint} Known: {', '.join(known)}; your own is given as "
                f"'package.module:function' or as an entry point of the group {group!r}."
            )
        if len(found) > 1:
            places = " and ".join(repr(point.value) for point in found)
            raise ConfigError(f"Several packages bring the {entry_class.kind} {name!r}: {places}. Give one of these.")
        try:
            target = found[0].load()
        except Exception as error:
            raise ConfigError(
                f"The {entry_class.kind} {name!r} ({found[0].value!r}) cannot be imported: {_reason(error)}"
            ) from error
        entry = _as_entry(target, found[0].value, entry_class)
    _ = entry.needs, entry.options  # raises if the signature is not one that the loop can call
    return entry


def _imported(path: str, kind: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        target: Any = importlib.import_module(module)
    except Exception as error:
        raise ConfigError(
            f"The {kind} {path!r}: the module {module!r} cannot be imported: {_reason(error)}. It must be on the "
            "Python path: run from its folder with `python -m`, set PYTHONPATH, or install it."
        ) from error
    try:
        for part in attribute.split("."):
            target = getattr(target, part)
    except AttributeError as error:
        near = get_close_matches(attribute, dir(target), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(f"The {kind} {path!r}: {module!r} has no {attribute!r}{hint}") from error
    return target


def _as_entry(target: Any, path: str, entry_class: type[E]) -> E:
    if isinstance(target, entry_class):
        return target
    if isinstance(target, _Entry) or not callable(target):
        raise ConfigError(
            f"The {entry_class.kind} {path!r} is a {type(target).__name__}; it must be a function or an instance of "
            f"agent.objective.plugin.{entry_class.__name__}."
        )
    return entry_class(target, path)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
