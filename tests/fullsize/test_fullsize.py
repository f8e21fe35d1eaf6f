"""The loaders and the graph on models of the published sizes and formats, with random weights.

No published weights are needed: what is proved is that the files people have are read, that the shapes
fit, and that one small edit passes through the graph as configured by `serve_config.yaml`.
"""

import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

pytestmark = pytest.mark.fullsize

CONFIG = Path(__file__).parent.parent.parent / "serve_config.yaml"
VOCABULARY = 49408  # of CLIP's tokenizer; the random models take any tokenizer with fewer words
APP = "fullsize"


def write_clip(folder):
    """CLIPConfig's defaults are ViT-B/32."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from pocket import tokenizer

    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder)
    tokenizer.build().save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)


def write_sam(path):
    from deployments.sam.architecture import import_modeling

    import_modeling()
    from segment_anything.build_sam import build_sam_vit_b

    torch.manual_seed(0)
    torch.save(build_sam_vit_b().state_dict(), path)


def write_inpainting(folder):
    """The layout and sizes of stable-diffusion-v1-5/stable-diffusion-inpainting."""
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from pocket import tokenizer

    torch.manual_seed(0)
    words = tokenizer.build()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=768,
            intermediate_size=3072,
            num_attention_heads=12,
            num_hidden_layers=12,
            max_position_embeddings=77,
            eos_token_id=words.eos_token_id,
        )
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    unet = UNet2DConditionModel(sample_size=64, in_channels=9, cross_attention_dim=768, attention_head_dim=8)
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        StableDiffusionInpaintPipeline(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=words,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """serve_config.yaml, its three models replaced by local ones."""
    folder = tmp_path_factory.mktemp("weights")
    write_clip(folder / "clip")
    write_sam(folder / "sam_vit_b_01ec64.pth")
    write_inpainting(folder / "inpaint")
    config = yaml.safe_load(CONFIG.read_text())
    application = config["applications"][0]
    application["args"] = {
        "clip": {"model": str(folder / "clip")},
        "sam": {"model": str(folder / "sam_vit_b_01ec64.pth")},
        "inpaint": {"model": str(folder / "inpaint")},
    }
    application.update(name=APP, route_prefix="/fullsize")
    del config["http_options"], config["proxy_location"]
    deployments = {deployment["name"]: deployment for deployment in application["deployments"]}
    deployments["clip"]["user_config"]["min_confidence"] = 0  # random weights are sure of nothing
    deployments["driver"]["user_config"]["deadline_s"] = 900
    deployments["driver"]["autoscaling_config"]["min_replicas"] = 1
    return config


def status(app):
    from ray import serve

    application = serve.status().applications.get(app)
    return application and application.status


def test_one_small_edit_through_the_graph(ray_cluster, config):
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    from deployments.messages import EditRequest

    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config), _blocking=False)
    until = time.monotonic() + 600
    while time.monotonic() < until and status(APP) != "RUNNING":
        time.sleep(2)
    assert status(APP) == "RUNNING"
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    request = EditRequest(image, "a lemon", target="the apple", seed=1, num_inference_steps=2)
    result = serve.get_app_handle(APP).edit.remote(request).result(timeout_s=1200)
    picture = result.edits[0].image
    assert picture.shape == image.shape
    assert result.changed_outside_px == 0
    assert (picture[result.mask] != image[result.mask]).any()
    print({stage: round(seconds, 2) for stage, seconds in result.timings_s.items()})
    serve.delete(APP)
