"""All settings, each in one place.

`GraphArgs` is what an application is built from (`args:` in the Serve YAML): which models, where they
come from, on which device. Changing it restarts replicas. The `*Settings` classes are each deployment's
`user_config`: they change live. Replicas, GPU shares and queues are Ray Serve's own and stand in the YAML.
Everything is frozen and refuses keys it does not know.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from deployments.limits import Limits

POCKET = "pocket"
POCKET_WEIGHTS = Path(__file__).parent.parent / "pocket" / "weights"

Dtype = Literal["float32", "float16", "bfloat16"]
Execution = Literal["auto", "eager", "graphed", "traced", "compiled", "openvino"]
Precision = Literal["auto", "float32", "bfloat16"]
ClipMethod = Literal["patch", "maskclip", "clearclip", "naclip", "surgery"]
SchedulerName = Literal["ddim", "pndm", "euler", "euler_ancestral", "dpmpp_2m", "unipc", "lcm"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModelArgs(_Frozen):
    """A model: `model` is "pocket", a hub id or a local path.

    `revision` pins a hub id; `variant` picks among the weight files of one place ("fp16" reads
    model.fp16.safetensors). `device` "auto" takes the GPU when torch sees one. float16 and bfloat16 need a
    GPU to be of use.
    """

    model: str = POCKET
    revision: str | None = None
    variant: str | None = None
    device: str = "auto"
    dtype: Dtype = "float32"


class InpaintArgs(ModelArgs):
    """The inpainting model, and how its UNet is run.

    `lora` (a hub id or path) is fused into the weights with `lora_scale`; with an LCM-LoRA also set
    `user_config: {scheduler: lcm}` and ask for 4 to 8 steps and a guidance of 1.

    With `safety_checker` the checkpoint's own checker, if it has one, looks at each finished picture.

    `execution` is "eager"; "graphed" (only on a CUDA GPU: the kernels of each row bucket and size are recorded at its
    first step and played back, bit-equal to eager); "traced" (bit-equal to eager, without Python between the operators,
    so that threads do not wait for each other; torch deprecates it but still has it); "compiled" (torch.compile, one
    graph for each row bucket, whose first step takes a minute or more); or "openvino" (on a CPU; made in half a minute
    at the first start and kept on disk). "auto" is graphed on a CUDA GPU. On a CPU it is traced, and openvino as soon
    as that is ready, where it is installed; the answer names what painted it. Elsewhere it is eager.

    `precision` is what "openvino" computes in; "auto" is bfloat16 where the CPU has matrix units for it (Intel AMX),
    else float32. The others compute in `dtype`.

    `row_threads` CPU threads share the rows of a step; None takes one for each core that torch's own
    threads leave, at most 4. A step is padded with empty rows up to the next of `row_buckets`. Results are
    bit-equal whatever the neighbours within a bucket, and equal to about 1e-6 between buckets; a single
    bucket makes them bit-equal always, and a lone job as slow as a full step. None pads nothing on a CPU
    and to powers of two on a GPU.
    """

    lora: str | None = None
    lora_scale: float = 1.0
    safety_checker: bool = True
    execution: Execution = "auto"
    precision: Precision = "auto"
    row_threads: int | None = Field(None, ge=1, le=64)
    row_buckets: tuple[int, ...] | None = None


class GraphArgs(_Frozen):
    """The three models of the graph. With no arguments at all, the pocket models."""

    clip: ModelArgs = ModelArgs()
    sam: ModelArgs = ModelArgs()
    inpaint: InpaintArgs = InpaintArgs()


class BatchSettings(_Frozen):
    """At most `max_batch_size` requests share a model call; an idle model waits `max_wait_s` for company.

    A replica whose model call takes longer than `max_stall_s` is replaced.
    """

    max_batch_size: int = Field(8, ge=1, le=256)
    max_wait_s: float = Field(0.0, ge=0, le=1)
    max_stall_s: float = Field(300.0, gt=0)


class ClipSettings(BatchSettings):
    """How CLIP looks at a picture. `clip/dense.py` describes the methods.

    With `contrast` a target has to stand out from what pictures usually show. With `ensemble` a phrase is the mean of
    several wordings. `squares` are the scales at which the picture is also looked at in windows: each is how many model
    squares its shorter side has. () looks only at the whole. `min_confidence` is the confidence that a match needs to
    be acted on. Confidence is the sigmoid of `presence_scale` times the margin plus `presence_shift`, a calibration for
    the model in use, which `benchmarks/quality.py` fits.
    """

    method: ClipMethod = "naclip"
    contrast: bool = True
    ensemble: bool = True
    squares: tuple[Annotated[int, Field(ge=1, le=8)], ...] = (2, 4)
    min_confidence: float = Field(0.5, ge=0, le=1)
    presence_scale: float = Field(1.0, gt=0)
    presence_shift: float = 0.0


class SamSettings(BatchSettings):
    """How SAM batches."""

    max_batch_size: int = Field(4, ge=1, le=64)


class InpaintSettings(_Frozen):
    """How many pictures are painted together, and how many may wait.

    At most `max_rows` rows of the UNet share a step (a picture takes two, without guidance one). None takes what a
    short profile at start-up found: the most that keep a step under `max_step_s` (it measures steps up to 0.6 s).
    `max_pictures` (one for each square and seed) and `max_held_mb` bound what is accepted and not finished. Beyond them
    a request is refused, with the time after which to try again. No request under way counts for more pictures than the
    new one asks for, so large requests do not lock out small ones. One that needs all of `max_pictures` or more is
    accepted while any place is free. A `max_pictures` of None is as many as rows share a step, and at least
    64: how much work is let in at all, the driver decides. A `scheduler` of None is the checkpoint's own. A replica
    that has work and takes no step for `max_stall_s` is replaced; the first step of a compiled UNet takes minutes.
    """

    max_rows: int | None = Field(None, ge=1, le=1024)
    max_step_s: float = Field(0.5, gt=0)
    max_pictures: int | None = Field(None, ge=1)
    max_held_mb: int = Field(1024, ge=1)
    max_stall_s: float = Field(300.0, gt=0)
    scheduler: SchedulerName | None = None


class GroundingSettings(_Frozen):
    """How the mask of what is meant is found in CLIP's heat map.

    SAM is asked about up to `peaks` hot places of a thing together, and with `use_box` about its box and rough shape
    too. With `choose` SAM's answers are ranked by how well they fit the heat, without it by SAM's own score. With
    `use_heat` the heat map is the mask where no answer fits. With `look_closer` a thing that is small in the picture is
    encoded again, from nearby. At most `max_candidates` are returned. With `places` words of place and size ("left",
    "largest") are understood; without it they are looked for like any others.
    """

    peaks: int = Field(3, ge=1, le=8)
    use_box: bool = True
    choose: bool = True
    use_heat: bool = True
    look_closer: bool = True
    places: bool = True
    max_candidates: int = Field(8, ge=1, le=32)


class PaintingSettings(_Frozen):
    """What the painter is offered, and how its work is put back.

    `mask_shape` and `dilation` (a share of the region's longest side) are described in `EditRequest`. `context` is the
    side of the painter's square over the region's longest side; without `crop` it sees the whole picture, squeezed to
    its square. With `fit_colours` a shift of colours that the painter made is corrected. `max_retries` is how many
    rounds of further seeds are painted while the score is below a `min_score`. `fill_method` is how a removal fills the
    region where the request does not say it.
    """

    mask_shape: Literal["silhouette", "hull", "box"] = "hull"
    dilation: float = Field(0.09, ge=0, le=1)
    context: float = Field(1.35, ge=1, le=8)
    crop: bool = True
    fit_colours: bool = True
    max_retries: int = Field(2, ge=0, le=10)
    fill_method: Literal["classical", "painter"] = "classical"


def _check_origin(origin: str) -> str:
    """Refuse what can never be equal to the origin that a browser sends. A browser leaves the usual port out."""
    written = re.fullmatch(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?", origin)
    if origin != "*" and not written:
        raise ValueError('an origin is "*" or scheme://host or scheme://host:port, in lower case and without a path')
    if written and written.groups() in {("http", "80"), ("https", "443")}:
        raise ValueError("browsers leave the usual port of a scheme out of an origin: do so here")
    return origin


Origin = Annotated[str, AfterValidator(_check_origin)]


class DriverSettings(_Frozen):
    """The defaults of an edit, its deadline, and the limits of its input.

    A `guidance_scale` of None is the inpaint model's own, which its directory may state (see `inpaint/defaults.py`). A
    `deadline_s` of None lets an edit take as long as it needs. A stage whose replica died is run at most `max_attempts`
    times. A request is refused before anything is spent on it where what is under way takes longer than
    `max_backlog_s`; None refuses none. Web pages of the `cors_origins` may call the service from a
    browser, such as "https://app.example" or, for pages from anywhere, "*". A request may name its `model` by any of
    the `model_aliases`, patterns in which * stands for anything: programs that were made for others send their names.
    """

    num_inference_steps: int = Field(30, ge=1)
    guidance_scale: float | None = Field(None, ge=0)
    deadline_s: float | None = Field(120.0, gt=0)
    max_attempts: int = Field(3, ge=1, le=10)
    max_backlog_s: float | None = Field(6.0, gt=0)
    grounding: GroundingSettings = GroundingSettings()
    painting: PaintingSettings = PaintingSettings()
    limits: Limits = Limits()
    cors_origins: tuple[Origin, ...] = ()
    model_aliases: tuple[str, ...] = ("gpt-image-*", "chatgpt-image-*")


class LedgerSettings(_Frozen):
    """How long the answers of requests that may be sent again are kept, and how many.

    An answer to a request with an `Idempotency-Key` is kept for `keep_s` seconds, and forgotten earlier where more than
    `max_answers` or `max_mb` megabytes would be kept: the one first that was not asked for the longest. A replica that
    works on a request and has not been heard of for `lease_s` seconds counts as dead.
    """

    keep_s: float = Field(300.0, gt=0, le=86_400)
    max_answers: int = Field(256, ge=1)
    max_mb: int = Field(256, ge=1)
    lease_s: float = Field(10.0, ge=0.1, le=300)
