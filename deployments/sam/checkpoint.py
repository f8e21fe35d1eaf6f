"""What can be said of SAM's file before it is loaded."""

from __future__ import annotations

from pathlib import Path

from deployments.config import POCKET, POCKET_WEIGHTS, ModelArgs
from deployments.errors import SettingError
from deployments.serving.checkpoints.source import Asked, ModelSource, is_path, local
from deployments.serving.checkpoints.tensors import NoWeights, names

CHECKPOINTS_PAGE = "https://github.com/facebookresearch/segment-anything#model-checkpoints"
WISH = f"Give a .pth file from {CHECKPOINTS_PAGE}, the same as .safetensors, or {POCKET!r}."

# Each module of a SAM by one of its tensors.
WANTED = (
    "image_encoder.pos_embed",
    "image_encoder.patch_embed.proj.weight",
    "prompt_encoder.mask_downscaling.3.weight",
    "mask_decoder.mask_tokens.weight",
)
# What else people have at hand, by how some of its tensors' names begin. The first that matches is it.
OTHERS = {
    "mask_decoder.hf_token": "it is an HQ-SAM",
    "image_encoder.trunk.": "it is a SAM 2",
    "image_encoder.layers.": "it is a MobileSAM",
    "vision_encoder.": "it is a SAM in the format of transformers (SamModel), not of segment-anything",
    "text_model.": "it is a CLIP model of transformers",
    "visual.": "it is a CLIP model of OpenAI's format",
    "model.diffusion_model.": "it is a whole Stable Diffusion in one file",
    "down_blocks.": "it is a UNet of diffusers",
    "encoder.down_blocks.": "it is an image autoencoder of diffusers",
}


def check(args: ModelArgs) -> ModelSource:
    """Return where the SAM is that `args` name. Refuse what is known not to be one."""
    for setting, value in (("sam.revision", args.revision), ("sam.variant", args.variant)):
        if value is not None:
            raise SettingError(setting, f"{value!r} chooses among files on the hub, and SAM is one file. Leave it out.")
    asked = Asked("sam.model", args.model, WISH, "file")
    source = ModelSource(asked, POCKET_WEIGHTS / "sam.pth" if args.model == POCKET else _file(asked))
    _check_tensors(source)
    return source


def _file(asked: Asked) -> Path:
    if not is_path(asked.value):
        raise asked.not_here(f"there is no file {asked.value!r} on this machine, and SAM is not fetched from the hub")
    return local(asked, asked.value)


def _check_tensors(source: ModelSource) -> None:
    assert source.path is not None
    value = source.asked.value
    if source.path.is_dir():
        raise source.asked.refused(f"{value!r} is a folder, and SAM is one file")
    try:
        found = names(source.path)
    except NoWeights as error:
        raise source.asked.refused(f"{value!r} cannot be used: {error}") from error
    except OSError as error:
        raise source.unreadable("", error) from error
    missing = [name for name in WANTED if name not in found]
    others = (kind for start, kind in OTHERS.items() if any(name.startswith(start) for name in found))
    kind = next(others, f"it has no tensor {missing[0]!r}" if missing else None)
    if kind is not None:
        raise source.asked.refused(f"{value!r} holds no SAM: {kind}")
