"""What is said of models that cannot be loaded, before anything is loaded: paths, kinds, files, devices."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.config import POCKET_WEIGHTS, GraphArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.preflight import problems

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("ray", "torch", "transformers", "diffusers", "huggingface_hub")

Edit = Callable[[Path], object]


def found(room: str, **args: object) -> list[SettingError]:
    return list(problems(GraphArgs.model_validate({room: args}), reach_hub=False))


def only(room: str, **args: object) -> SettingError:
    (error,) = found(room, **args)
    assert "\n" not in error.problem
    return error


def write_tensors(path: Path, *names: str) -> None:
    """Write a .safetensors file of empty tensors."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({"__metadata__": {"format": "pt"}, **dict.fromkeys(names, empty)}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POCKET_WEIGHTS / "clip", tmp_path / "clip"))


# Where it is


def test_nothing_is_wrong_with_the_pocket_models() -> None:
    assert found("clip") == []


@pytest.mark.parametrize("setting", ["clip.model", "sam.model", "inpaint.model", "inpaint.lora"])
@pytest.mark.parametrize(
    "path", ["/nope/x", "./nope", "../nope/x", "~/nope", "~nobody/x", "a/b/c", "x.pth", "x.safetensors", "a\\b"]
)
def test_a_path_that_is_not_here_may_be_elsewhere(setting: str, path: str) -> None:
    room, field = setting.split(".")
    error = only(room, **{field: path})
    thing = "file" if room == "sam" else "folder" if field == "model" else "file or folder"
    assert isinstance(error, NotOnThisMachine)
    assert error.setting == setting
    assert error.problem.startswith(f"there is no {thing} {path!r} on this machine. Give ")


@pytest.mark.parametrize(("room", "name"), [("clip", "clip"), ("sam", "sam.pth"), ("inpaint", "inpaint")])
def test_a_tilde_is_the_home_of_whoever_runs_it(room: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(POCKET_WEIGHTS))
    assert found(room, model=f"~/{name}") == []


def test_what_is_here_is_a_path_though_it_looks_like_an_id(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent.parent)
    name = f"{clip.parent.name}/clip"
    assert found("clip", model=name) == []
    edit_json(clip / "config.json", model_type="bert")
    assert only("clip", model=name).problem.startswith(f"{name!r} is no CLIP model")


def test_an_id_that_the_cache_lacks_is_unknown_without_the_hub(tmp_path: Path) -> None:
    assert found("clip", model="nobody/nothing") == found("inpaint", model="nobody/nothing", lora="nobody/less") == []


def test_sam_is_no_id_of_the_hub() -> None:
    error = only("sam", model="facebook/sam-vit-base")
    assert isinstance(error, NotOnThisMachine)
    assert "no file 'facebook/sam-vit-base' on this machine, and SAM is not fetched from the hub. Give" in error.problem


@pytest.mark.parametrize("room", ["clip", "inpaint"])
@pytest.mark.parametrize("name", ["a b", "x--y/z", "org/name:tag", "-x/y"])
def test_what_is_neither_a_path_nor_an_id(room: str, name: str) -> None:
    error = only(room, model=name)
    assert not isinstance(error, NotOnThisMachine)
    assert error.problem.startswith(f"{name!r} is neither a folder here nor an id of the hub. Give 'pocket'")


@pytest.mark.parametrize("room", ["clip", "inpaint"])
@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_no_folder(room: str, name: str) -> None:
    assert only(room, model=name).problem.startswith("it is empty. Give 'pocket'")


@pytest.mark.parametrize("room", ["clip", "inpaint"])
def test_a_revision_is_the_hubs(room: str, clip: Path) -> None:
    for model in ("pocket", str(clip)):
        error = only(room, model=model, revision="main")
        assert error.setting == f"{room}.revision"
        assert error.problem == f"'main' is a revision on the hub, but {model!r} is on this machine. Leave it out."


