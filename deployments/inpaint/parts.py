"""Whether the engine can drive the parts of a diffusers pipeline, and whether they fit each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]

# Pipelines of Stable Diffusion 1 and 2. Their parts are the same; the UNet says what it was trained for.
PIPELINES = frozenset(
    {
        "StableDiffusionInpaintPipeline",
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipelineLegacy",
    }
)
# Those whose steps here are the stock pipeline's, as tests/models/test_inpaint_parts.py finds out.
SCHEDULERS = frozenset(
    {
        "CogVideoXDDIMScheduler",
        "DDIMParallelScheduler",
        "DDIMScheduler",
        "DDPMParallelScheduler",
        "DDPMScheduler",
        "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler",
        "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "LCMScheduler",
        "LMSDiscreteScheduler",
        "PNDMScheduler",
        "SASolverScheduler",
        "TCDScheduler",
        "UniPCMultistepScheduler",
    }
)
PREDICTIONS = ("epsilon", "v_prediction", "sample")
TEXT_ENCODER = "CLIPTextModel"
LATENT_CHANNELS = 4
UNET_CHANNELS = 2 * LATENT_CHANNELS + 1  # noisy latents, the mask, and the picture without the masked part


@dataclass(frozen=True)
class Parts:
    """The parts of a pipeline: what model_index.json says, and each part's own settings.

    `model` is the model's name in quotes.
    """

    model: str
    index: Config
    settings: dict[str, Config]

    def class_of(self, part: str) -> str | None:
        """Return the name of the class that a part is loaded with; None where there is no such part."""
        return _class_name(self.index.get(part))

    def number(self, part: str, name: str) -> int | None:
        """Return a whole number among a part's settings; None where there is none of that name, or something else."""
        value = self.settings[part].get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def wrong_pipeline(index: Config) -> str | None:
    """Return what is wrong with the pipeline that model_index.json names."""
    name = _class_name(index.get("_class_name"))
    if name is None:
        return "model_index.json does not name its pipeline"
    return None if name in PIPELINES else f"it is a diffusers pipeline of another kind ({name})"


def _class_name(named: Any) -> str | None:
    """Return the name itself, or the last of a list: diffusers names a class alone, or behind its library."""
    name = named[-1] if isinstance(named, list) and named else named
    return name if isinstance(name, str) else None


def misfit(parts: Parts) -> str | None:
    """Return the first thing that is wrong with the parts."""
    return next(filter(None, (check(parts) for check in CHECKS)), None)


def _channels(parts: Parts) -> str | None:
    channels = parts.number("unet", "in_channels")
    if channels in (None, UNET_CHANNELS):
        return None
    probably = ". It is probably a text-to-image model" if channels == LATENT_CHANNELS else ""
    return (
        f"the UNet of {parts.model} takes {channels} channels, and an inpainting UNet takes {UNET_CHANNELS}{probably}"
    )


def _distilled(parts: Parts) -> str | None:
    if parts.settings["unet"].get("time_cond_proj_dim") is None:
        return None
    return (
        f"the UNet of {parts.model} wants the guidance as an input (a distilled model), which is not supported. "
        "An LCM-LoRA on the plain model is: inpaint.lora"
    )


def _further_inputs(parts: Parts) -> str | None:
    names = ("addition_embed_type", "class_embed_type", "num_class_embeds", "encoder_hid_dim_type")
    wanted = [name for name in names if parts.settings["unet"].get(name) is not None]
    if not wanted:
        return None
    return f"the UNet of {parts.model} wants more inputs than Stable Diffusion gives it ({wanted[0]} is set)"


def _side(parts: Parts) -> str | None:
    unet = parts.settings["unet"]
    if not unet or parts.number("unet", "sample_size"):
        return None
    return f"the sample_size in unet/config.json of {parts.model} is not a whole number: {unet.get('sample_size')!r}"


def _latents(parts: Parts) -> str | None:
    for part, name in (("unet", "out_channels"), ("vae", "latent_channels")):
        channels = parts.number(part, name)
        if channels not in (None, LATENT_CHANNELS):
            return f"the {part} of {parts.model} works on {channels} latent channels, and Stable Diffusion has 4"
    return None


def _text_encoder(parts: Parts) -> str | None:
    name = parts.class_of("text_encoder")
    if name == TEXT_ENCODER:
        return None
    what = "is missing in model_index.json" if name is None else f"is a {name}"
    return f"the text encoder of {parts.model} {what}, and {TEXT_ENCODER} is wanted"


def _text_width(parts: Parts) -> str | None:
    wanted = parts.number("unet", "cross_attention_dim")
    given = parts.number("text_encoder", "hidden_size")
    if wanted is None or given is None or wanted == given:
        return None
    return (
        f"the UNet of {parts.model} was made for another text encoder: "
        f"it wants width {wanted}, the text encoder gives {given}"
    )


def _scheduler(parts: Parts) -> str | None:
    name = parts.class_of("scheduler")
    if name in SCHEDULERS:
        return None
    if name is None:
        return f"the scheduler of {parts.model} is missing in model_index.json"
    known = ", ".join(sorted(SCHEDULERS))
    return f"the scheduler of {parts.model} is a {name}, which the step engine cannot drive; it can drive {known}"


def _prediction(parts: Parts) -> str | None:
    kind = parts.settings["scheduler"].get("prediction_type", PREDICTIONS[0])
    if kind in PREDICTIONS:
        return None
    return f"the scheduler of {parts.model} expects {kind!r} from the UNet, and {', '.join(PREDICTIONS)} are supported"


CHECKS: tuple[Callable[[Parts], str | None], ...] = (
    _channels,
    _distilled,
    _further_inputs,
    _side,
    _latents,
    _text_encoder,
    _text_width,
    _scheduler,
    _prediction,
)
