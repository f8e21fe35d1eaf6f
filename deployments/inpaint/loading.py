"""From the setting `inpaint` to the parts of a pipeline in memory, whole and on their device."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from diffusers import StableDiffusionInpaintPipeline
from transformers import CLIPTextModel

from deployments.config import InpaintArgs, ModelArgs
from deployments.errors import InvalidInput
from deployments.inpaint import checkpoint, defaults, lora
from deployments.inpaint.defaults import PaintingDefaults
from deployments.inpaint.safety import SafetyChecker
from deployments.language.texts import check_tokens
from deployments.serving.checkpoints import devices
from deployments.serving.checkpoints.hub import LOADING_PATIENCE_S, Hub
from deployments.serving.checkpoints.source import ModelSource
from deployments.serving.checkpoints.weights import check_report


def load(args: ModelArgs) -> tuple[StableDiffusionInpaintPipeline, SafetyChecker | None, PaintingDefaults]:
    """Return the pipeline that `args` name, its safety checker, and what suits it; safetensors only.

    Raises SettingError, naming the setting, when there is nothing to load or it is of another kind.
    """
    hub = Hub(LOADING_PATIENCE_S)
    named = checkpoint.check(args, hub)
    adapter = lora.check(args, hub) if isinstance(args, InpaintArgs) else None
    device = devices.chosen("inpaint.device", args.device)
    source = _on_disk(named, args)
    pipeline = _pipeline(source, args)
    if adapter is not None and isinstance(args, InpaintArgs):
        _fuse_lora(pipeline, adapter, args.lora_scale)
    wants_checker = isinstance(args, InpaintArgs) and args.safety_checker
    checker = _checker(named, args, device) if wants_checker else None
    pipeline.to(device)
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        part.eval().requires_grad_(False)
    return pipeline, checker, _defaults(source, pipeline)


def _on_disk(source: ModelSource, args: ModelArgs) -> ModelSource:
    """Return the source as a folder, fetched from the hub where it was none, and then looked at as any folder is."""
    if source.path is not None:
        return source
    with source.asked.explained():
        folder = StableDiffusionInpaintPipeline.download(
            source.repo,
            revision=args.revision,
            variant=args.variant,
            use_safetensors=True,
            safety_checker=None,  # ours sees every picture; it is loaded apart
            feature_extractor=None,
        )
    fetched = replace(source, path=Path(folder))
    checkpoint.check_source(fetched, ModelArgs(model=args.model, variant=args.variant))
    return fetched


def _pipeline(source: ModelSource, args: ModelArgs) -> StableDiffusionInpaintPipeline:
    with source.asked.explained():
        pipeline = StableDiffusionInpaintPipeline.from_pretrained(
            source.location,
            variant=args.variant,
            dtype=getattr(torch, args.dtype),
            use_safetensors=True,
            text_encoder=_text_encoder(source, args),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    for part in ("unet", "vae"):
        _refuse_incomplete(source, part, getattr(pipeline, part))
    return pipeline


def _defaults(source: ModelSource, pipeline: StableDiffusionInpaintPipeline) -> PaintingDefaults:
    """Return what suits the model. Refuse a removal prompt that its own text encoder cannot read to the end."""
    read = defaults.read(source.location)
    tokenizer = pipeline.tokenizer
    try:
        check_tokens(read.removal_prompt, "removal_prompt", tokenizer, tokenizer.model_max_length, "the model")
    except InvalidInput as error:
        raise defaults.wrong(error.message) from error
    return read


def _checker(source: ModelSource, args: ModelArgs, device: torch.device) -> SafetyChecker | None:
    variant = checkpoint.checker_variant(source, args.variant)
    return SafetyChecker.load(source.location, args.model_copy(update={"variant": variant}), str(device))


def _text_encoder(source: ModelSource, args: ModelArgs) -> CLIPTextModel:
    """Return the text encoder, loaded apart because the pipeline does not say which of its weights are missing."""
    model, report = CLIPTextModel.from_pretrained(
        source.location,
        subfolder="text_encoder",
        variant=checkpoint.variant_of(source, "text_encoder", args.variant),
        use_safetensors=True,
        dtype=getattr(torch, args.dtype),
        ignore_mismatched_sizes=True,  # the report names them
        output_loading_info=True,
    )
    check_report(source, report, "text_encoder")
    return model


def _refuse_incomplete(source: ModelSource, part: str, model: torch.nn.Module) -> None:
    """Refuse a part of diffusers of which tensors were not in its file: it leaves them without numbers."""
    tensors = chain(model.named_parameters(), model.named_buffers())
    check_report(source, {"missing_keys": [name for name, tensor in tensors if tensor.is_meta]}, part)


def _fuse_lora(pipeline: StableDiffusionInpaintPipeline, adapter: ModelSource, scale: float) -> None:
    """Add the LoRA to the weights: a step then costs what it costs without, and all requests share it."""
    with adapter.asked.explained():
        pipeline.load_lora_weights(adapter.location, use_safetensors=True)
        if not pipeline.get_active_adapters():
            raise adapter.asked.refused(f"{adapter.asked.value!r} holds nothing for this UNet or text encoder")
        pipeline.fuse_lora(lora_scale=scale)
        pipeline.unload_lora_weights()