@pytest.mark.parametrize("field", ["revision", "variant"])
def test_sam_has_neither_revision_nor_variant(field: str) -> None:
    error = only("sam", **{field: "fp16"})
    assert error.setting == f"sam.{field}"
    assert error.problem == "'fp16' chooses among files on the hub, and SAM is one file. Leave it out."


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def nobody() -> Iterator[None]:
    """Give up root's right to read everything, for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(("room", "name"), [("clip", "clip"), ("sam", "sam.pth"), ("inpaint", "inpaint")])
def test_what_may_not_be_read_may_be_readable_elsewhere(room: str, name: str, open_folder: Path) -> None:
    place = open_folder / name
    (shutil.copytree if room != "sam" else shutil.copy)(POCKET_WEIGHTS / name, place)
    for each in (place, *place.rglob("*")):
        each.chmod(0o555 if each.is_dir() else 0)
    with nobody():
        error = only(room, model=str(place))
    assert isinstance(error, NotOnThisMachine)
    assert "cannot be read: Permission denied. Give" in error.problem


# CLIP


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
    "no config": (lambda clip: (clip / "config.json").unlink(), "{} is no CLIP model: it has no config.json"),
    "another kind": (
        lambda clip: edit_json(clip / "config.json", model_type="bert"),
        "{} is no CLIP model: config.json says that it is of the kind 'bert', not 'clip'",
    ),
    "no kind": (
        lambda clip: (clip / "config.json").write_text("{}"),
        "{} is no CLIP model: config.json does not say its model_type",
    ),
    "a pipeline": (diffusers_index, "{} is no CLIP model: it is a diffusers pipeline (StableDiffusionXLPipeline)"),
    "no JSON": (lambda clip: (clip / "config.json").write_text("{"), "config.json in {} is no JSON object"),
    "a list": (lambda clip: (clip / "config.json").write_text("[]"), "config.json in {} is no JSON object"),
    "not UTF-8": (lambda clip: (clip / "config.json").write_bytes(b"\xff{}"), "config.json in {} is no JSON object"),
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
    error = only("clip", model=str(clip))
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
    assert found("clip", model=str(clip)) == []


def test_a_file_is_no_clip(clip: Path) -> None:
    file = str(clip / "model.safetensors")
    assert only("clip", model=file).problem.startswith(
        f"{file!r} is a file, and a CLIP model is a folder of files. Give"
    )


def test_a_variant_acts_or_says_what_to_set(clip: Path) -> None:
    plain, half = clip / "model.safetensors", clip / "model.fp16.safetensors"
    error = only("clip", model=str(clip), variant="fp16")
    assert error.problem == (
        f"{half.name} is missing in {str(clip)!r}, but {plain.name} is there: leave clip.variant out."
    )
    plain.rename(half)
    error = only("clip", model=str(clip))
    assert error.problem == (
        f"{plain.name} is missing in {str(clip)!r}, but {half.name} is there: set clip.variant to 'fp16'."
    )
    assert found("clip", model=str(clip), variant="fp16") == []


# SAM

PLAIN = "it cannot be read as a file of plain tensors"
MODULES = (
    "image_encoder.pos_embed",
    "image_encoder.patch_embed.proj.weight",
    "prompt_encoder.mask_downscaling.3.weight",
    "mask_decoder.mask_tokens.weight",
)

SAMS: dict[str, tuple[str, Edit, str]] = {
    "text": ("x.pth", lambda path: path.write_text("weights? no"), f"cannot be used: {PLAIN}"),
    "a zip": ("x.pth", lambda path: shutil.copy(ROOT / "docs/demo/scene.png", path), f"cannot be used: {PLAIN}"),
    "empty": ("x.pth", lambda path: path.touch(), "cannot be used: it is empty"),
    "pointer": ("x.pth", lambda path: path.write_text(POINTER), "cannot be used: it is the pointer of git-lfs"),
    "half an archive": ("x.pth", lambda path: halve_sam(path), f"cannot be used: {PLAIN}"),
    "no safetensors": (
        "x.safetensors",
        lambda path: path.write_text("weights? no"),
        "cannot be used: it is no safetensors file, or only the start of one",
    ),
    "another": (
        "x.safetensors",
        lambda path: write_tensors(path, "weight"),
        "holds no SAM: it has no tensor 'image_encoder.pos_embed'",
    ),
    "no decoder": (
        "x.safetensors",
        lambda path: write_tensors(path, *MODULES[:3]),
        "holds no SAM: it has no tensor 'mask_decoder.mask_tokens.weight'",
    ),
    "a pickled CLIP": (
        "x.pt",
        lambda path: path.write_bytes(legacy({"visual.conv1.weight": 0})),
        "holds no SAM: it is a CLIP model of OpenAI's format",
    ),
    "CLIP": (
        "x.safetensors",
        lambda path: shutil.copy(POCKET_WEIGHTS / "clip/model.safetensors", path),
        "holds no SAM: it is a CLIP model of transformers",
    ),
    "UNet": (
        "x.safetensors",
        lambda path: shutil.copy(POCKET_WEIGHTS / "inpaint/unet/diffusion_pytorch_model.safetensors", path),
        "holds no SAM: it is a UNet of diffusers",
    ),
    "transformers": (
        "x.safetensors",
        lambda path: write_tensors(path, "vision_encoder.pos_embed", "mask_decoder.mask_tokens.weight"),
        "holds no SAM: it is a SAM in the format of transformers (SamModel), not of segment-anything",
    ),
    "SAM 2": (
        "x.safetensors",
        lambda path: write_tensors(path, "image_encoder.trunk.pos_embed"),
        "holds no SAM: it is a SAM 2",
    ),
    "HQ-SAM": (
        "x.safetensors",
        lambda path: write_tensors(path, *MODULES, "mask_decoder.hf_token.weight"),
        "holds no SAM: it is an HQ-SAM",
    ),
}


def halve_sam(path: Path) -> None:
    path.write_bytes((POCKET_WEIGHTS / "sam.pth").read_bytes()[:1_000_000])


def legacy(state: object) -> bytes:
    """What torch.save wrote before version 1.6, without the numbers that follow."""
    return b"".join(pickle.dumps(each, protocol=2) for each in (0x1950A86A20F9469CFC6C, 1001, {}, state))


@pytest.mark.parametrize("case", SAMS)
def test_a_sam_that_is_none(tmp_path: Path, case: str) -> None:
    name, write, sentence = SAMS[case]
    write(tmp_path / name)
    error = only("sam", model=str(tmp_path / name))
    assert not isinstance(error, NotOnThisMachine)
    assert error.setting == "sam.model"
    assert error.problem.startswith(f"{str(tmp_path / name)!r} {sentence}")
    assert error.problem.endswith(
        "Give a .pth file from https://github.com/facebookresearch/segment-anything"
        "#model-checkpoints, the same as .safetensors, or 'pocket'."
    )


def test_a_folder_is_no_sam(tmp_path: Path) -> None:
    assert only("sam", model=str(tmp_path)).problem.startswith(f"{str(tmp_path)!r} is a folder, and SAM is one file. ")


def test_the_names_are_enough(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x.safetensors", *MODULES)
    (tmp_path / "x.pth").write_bytes(legacy(dict.fromkeys(MODULES, 0)))
    for name in ("x.safetensors", "x.pth"):
        assert found("sam", model=str(tmp_path / name)) == []


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def test_a_pickle_is_listed_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.pth").write_bytes(legacy({**dict.fromkeys(MODULES, 0), "x": Malicious()}))
    assert found("sam", model="bad.pth") == []  # refused by the loader
    assert not Path("pwned").exists()


# Devices


@pytest.mark.parametrize("room", ["clip", "sam", "inpaint"])
@pytest.mark.parametrize("name", ["gpu", "toaster", "CUDA", "cuda:", "cuda:-1", "cuda:x", "0", "", "cpu:0", "auto "])
def test_what_is_no_device(room: str, name: str) -> None:
    error = only(room, device=name)
    assert not isinstance(error, NotOnThisMachine)
    assert str(error) == (f"{room}.device: {name!r} is no device. Give auto, cpu, cuda, cuda:0 (the first GPU) or mps.")


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


# All of them


def test_every_model_and_device_has_its_say() -> None:
    args = {"model": "/nope/x", "device": "gpu"}
    all_of_them = problems(GraphArgs.model_validate({"clip": args, "sam": args, "inpaint": {**args, "lora": "/nope"}}))
    assert [error.setting for error in all_of_them] == [
        *("clip.model", "clip.device", "sam.model", "sam.device"),
        *("inpaint.model", "inpaint.lora", "inpaint.device"),
    ]


def test_three_wrong_paths_are_found_without_anything_heavy() -> None:
    code = """
import sys, time
start = time.perf_counter()
from deployments.config import GraphArgs
from deployments.preflight import problems
wrong = {"model": "/nope/x"}
assert len(list(problems(GraphArgs.model_validate({"clip": wrong, "sam": wrong, "inpaint": wrong})))) == 3
assert not list(problems(GraphArgs()))
print(time.perf_counter() - start, *sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    seconds, *modules = run.stdout.split()
    assert not set(HEAVY) & set(modules)
    assert float(seconds) < 1


def test_it_is_quick_where_everything_is_here() -> None:
    start = time.perf_counter()
    assert list(problems(GraphArgs())) == []
    assert time.perf_counter() - start < 0.5
