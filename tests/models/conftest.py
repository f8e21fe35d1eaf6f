"""Models for the tests, tiny and random: a Stable Diffusion inpainting pipeline with all its parts, and a SAM."""

import importlib.util
import sys
import threading
import warnings
from dataclasses import replace
from types import ModuleType
from unittest import mock

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel

from deployments.config import InpaintArgs, InpaintSettings, ModelArgs
from deployments.inpaint.denoiser import Denoiser
from deployments.inpaint.engine import InpaintEngine
from deployments.inpaint.model import InpaintModel
from deployments.inpaint.steps import StepLoop
from deployments.messages import InpaintRequest, PaintOptions, Square
from deployments.sam.architecture import Dimensions, assemble, import_modeling
from deployments.sam.model import SamSegmenter
from pocket import tokenizer, world

SIDE = 32


def build_pipeline(unet_channels=9):
    torch.manual_seed(0)
    words = tokenizer.build()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=words.model_max_length,
            eos_token_id=words.eos_token_id,
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.5,
    )
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        in_channels=unet_channels,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionInpaintPipeline(
            vae=vae.eval(),
            text_encoder=text_encoder.eval(),
            tokenizer=words,
            unet=unet.eval().requires_grad_(False),
            scheduler=PNDMScheduler(beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def new_pipeline():
    """Builds one; always with the same weights."""
    return build_pipeline


@pytest.fixture(scope="module")
def pipeline():
    return build_pipeline()


@pytest.fixture
def new_engine(pipeline):
    """Starts engines, and ends them with the test."""
    engines = []

    def start(settings=None, on_step=None, **args):
        settings = InpaintSettings(**{"max_rows": 16, **(settings or {})})
        args = InpaintArgs(**{"execution": "eager", "row_threads": 1, **args})
        engines.append(InpaintEngine(InpaintModel(pipeline), args, settings, on_step))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture
def request_():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[8:26, 5:20] = True
    options = PaintOptions(negative_prompt="blurry", num_inference_steps=4, guidance_scale=5.0, strength=1.0)
    return InpaintRequest((Square(image, mask),), "a lemon", (7,), options)


@pytest.fixture
def stock():
    """What diffusers' own pipeline gives for one seed of a request: latents, or pixels with "np"."""

    def run(pipeline, request, seed=None, output_type="latent", side=SIDE):
        result = pipeline(
            prompt=request.prompt,
            negative_prompt=request.options.negative_prompt,
            image=Image.fromarray(request.squares[0].image),
            mask_image=Image.fromarray(request.squares[0].mask.astype(np.uint8) * 255),
            height=side,
            width=side,
            num_inference_steps=request.options.num_inference_steps,
            guidance_scale=request.options.guidance_scale,
            strength=request.options.strength,
            generator=torch.Generator().manual_seed(request.seeds[0] if seed is None else seed),
            output_type=output_type,
        )
        return result.images

    return run


@pytest.fixture
def changed():
    return replace


@pytest.fixture
def close():
    """Within float32 noise, on the scale of the latents: a random UNet's are far larger than a real one's."""

    def compare(latents, expected, tolerance=1e-4):
        return bool((latents - expected).abs().max() <= tolerance * max(1.0, float(expected.std())))

    return compare


class Collector:
    """A watcher that keeps what it is told; `wait` returns the paintings' latents in the order of `paintings`."""

    def __init__(self):
        self.ended_with = {}
        self.estimates = {}
        self.paintings = []
        self._changed = threading.Condition()

    def stepped(self, painting, estimate):
        if estimate is not None:
            self.estimates.setdefault(painting, {})[painting.taken] = estimate

    def ended(self, painting, error):
        with self._changed:
            self.ended_with[painting] = error
            self._changed.notify_all()

    def wait(self, paintings, timeout_s=300):
        """The limit is for what has to be compiled first, at a low priority, while other tests keep the cores busy."""
        with self._changed:
            assert self._changed.wait_for(lambda: all(each in self.ended_with for each in paintings), timeout_s)
        for painting in paintings:
            if self.ended_with[painting] is not None:
                raise self.ended_with[painting]
        return [painting.latents for painting in paintings]


@pytest.fixture
def new_collector():
    return Collector


@pytest.fixture
def new_loop():
    """Starts step loops for a model, and ends them with the test; those of the same options share a denoiser."""
    loops = []
    denoisers = {}

    def denoiser_of(unet, **options):
        key = (unet, *sorted(options.items()))
        if key not in denoisers:
            denoisers[key] = Denoiser(unet, **options)
        return denoisers[key]

    def start(model, max_rows=64, on_step=None, cost=None, **denoiser_options):
        denoiser = denoiser_of(model.unet, **{"execution": "eager", "threads": 1, **denoiser_options})
        loop = StepLoop(denoiser, max_rows, model.native_px // model.vae_scale_factor, cost, on_step, model.unet.device)
        loops.append(loop)
        return loop

    yield start
    for loop in loops:
        loop.close()
    for denoiser in denoisers.values():
        denoiser.close()


@pytest.fixture
def latents_of(new_loop):
    """The final latents [n, 4, h, w] of a request that has the model to itself."""

    def run(model, request, **denoiser_options):
        loop, collector = new_loop(model, **denoiser_options), Collector()
        paintings = model.prepare(request)
        loop.add(paintings, collector)
        return torch.cat(collector.wait(paintings))

    return run


# SAM


@pytest.fixture(scope="session")
def pocket_sam():
    return SamSegmenter.load(ModelArgs())


@pytest.fixture(scope="session")
def tiny_sizes():
    """A SAM as small as can be, no two of its sizes alike."""
    return Dimensions(
        grid=8,
        patch=4,
        encoder_width=16,
        encoder_depth=3,
        encoder_heads=2,
        encoder_mlp=24,
        window=3,
        global_blocks=(1,),
        channels=32,
        mask_channels=8,
        mask_tokens=4,
        decoder_depth=2,
        decoder_mlp=24,
        decoder_narrowing=2,
        iou_depth=3,
        iou_width=20,
    )


@pytest.fixture(scope="session")
def random_state():
    """A state dict of such sizes in which nothing is zero, as everything positional is at first."""

    def draw(sizes, seed=0):
        generator = torch.Generator().manual_seed(seed)
        state = assemble(sizes).state_dict()
        return {key: value + 0.05 * torch.randn(value.shape, generator=generator) for key, value in state.items()}

    return draw


@pytest.fixture(scope="session")
def photo():
    """A scene of the pocket world: HxWx3 uint8."""

    def compose(height=90, width=120, seed=0):
        return world.compose(world.evaluation_rng(70, seed), (width, height)).image

    return compose


@pytest.fixture(scope="session")
def predictor_class():
    """segment-anything's SamPredictor. Of torchvision it uses two functions that hand on to PIL: so do these."""
    import_modeling()
    stand_ins = {}
    if importlib.util.find_spec("torchvision") is None:
        for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
            stand_ins[name] = ModuleType(name)
        functional = stand_ins["torchvision.transforms.functional"]
        functional.to_pil_image = Image.fromarray
        functional.resize = lambda picture, size: picture.resize(size[::-1], Image.Resampling.BILINEAR)
    with mock.patch.dict(sys.modules, stand_ins):
        from segment_anything.predictor import SamPredictor
    return SamPredictor
