"""What is said of an inpainting model or a LoRA that cannot be loaded, before anything is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.config import POCKET_WEIGHTS, GraphArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.inpaint.parts import SCHEDULERS
from deployments.launch.preflight import problems

WEIGHTS = "diffusion_pytorch_model"
WISH = "Give 'pocket', the id of a Stable Diffusion inpainting model on the hub such as "

Edit = Callable[[Path], object]


def found(**args: object) -> list[SettingError]:
    return list(problems(GraphArgs.model_validate({"inpaint": args}), reach_hub=False))


def only(**args: object) -> SettingError:
    (error,) = found(**args)
    assert "\n" not in error.problem
    assert not isinstance(error, NotOnThisMachine)
    return error


def changed(file: str, **changes: object) -> Edit:
    """Return what changes settings in one of the JSON files of a pipeline."""

    def edit(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def pipeline_class(name: object) -> Edit:
    return changed("model_index.json", _class_name=name)


def unet(**changes: object) -> Edit:
    return changed("unet/config.json", **changes)


def moved(old: str, new: str) -> Edit:
    return lambda folder: (folder / old).rename(folder / new)


def removed(*files: str) -> Edit:
    return lambda folder: [(folder / file).unlink() for file in files]


def with_checker(*files: str) -> Edit:
    def edit(folder: Path) -> None:
        changed("model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])(folder)
        for file in files:
            (folder / file).parent.mkdir()
            shutil.copy(POCKET_WEIGHTS / "clip" / Path(file).name, folder / file)

    return edit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POCKET_WEIGHTS / "inpaint", tmp_path / "inpaint"))


NOT_ONE = "{} is not a Stable Diffusion inpainting model: "
OTHERS = "it is a diffusers pipeline of another kind"
CHECKER = "the safety checker of {} cannot be loaded whole"

CASES: dict[str, tuple[Edit, str]] = {
    "no index": (removed("model_index.json"), NOT_ONE + "it has no model_index.json. "),
    "SDXL": (
        pipeline_class("StableDiffusionXLInpaintPipeline"),
        f"{NOT_ONE}{OTHERS} (StableDiffusionXLInpaintPipeline)",
    ),
    "SD3": (pipeline_class("StableDiffusion3Pipeline"), f"{NOT_ONE}{OTHERS} (StableDiffusion3Pipeline)"),
    "Flux": (pipeline_class("FluxFillPipeline"), f"{NOT_ONE}{OTHERS} (FluxFillPipeline)"),
    "ControlNet": (
        pipeline_class("StableDiffusionControlNetInpaintPipeline"),
        f"{NOT_ONE}{OTHERS} (StableDiffusionControlNetInpaintPipeline)",
    ),
    "own code": (pipeline_class(["pipeline", "Mine"]), f"{NOT_ONE}{OTHERS} (Mine)"),
    "no class": (pipeline_class(None), NOT_ONE + "model_index.json does not name its pipeline"),
    "class is a number": (pipeline_class(3), NOT_ONE + "model_index.json does not name its pipeline"),
    "class is an empty list": (pipeline_class([]), NOT_ONE + "model_index.json does not name its pipeline"),
    "text to image": (
        unet(in_channels=4),
        "the UNet of {} takes 4 channels, and an inpainting UNet takes 9. It is probably a text-to-image model",
    ),
    "InstructPix2Pix": (unet(in_channels=8), "the UNet of {} takes 8 channels, and an inpainting UNet takes 9. Give"),
    "distilled": (unet(time_cond_proj_dim=256), "the UNet of {} wants the guidance as an input (a distilled model)"),
    "SDXL's UNet": (
        unet(addition_embed_type="text_time"),
        "the UNet of {} wants more inputs than Stable Diffusion gives it (addition_embed_type is set)",
    ),
    "another text encoder": (
        unet(cross_attention_dim=768),
        "the UNet of {} was made for another text encoder: it wants width 768, the text encoder gives 128",
    ),
    "T5": (
        changed("model_index.json", text_encoder=["transformers", "T5EncoderModel"]),
        "the text encoder of {} is a T5EncoderModel, and CLIPTextModel is wanted",
    ),
    "no text encoder": (
        changed("model_index.json", text_encoder=[None, None]),
        "the text encoder of {} is missing in model_index.json, and CLIPTextModel is wanted",
    ),
    "another VAE": (
        changed("vae/config.json", latent_channels=16),
        "the vae of {} works on 16 latent channels, and Stable Diffusion has 4",
    ),
    "8 channels out": (unet(out_channels=8), "the unet of {} works on 8 latent channels, and Stable Diffusion has 4"),
    "no side": (unet(sample_size=None), "the sample_size in unet/config.json of {} is not a whole number: None"),
    "two sides": (unet(sample_size=[8, 8]), "the sample_size in unet/config.json of {} is not a whole number: [8, 8]"),
    "flow matching": (
        changed("model_index.json", scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"]),
        "the scheduler of {} is a FlowMatchEulerDiscreteScheduler, which the step engine cannot drive; it can drive "
        + ", ".join(sorted(SCHEDULERS)),
    ),
    "flow prediction": (
        changed("scheduler/scheduler_config.json", prediction_type="flow_prediction"),
        "the scheduler of {} expects 'flow_prediction' from the UNet, and epsilon, v_prediction, sample are supported",
    ),
    "no UNet settings": (removed("unet/config.json"), "unet/config.json is missing in {}"),
    "no scheduler": (removed("scheduler/scheduler_config.json"), "scheduler/scheduler_config.json is missing in {}"),
    "no UNet": (removed(f"unet/{WEIGHTS}.safetensors"), f"unet/{WEIGHTS}.safetensors is missing in {{}}. Give"),
    "no VAE": (removed(f"vae/{WEIGHTS}.safetensors"), f"vae/{WEIGHTS}.safetensors is missing in {{}}. Give"),
    "no text weights": (
        removed("text_encoder/model.safetensors"),
        "text_encoder/model.safetensors is missing in {}. Give",
    ),
    "pickled": (
        moved(f"unet/{WEIGHTS}.safetensors", f"unet/{WEIGHTS}.bin"),
        f"unet/{WEIGHTS}.safetensors is missing in {{}}; "
        f"there is unet/{WEIGHTS}.bin, but pickled weights are never read. Give",
    ),
    "no tokenizer": (removed("tokenizer/tokenizer.json"), "tokenizer/tokenizer.json, or vocab.json and merges.txt, is"),
    "no list of a class": (
        changed("model_index.json", scheduler={"a": 1}),
        "the scheduler of {} is missing in model_index.json. Give",
    ),
    "no settings that are JSON": (
        lambda folder: (folder / "vae/config.json").write_text("None"),
        "vae/config.json in {} is not a JSON object",
    ),
    "checker without weights": (with_checker(), CHECKER),
    "checker without processor": (with_checker("safety_checker/model.safetensors"), CHECKER),
    "a wrong file of defaults": (
        changed("retouch.json", guidance_scale="high"),
        "retouch.json beside the model is wrong",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_inpainting_model_that_is_none(folder: Path, case: str) -> None:
    edit, sentence = CASES[case]
    edit(folder)
    error = only(model=str(folder))
    assert error.setting == "inpaint.model"
    assert error.problem.startswith(sentence.format(repr(str(folder))))


@pytest.mark.parametrize("case", ["SDXL", "text to image", "no UNet", "no index"])
def test_it_says_what_to_give_instead(folder: Path, case: str) -> None:
    CASES[case][0](folder)
    assert WISH in only(model=str(folder)).problem


def test_a_model_of_transformers_is_named(folder: Path) -> None:
    path = str(POCKET_WEIGHTS / "clip")
    expected = NOT_ONE.format(repr(path)) + "it has no model_index.json; config.json says that it is of the kind 'clip'"
    assert only(model=path).problem.startswith(expected)


@pytest.mark.parametrize("name", ["v1-5-inpainting.ckpt", "v1-5-inpainting.safetensors", "plain"])
def test_a_single_file_has_to_be_converted(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"weights")
    problem = only(model=str(tmp_path / name)).problem
    assert problem.startswith(f"{str(tmp_path / name)!r} is one file, and an inpainting model is a folder of files. ")
    assert "from_single_file" in problem
    assert "save_pretrained" in problem


RIGHT: dict[str, Edit] = {
    "text-to-image class, inpainting UNet": pipeline_class("StableDiffusionPipeline"),
    "older settings without the usual": lambda folder: (folder / "vae/config.json").write_text("{}"),
    "checker": with_checker("safety_checker/model.safetensors", "feature_extractor/preprocessor_config.json"),
    "no defaults of its own": removed("retouch.json"),
    "no class of a checker": changed("model_index.json", safety_checker={"a": 1}),
    "all of the half variant beside the plain one": lambda folder: [
        shutil.copy(path, path.with_suffix(".fp16.safetensors")) for path in folder.rglob("*.safetensors")
    ],
}


@pytest.mark.parametrize("case", RIGHT)
def test_other_layouts_are_right(folder: Path, case: str) -> None:
    RIGHT[case](folder)
    assert found(model=str(folder)) == []


def test_a_checker_that_is_not_wanted_need_not_be_whole(folder: Path) -> None:
    with_checker()(folder)
    assert found(model=str(folder), safety_checker=False) == []


def test_a_variant_acts_or_says_what_to_set(folder: Path) -> None:
    error = only(model=str(folder), variant="fp16")
    assert error.problem == (
        f"unet/{WEIGHTS}.fp16.safetensors is missing in {str(folder)!r}, but unet/{WEIGHTS}.safetensors is there: "
        "leave inpaint.variant out."
    )
    moved(f"unet/{WEIGHTS}.safetensors", f"unet/{WEIGHTS}.fp16.safetensors")(folder)
    error = only(model=str(folder))
    assert error.problem == (
        f"unet/{WEIGHTS}.safetensors is missing in {str(folder)!r}, but unet/{WEIGHTS}.fp16.safetensors is there: "
        "set inpaint.variant to 'fp16'."
    )
    assert found(model=str(folder), variant="fp16") == []  # diffusers takes the plain weights of the other parts
    removed("vae/diffusion_pytorch_model.safetensors")(folder)
    assert only(model=str(folder), variant="fp16").problem.startswith(f"vae/{WEIGHTS}.fp16.safetensors is missing")


# LoRA


def write_tensors(path: Path, *names: str) -> Path:
    """Write a .safetensors file of empty tensors."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps(dict.fromkeys(names, empty)).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


