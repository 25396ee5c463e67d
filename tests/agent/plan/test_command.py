"""`python -m agent plan`: what it prints, what it advises, and its exit status."""

import json
from typing import Any

import pytest

from agent.__main__ import main
from agent.errors import ConfigError
from agent.plan.command import read_bytes, read_plan_options

SMALL = ["counting", "--model.device", "cpu", "--pictures", "28x28", "--model.tiny.hidden", "32"]
SMALL += ["--rollout.prompts_per_step", "4", "--optimizer.micro_batch_tokens", "2048", "--optimizer.logprob_chunk", "0"]


def planned(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    status = main(["plan", *SMALL, "--json", *options])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("24GiB", 24 * 2**30), ("80GB", 80 * 10**9), ("1.5 gib", 3 * 2**29), ("512MiB", 2**29), ("1000", 1000)],
)
def test_sizes_are_read_in_binary_and_decimal_units(text: str, expected: int) -> None:
    assert read_bytes(text) == expected


@pytest.mark.parametrize("text", ["much", "24G1B", "-3GiB", "0", "GiB", "1e9"])
def test_what_is_no_size_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(ConfigError, match="24GiB"):
        read_bytes(text)


@pytest.mark.parametrize("arguments", [["r", "--device-memory"], ["r", "--pictures", "--json"]])
def test_an_option_without_its_value_is_told(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match="needs a value"):
        read_plan_options(arguments)


@pytest.mark.parametrize("sizes", ["448", "0x3", "448x448;3x3", ""])
def test_sizes_of_pictures_that_cannot_be_read_are_refused(sizes: str) -> None:
    with pytest.raises(ConfigError, match="448x448"):
        read_plan_options(["r", f"--pictures={sizes}"])


def test_a_plan_names_owners_phases_and_the_peak(capsys: pytest.CaptureFixture[str]) -> None:
    status, told = planned(capsys)
    assert status == 0 and told["fits"] is None
    assert set(told["phases"]) == {"rollout", "sync", "update"}
    assert {"trainer weights", "optimizer state", "language activations"} <= set(told["phases"]["update"])
    assert told["peak"] == max(told["totals"].values()) == sum(told["phases"][told["phase"]].values())
    assert main(["plan", *SMALL]) == 0
    assert "language activations" in capsys.readouterr().out


def test_the_advice_lowers_the_peak_to_what_it_says_and_the_status_says_whether_it_fits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    none_kept = ["--engine.keep_prompts_mib", "0"]
    peak = planned(capsys, *none_kept)[1]["peak"]
    assert planned(capsys, *none_kept, "--device-memory", str(peak))[0] == 0
    status, told = planned(capsys, *none_kept, "--device-memory", str(peak * 3 // 4))
    advice = told["advice"]
    assert status == 3 and advice["peak"] <= peak * 3 // 4
    changed = ["--" + advice["option"], json.dumps(advice["value"])]
    status, after = planned(capsys, *none_kept, "--device-memory", str(peak * 3 // 4), *changed)
    assert status == 0 and after["peak"] == advice["peak"]
    largest = max(told["phases"][told["phase"]].items(), key=lambda pair: pair[1])
    assert advice["owner"] == largest[0]


def test_an_option_that_is_enough_goes_before_one_of_a_larger_owner_that_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ["--rollout.group_size", "6"]
    _, before = planned(capsys, *few)
    update = before["phases"]["update"]
    assert max(update, key=lambda owner: update[owner]) == "kept prompts"
    without = planned(capsys, *few, "--engine.keep_prompts_mib", "0")[1]["peak"]
    assert without < 0.99 * before["peak"]  # it helps, and would be the advice
    status, told = planned(capsys, *few, "--device-memory", str(without - 1))
    assert status == 3
    assert told["advice"]["option"] != "engine.keep_prompts_mib" and told["advice"]["peak"] < without


def test_a_device_that_no_option_makes_large_enough_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *SMALL, "--device-memory", "1MiB"]) == 3
    told = capsys.readouterr().out
    assert "does not fit" in told and "not enough" in told


WIDE = ["--model.tiny.hidden", "512", "--model.tiny.feed_forward", "4096", "--model.tiny.layers", "4"]
WIDE += ["--model.dtype", "bfloat16", "--engine.offload", "all", "--optimizer.micro_batch_tokens", "256"]


@pytest.mark.parametrize(("rank", "expected"), [("4", "model.lora.quantize"), ("0", "model.lora.rank")])
def test_four_bits_are_advised_for_weights_under_adapters(
    capsys: pytest.CaptureFixture[str], rank: str, expected: str
) -> None:
    options = [*WIDE, "--model.lora.rank", rank]
    _, before = planned(capsys, *options)
    status, told = planned(capsys, *options, "--device-memory", str(int(0.9 * before["peak"])))
    assert status == 3 and told["advice"]["option"] == expected
