"""What can be said of CLIP's files before they are loaded."""

from __future__ import annotations

from typing import Any

from deployments.config import POCKET, POCKET_WEIGHTS, ModelArgs
from deployments.serving.checkpoints.hub import Hub
from deployments.serving.checkpoints.source import Asked, ModelSource, find
from deployments.serving.checkpoints.weights import Weights

WISH = (
    f"Give {POCKET!r}, the id of a CLIP model on the hub such as 'openai/clip-vit-base-patch32', or a folder with its "
    "config.json, model.safetensors, preprocessor_config.json and the tokenizer's files."
)
MODEL_TYPE = "clip"
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # one or the other
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")  # older and newer versions of transformers


def check(args: ModelArgs, hub: Hub | None = None) -> ModelSource:
    """Return where the CLIP model is that `args` name. Refuse what is known not to be one.

    Without a `hub` nothing is asked on the network.
    """
    place = str(POCKET_WEIGHTS / "clip") if args.model == POCKET else args.model
    source = find(Asked("clip.model", args.model, WISH), place, args.revision, hub)
    if source.path is not None and not source.path.is_dir():
        raise source.asked.refused(f"{args.model!r} is a file, and a CLIP model is a folder of files")
    if source.known or source.config("config.json") is not None:
        _check_kind(source)
    if source.path is not None:
        _check_files(source, args.variant)
    return source


def _check_kind(source: ModelSource) -> None:
    config = source.config("config.json")
    if config is not None and config.get("model_type") == MODEL_TYPE:
        return
    raise source.asked.refused(f"{source.asked.value!r} is not a CLIP model: {_kind(source, config)}")


def _kind(source: ModelSource, config: dict[str, Any] | None) -> str:
    if config is not None and "model_type" in config:
        return f"config.json says that it is of the kind {config['model_type']!r}, not {MODEL_TYPE!r}"
    index = source.config("model_index.json")
    if index is not None:
        return f"it is a diffusers pipeline ({index.get('_class_name')})"
    return "it has no config.json" if config is None else "config.json does not say its model_type"


def _check_files(source: ModelSource, variant: str | None) -> None:
    Weights(source, "", "model").check(variant)
    if not any(all(source.has(file) for file in files) for files in TOKENIZERS):
        missing = "tokenizer.json, or vocab.json and merges.txt, is missing"
        raise source.asked.refused(f"{missing} in {source.asked.value!r}")
    if not any(source.has(file) for file in PREPROCESSORS):
        raise source.asked.refused(f"preprocessor_config.json is missing in {source.asked.value!r}")
