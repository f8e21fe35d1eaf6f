"""What is said of a CLIP model that cannot be loaded, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.config import POCKET_WEIGHTS, GraphArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.launch.preflight import problems

Edit = Callable[[Path], object]


def found(**args: object) -> list[SettingError]:
    return list(problems(GraphArgs.model_validate({"clip": args}), reach_hub=False))


def only(**args: object) -> SettingError:
    (error,) = found(**args)
    assert "\n" not in error.problem
    return error


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POCKET_WEIGHTS / "clip", tmp_path / "clip"))


def diffusers_index(clip: Path) -> None:
    (clip / "config.json").unlink()
    (clip / "model_index.json").write_text('{"_class_name": "StableDiffusionXLPipeline"}')


def pickled_only(clip: Path) -> None:
    (clip / "model.safetensors").rename(clip / "pytorch_model.bin")


def sharded(clip: Path) -> None:
    (clip / "model.safetensors").rename(clip / "model-00001-of-00001.safetensors")
    places = {"logit_scale": "model-00001-of-00001.safetensors"}
    (clip / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def a_shard_too_few(clip: Path) -> None:
    sharded(clip)
    (clip / "model-00001-of-00001.safetensors").unlink()


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2_000_000])


def without_tokenizer(clip: Path) -> None:
    for name in ("tokenizer.json", "vocab.json"):
        (clip / name).unlink()


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4634068\n"

CLIPS: dict[str, tuple[Edit, str]] = {
    "no config": (lambda clip: (clip / "config.json").unlink(), "{} is not a CLIP model: it has no config.json"),
    "another kind": (
        lambda clip: edit_json(clip / "config.json", model_type="bert"),
        "{} is not a CLIP model: config.json says that it is of the kind 'bert', not 'clip'",
    ),
    "no kind": (
        lambda clip: (clip / "config.json").write_text("{}"),
        "{} is not a CLIP model: config.json does not say its model_type",
    ),
    "a pipeline": (diffusers_index, "{} is not a CLIP model: it is a diffusers pipeline (StableDiffusionXLPipeline)"),
    "no JSON": (lambda clip: (clip / "config.json").write_text("{"), "config.json in {} is not a JSON object"),
    "a list": (lambda clip: (clip / "config.json").write_text("[]"), "config.json in {} is not a JSON object"),
    "not UTF-8": (lambda clip: (clip / "config.json").write_bytes(b"\xff{}"), "config.json in {} is not a JSON object"),
    "a pickle": (
        pickled_only,
        "model.safetensors is missing in {}; there is pytorch_model.bin, but pickled weights are never read",
    ),
    "no weights": (lambda clip: (clip / "model.safetensors").unlink(), "model.safetensors is missing in {}"),
    "a shard too few": (a_shard_too_few, "model-00001-of-00001.safetensors is missing in {}"),
    "cut short": (
        lambda clip: halved(clip / "model.safetensors"),
        "model.safetensors in {} cannot be used: it is cut short: 2,000,000 of 4,634,068 bytes",
    ),
    "a pointer": (
        lambda clip: (clip / "model.safetensors").write_text(POINTER),
        "model.safetensors in {} cannot be used: "
        "it is the pointer of git-lfs to the weights; `git lfs pull` fetches them",
    ),
    "no tokenizer": (without_tokenizer, "tokenizer.json, or vocab.json and merges.txt, is missing in {}"),
    "no preprocessor": (
        lambda clip: (clip / "preprocessor_config.json").unlink(),
        "preprocessor_config.json is missing in {}",
    ),
}


@pytest.mark.parametrize("case", CLIPS)
def test_a_clip_that_is_none(clip: Path, case: str) -> None:
    edit, sentence = CLIPS[case]
    edit(clip)
    error = only(model=str(clip))
    assert not isinstance(error, NotOnThisMachine)
    assert error.setting == "clip.model"
    assert error.problem.startswith(sentence.format(repr(str(clip))) + ". Give 'pocket', the id of a CLIP model")


def only_slow_tokenizer(clip: Path) -> None:
    (clip / "tokenizer.json").unlink()


def only_fast_tokenizer(clip: Path) -> None:
    (clip / "merges.txt").unlink()


def newer_preprocessor(clip: Path) -> None:
    (clip / "preprocessor_config.json").rename(clip / "processor_config.json")


@pytest.mark.parametrize("edit", [sharded, only_slow_tokenizer, only_fast_tokenizer, newer_preprocessor])
def test_other_layouts_of_a_clip_are_right(clip: Path, edit: Edit) -> None:
    edit(clip)
    assert found(model=str(clip)) == []


def test_a_file_is_no_clip(clip: Path) -> None:
    file = str(clip / "model.safetensors")
    assert only(model=file).problem.startswith(f"{file!r} is a file, and a CLIP model is a folder of files. Give")


def test_a_variant_acts_or_says_what_to_set(clip: Path) -> None:
    plain, half = clip / "model.safetensors", clip / "model.fp16.safetensors"
    error = only(model=str(clip), variant="fp16")
    assert error.problem == (
        f"{half.name} is missing in {str(clip)!r}, but {plain.name} is there: leave clip.variant out."
    )
    plain.rename(half)
    error = only(model=str(clip))
    assert error.problem == (
        f"{plain.name} is missing in {str(clip)!r}, but {half.name} is there: set clip.variant to 'fp16'."
    )
    assert found(model=str(clip), variant="fp16") == []
