"""What can be said of an inpainting model's files before they are loaded."""

from __future__ import annotations

from typing import Any

from deployments.config import POCKET, POCKET_WEIGHTS, InpaintArgs, ModelArgs
from deployments.errors import SettingError
from deployments.inpaint import defaults
from deployments.inpaint.parts import Parts, misfit, wrong_pipeline
from deployments.serving.checkpoints.hub import Hub
from deployments.serving.checkpoints.source import Asked, ModelSource, find, is_path
from deployments.serving.checkpoints.weights import Weights

WISH = (
    f"Give {POCKET!r}, the id of a Stable Diffusion inpainting model on the hub such as "
    "'stable-diffusion-v1-5/stable-diffusion-inpainting', or a folder that save_pretrained of diffusers wrote."
)
# Deleted from its hub in 2024; the same weights live on under another name.
ALIASES = {"runwayml/stable-diffusion-inpainting": "stable-diffusion-v1-5/stable-diffusion-inpainting"}
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
SETTINGS = {**{part: f"{part}/config.json" for part in WEIGHTS}, "scheduler": "scheduler/scheduler_config.json"}
TOKENIZERS = (("tokenizer/tokenizer.json",), ("tokenizer/vocab.json", "tokenizer/merges.txt"))  # one or the other


def check(args: ModelArgs, hub: Hub | None = None) -> ModelSource:
    """Return where the inpainting model is that `args` name. Refuse what is known not to be one; see `check_source`."""
    source = find(Asked("inpaint.model", args.model, WISH), _place(args), args.revision, hub)
    check_source(source, args)
    return source


def _place(args: ModelArgs) -> str:
    """Return the path or the id to look at. A folder here may well have the deleted name: a copy from before."""
    if args.model == POCKET:
        return str(POCKET_WEIGHTS / "inpaint")
    return args.model if is_path(args.model) else ALIASES.get(args.model, args.model)


def check_source(source: ModelSource, args: ModelArgs) -> None:
    """Refuse an inpainting model of a kind that the engine cannot drive, or of which files are missing."""
    if source.path is not None and not source.path.is_dir():
        raise source.asked.refused(_single_file(source.asked.value))
    index = source.config("model_index.json")
    if index is None and not source.known:
        return
    parts = _parts(source, index)
    if source.path is not None:
        defaults.read(source.path)
        _check_files(source, args)
        if isinstance(args, InpaintArgs) and args.safety_checker and parts.class_of("safety_checker"):
            _check_checker(source, args)


def variant_of(source: ModelSource, part: str, variant: str | None) -> str | None:
    """Return the variant that diffusers reads of a part: the plain weights where only other parts have `variant`."""
    weights = {each: Weights(source, each, stem) for each, stem in WEIGHTS.items()}
    others_have_it = any(each.there(variant) for each in weights.values())
    takes_plain = others_have_it and not weights[part].there(variant) and weights[part].there(None)
    return None if takes_plain else variant


def checker_variant(source: ModelSource, variant: str | None) -> str | None:
    """Return the variant to read of the safety checker: its plain weights where it has only those."""
    weights = _checker_weights(source)
    return None if weights.there(None) and not weights.there(variant) else variant


def _checker_weights(source: ModelSource) -> Weights:
    return Weights(source, "safety_checker", "model")


def refuse_checker(model: str) -> SettingError:
    """Return the error for a safety checker that cannot be relied on."""
    return SettingError(
        "inpaint.model",
        f"the safety checker of {model!r} cannot be loaded whole, with its feature_extractor and as safetensors. "
        "Repair it, or say inpaint.safety_checker: false to do without.",
    )


def _parts(source: ModelSource, index: dict[str, Any] | None) -> Parts:
    """Return the parts of the pipeline that model_index.json names. Refuse those that the engine cannot drive."""
    value = repr(source.asked.value)
    if problem := _without_index(source) if index is None else wrong_pipeline(index):
        raise source.asked.refused(f"{value} is not a Stable Diffusion inpainting model: {problem}")
    parts = Parts(value, index or {}, {part: _settings(source, file) for part, file in SETTINGS.items()})
    if problem := misfit(parts):
        raise source.asked.refused(problem)
    return parts


def _single_file(value: str) -> str:
    return (
        f"{value!r} is one file, and an inpainting model is a folder of files. Convert it with diffusers: "
        "StableDiffusionInpaintPipeline.from_single_file reads it, and save_pretrained writes the folder"
    )


def _without_index(source: ModelSource) -> str:
    kind = (source.config("config.json") or {}).get("model_type")
    return "it has no model_index.json" + (f"; config.json says that it is of the kind {kind!r}" if kind else "")


def _settings(source: ModelSource, file: str) -> dict[str, Any]:
    """Return what `file` says; nothing where it is on the hub and the hub is not asked."""
    settings = source.config(file)
    if settings is None and source.known:
        raise source.asked.refused(f"{file} is missing in {source.asked.value!r}")
    return settings or {}


def _check_files(source: ModelSource, args: ModelArgs) -> None:
    for part, stem in WEIGHTS.items():
        Weights(source, part, stem).check(variant_of(source, part, args.variant))
    if not any(all(source.has(file) for file in files) for files in TOKENIZERS):
        missing = "tokenizer/tokenizer.json, or vocab.json and merges.txt, is missing"
        raise source.asked.refused(f"{missing} in {source.asked.value!r}")


def _check_checker(source: ModelSource, args: InpaintArgs) -> None:
    weights = _checker_weights(source).there(checker_variant(source, args.variant))
    if not weights or not source.has("feature_extractor/preprocessor_config.json"):
        raise refuse_checker(args.model)
