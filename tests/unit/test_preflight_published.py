"""Nothing is said against the published checkpoints, in the layouts in which people have them on their disks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deployments.config import GraphArgs
from deployments.launch.preflight import problems

SD_WEIGHTS = "diffusion_pytorch_model"


def found(room: str, **args: object) -> list[str]:
    return [str(error) for error in problems(GraphArgs.model_validate({room: args}), reach_hub=False)]


def tensors(*names: str) -> bytes:
    """Return a .safetensors file of empty tensors."""
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({"__metadata__": {"format": "pt"}, **dict.fromkeys(names, empty)}).encode()
    return len(header).to_bytes(8, "little") + header


def snapshot(place: Path, files: dict[str, object]) -> str:
    """Write a folder as the hub's cache lays it out: each file is a link to one that is named by its digest."""
    folder = place / "snapshots" / "0123"
    (place / "blobs").mkdir(parents=True)
    for number, (name, content) in enumerate(files.items()):
        blob = place / "blobs" / f"{number:064x}"
        blob.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(blob)
    return str(folder)


WEIGHTS = tensors("weight")
CLIP_TOKENIZER = {"tokenizer_config.json": {}, "special_tokens_map.json": {}, "vocab.json": {}, "merges.txt": b""}
CLIP = {
    "config.json": {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 512},
    "preprocessor_config.json": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224},
    **CLIP_TOKENIZER,
    "tokenizer.json": {},
    "README.md": b"",
    "pytorch_model.bin": b"pickled",
    "tf_model.h5": b"tensorflow",
    "flax_model.msgpack": b"flax",
    "model.safetensors": WEIGHTS,
}
CLIPS: dict[str, dict[str, object]] = {
    "openai/clip-vit-large-patch14": CLIP,
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": {
        **CLIP,
        "open_clip_config.json": {},
        "open_clip_pytorch_model.bin": b"pickled",
        "open_clip_model.safetensors": WEIGHTS,
    },
}


@pytest.mark.parametrize("name", CLIPS)
def test_clip(name: str, tmp_path: Path) -> None:
    assert found("clip", model=snapshot(tmp_path, CLIPS[name])) == []


def unet(width: int, **settings: object) -> dict[str, object]:
    """Return the settings of a UNet as they are published, those that are set to nothing included."""
    unset = ("class_embed_type", "num_class_embeds", "addition_embed_type", "encoder_hid_dim_type")
    sizes = {"in_channels": 9, "out_channels": 4, "sample_size": 64, "cross_attention_dim": width}
    return {
        "_class_name": "UNet2DConditionModel",
        **sizes,
        **dict.fromkeys(unset),
        "time_cond_proj_dim": None,
    } | settings