@pytest.mark.parametrize(
    ("name", "tensors", "sentence"),
    [
        ("x.bin", (), "{} is not a .safetensors file, and pickled weights are never read. Give"),
        ("x.safetensors", ("unet.weight",), "{} holds no LoRA: no tensor in it has 'lora' in its name. Give"),
        (
            "x.safetensors",
            ("unet.lora.up", "text_encoder_2.lora.up"),
            "{} was made for another network: Stable Diffusion XL. Give",
        ),
        ("x.safetensors", ("lora_te2_x.lora_up",), "{} was made for another network: Stable Diffusion XL. Give"),
        ("x.safetensors", ("transformer.x.lora_A.weight",), "{} was made for another network: a transformer. Give"),
    ],
)
def test_a_lora_that_is_none(tmp_path: Path, name: str, tensors: tuple[str, ...], sentence: str) -> None:
    error = only(lora=str(write_tensors(tmp_path / name, *tensors)))
    assert error.setting == "inpaint.lora"
    assert error.problem.startswith(sentence.format(repr(str(tmp_path / name))))


def test_a_lora_that_is_cut_short(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_text("no")
    expected = (
        f"{str(tmp_path / 'x.safetensors')!r} cannot be used: it is not a safetensors file, or only the start of one"
    )
    assert only(lora=str(tmp_path / "x.safetensors")).problem.startswith(expected)


def test_the_folder_of_a_lora_holds_one(tmp_path: Path) -> None:
    named = f"in {str(tmp_path)!r}. Give"
    assert only(lora=str(tmp_path)).problem.startswith(f"there is no pytorch_lora_weights.safetensors {named}")
    write_tensors(tmp_path / "a.safetensors", "unet.lora.up")
    assert found(lora=str(tmp_path)) == []
    write_tensors(tmp_path / "b.safetensors", "unet.lora.up")
    assert only(lora=str(tmp_path)).problem.startswith(f"there is more than one .safetensors file {named}")
    write_tensors(tmp_path / "pytorch_lora_weights.safetensors", "unet.lora.up")
    assert found(lora=str(tmp_path)) == []
