"""What can be said of a LoRA's file before it is loaded."""

from __future__ import annotations

from pathlib import Path

from deployments.config import InpaintArgs
from deployments.serving.checkpoints import hub as hubs
from deployments.serving.checkpoints.source import Asked, ModelSource, find
from deployments.serving.checkpoints.tensors import NoWeights, safetensors_header

FILE = "pytorch_lora_weights.safetensors"
WISH = (
    f"Give a .safetensors file, a folder with {FILE}, or the id on the hub of a LoRA for the same Stable Diffusion "
    "as inpaint.model, such as 'latent-consistency/lcm-lora-sdv1-5'."
)
MARK = "lora"  # in the names of a LoRA's tensors, in any letters
# Networks that a LoRA may have been made for instead, by how the names of its tensors begin.
OTHERS = {"text_encoder_2.": "Stable Diffusion XL", "lora_te2_": "Stable Diffusion XL", "transformer.": "a transformer"}


def check(args: InpaintArgs, hub: hubs.Hub | None = None) -> ModelSource | None:
    """Return where the LoRA is that `args` name, None where there is none. Refuse what is known to be no LoRA."""
    if args.lora is None:
        return None
    asked = Asked("inpaint.lora", args.lora, WISH, "file or folder")
    source = find(asked, args.lora, None, hub)
    if source.path is None:
        return _on_hub(source)
    file = _in_folder(source) if source.path.is_dir() else source.path
    _check_tensors(asked, file)
    return ModelSource(asked, file)


def _on_hub(source: ModelSource) -> ModelSource:
    """Return the file in the hub's cache where that has it, or else the id as it is."""
    file = hubs.cached(source.repo, FILE, None)
    if file is not None:
        _check_tensors(source.asked, file)
        return ModelSource(source.asked, file)
    if source.hub is not None:
        with source.answers():
            files = source.hub.files(source.repo)
        if not any(name.endswith(".safetensors") for name in files):
            raise source.asked.refused(f"there is no .safetensors file in the hub's {source.repo!r}")
    return source


def _in_folder(source: ModelSource) -> Path:
    files = [name for name in source.names() if name.endswith(".safetensors")]
    chosen = FILE if FILE in files else files[0] if len(files) == 1 else None
    if chosen is None:
        what = "more than one .safetensors file" if files else f"no {FILE}"
        raise source.asked.refused(f"there is {what} in {source.asked.value!r}")
    assert source.path is not None
    return source.path / chosen


def _check_tensors(asked: Asked, file: Path) -> None:
    if file.suffix != ".safetensors":
        raise asked.refused(f"{asked.value!r} is not a .safetensors file, and pickled weights are never read")
    try:
        names = safetensors_header(file)
    except NoWeights as error:
        raise asked.refused(f"{asked.value!r} cannot be used: {error}") from error
    except OSError as error:
        raise asked.not_here(f"{asked.value!r} cannot be read: {error.strerror}") from error
    if not any(MARK in name.lower() for name in names):
        raise asked.refused(f"{asked.value!r} holds no LoRA: no tensor in it has 'lora' in its name")
    for start, other in OTHERS.items():
        if any(name.startswith(start) for name in names):
            raise asked.refused(f"{asked.value!r} was made for another network: {other}")