def diffusion(text_width: int, scheduler: str, unet_settings: dict[str, object], **index: object) -> dict[str, object]:
    """Return all files of a pipeline but the weights, as diffusers of 2022 wrote them."""
    parts = {
        "feature_extractor": ["transformers", "CLIPFeatureExtractor"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "scheduler": ["diffusers", scheduler],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    return {
        "model_index.json": {"_class_name": "StableDiffusionInpaintPipeline", **parts, **index},
        "scheduler/scheduler_config.json": {"_class_name": scheduler, "skip_prk_steps": True, "trained_betas": None},
        "text_encoder/config.json": {"model_type": "clip_text_model", "hidden_size": text_width},
        **{f"tokenizer/{file}": content for file, content in CLIP_TOKENIZER.items()},
        "unet/config.json": unet_settings,
        "vae/config.json": {"_class_name": "AutoencoderKL", "latent_channels": 4, "sample_size": 512},
        "feature_extractor/preprocessor_config.json": {"feature_extractor_type": "CLIPFeatureExtractor"},
    }


def weights(variant: str, *parts: str) -> dict[str, object]:
    """Return the files of weights of the parts, as safetensors and, beside them, as pickles."""
    stems = {part: SD_WEIGHTS if part in ("unet", "vae") else "model" for part in parts}
    return {
        **{f"{part}/{stem}{variant}.safetensors": WEIGHTS for part, stem in stems.items()},
        **{
            f"{part}/{stem.replace('model', 'pytorch_model', stem == 'model')}{variant}.bin": b""
            for part, stem in stems.items()
        },
    }


PARTS = ("unet", "vae", "text_encoder")
SD_1 = {
    **diffusion(768, "PNDMScheduler", unet(768, attention_head_dim=8)),
    "config.json": {},
    "sd-v1-5-inpainting.ckpt": b"pickled",
    "safety_checker/config.json": {"model_type": "clip"},
}
SD_2 = {
    **diffusion(
        1024,
        "PNDMScheduler",
        unet(1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True),
        safety_checker=[None, None],
        requires_safety_checker=False,
    ),
    "512-inpainting-ema.ckpt": b"pickled",
    "512-inpainting-ema.safetensors": WEIGHTS,
}
SD_2_DDIM = {**SD_2, **diffusion(1024, "DDIMScheduler", unet(1024), safety_checker=[None, None])}

PIPELINES: dict[str, tuple[dict[str, object], tuple[str | None, ...]]] = {
    "stable-diffusion-v1-5/stable-diffusion-inpainting": (
        {**SD_1, **weights("", *PARTS, "safety_checker"), **weights(".fp16", *PARTS, "safety_checker")},
        (None, "fp16"),
    ),
    "the same, fetched with variant fp16": ({**SD_1, **weights(".fp16", *PARTS, "safety_checker")}, ("fp16",)),
    "the same, with a checker in full precision alone": (
        {**SD_1, **weights(".fp16", *PARTS), **weights("", "safety_checker")},
        ("fp16",),
    ),
    "stabilityai/stable-diffusion-2-inpainting": (
        {**SD_2, **weights("", *PARTS), **weights(".fp16", *PARTS)},
        (None, "fp16"),
    ),
    "the same, with its first scheduler": ({**SD_2_DDIM, **weights("", *PARTS)}, (None,)),
    "the class of text to image": (
        {**SD_1, **diffusion(768, "DDIMScheduler", unet(768), _class_name="StableDiffusionPipeline")}
        | weights("", *PARTS, "safety_checker"),
        (None,),
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_inpainting(name: str, tmp_path: Path) -> None:
    files, variants = PIPELINES[name]
    folder = snapshot(tmp_path, files)
    for variant in variants:
        assert found("inpaint", model=folder, variant=variant) == []


def test_a_folder_under_the_deleted_name_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(snapshot(tmp_path, {**SD_2, **weights("", *PARTS)}))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runwayml").mkdir()
    (tmp_path / "runwayml/stable-diffusion-inpainting").symlink_to(folder)
    assert found("inpaint", model="runwayml/stable-diffusion-inpainting") == []
    (folder / "vae/config.json").unlink()
    (problem,) = found("inpaint", model="runwayml/stable-diffusion-inpainting")
    assert "vae/config.json is missing in 'runwayml/stable-diffusion-inpainting'" in problem


IN_ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
LORAS = {
    "latent-consistency/lcm-lora-sdv1-5": (
        "lora_unet_down_blocks_0_attentions_0_proj_in.alpha",
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight",
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight",
    ),
    "of kohya, with the text encoder": ("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",),
    "of diffusers": (
        f"unet.{IN_ATTENTION}.to_q.lora.down.weight",
        "text_encoder.text_model.x.lora_linear_layer.up.weight",
    ),
    "of older diffusers": (f"unet.{IN_ATTENTION}.processor.to_q_lora.down.weight",),
    "of peft": (f"base_model.model.{IN_ATTENTION}.to_q.lora_A.weight",),
    "as LoHa": ("lora_unet_down_blocks_0_attentions_0_proj_in.hada_w1_a",),
}


@pytest.mark.parametrize("name", LORAS)
def test_lora(name: str, tmp_path: Path) -> None:
    folder = snapshot(tmp_path, {"README.md": b"", "pytorch_lora_weights.safetensors": tensors(*LORAS[name])})
    for place in (folder, f"{folder}/pytorch_lora_weights.safetensors"):
        assert found("inpaint", lora=place) == []
