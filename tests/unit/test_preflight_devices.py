"""What is said of a device that is not there, before anything is loaded."""

from __future__ import annotations

import pytest

from deployments.config import GraphArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.launch.preflight import problems


def found(room: str, **args: object) -> list[SettingError]:
    return list(problems(GraphArgs.model_validate({room: args}), reach_hub=False))


def only(room: str, **args: object) -> SettingError:
    (error,) = found(room, **args)
    assert "\n" not in error.problem
    return error


@pytest.mark.parametrize("room", ["clip", "sam", "inpaint"])
@pytest.mark.parametrize("name", ["gpu", "toaster", "CUDA", "cuda:", "cuda:-1", "cuda:x", "0", "", "cpu:0", "auto "])
def test_what_is_no_device(room: str, name: str) -> None:
    error = only(room, device=name)
    assert not isinstance(error, NotOnThisMachine)
    assert str(error) == (
        f"{room}.device: {name!r} is not a device. Give auto, cpu, cuda, cuda:0 (the first GPU) or mps."
    )


GPUS = {
    ("cuda", 0): "'cuda' is not on this machine: torch sees no GPU. Give auto to take what there is.",
    ("cuda:7", 0): "'cuda:7' is not on this machine: torch sees no GPU. Give auto to take what there is.",
    (
        "cuda:1",
        1,
    ): "'cuda:1' is not on this machine: torch sees 1 GPU, counted from cuda:0. Give auto to take what there is.",
    (
        "cuda:7",
        2,
    ): "'cuda:7' is not on this machine: torch sees 2 GPUs, counted from cuda:0. Give auto to take what there is.",
    ("cuda", 1): None,
    ("cuda:1", 2): None,
    ("cpu", 0): None,
    ("auto", 0): None,
}


@pytest.mark.parametrize("room", ["clip", "sam", "inpaint"])
@pytest.mark.parametrize(("name", "seen"), GPUS)
def test_a_gpu_that_is_not_here(room: str, name: str, seen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    sentence = GPUS[name, seen]
    assert [str(error) for error in found(room, device=name)] == ([f"{room}.device: {sentence}"] if sentence else [])
    assert all(isinstance(error, NotOnThisMachine) for error in found(room, device=name))


def test_mps_is_only_where_torch_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for there, wanted in ((False, [NotOnThisMachine]), (True, [])):
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=there: there)
        assert [type(error) for error in found("clip", device="mps")] == wanted
