"""Models of the published sizes and formats with random weights, and a Serve config that names them.

Speed does not depend on what the weights are, so these stand in for the published ones where none can be had:

    python -m benchmarks.full_size weights/ --dtype float16
    python -m benchmarks --config weights/serve.yaml
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml

PRODUCTION = Path(__file__).parent.parent / "serve_config.yaml"
VOCABULARY = 49408  # of CLIP's tokenizer; the random models take any tokenizer with fewer words


def build_clip(device: str = "cpu") -> tuple[Any, Any, Any]:
    """CLIP, its tokenizer and its preprocessor; CLIPConfig's defaults are ViT-B/32."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from pocket import tokenizer

    torch.manual_seed(0)
    with torch.device(device):
        model = CLIPModel(CLIPConfig())
    return model, tokenizer.build(), CLIPImageProcessorPil()


def build_sam(device: str = "cpu") -> Any:
    """segment-anything's vit_b."""
    from deployments.sam.architecture import import_modeling

    import_modeling()
    from segment_anything.build_sam import build_sam_vit_b

    torch.manual_seed(0)
    with torch.device(device):
        return build_sam_vit_b()


def build_inpainting(device: str = "cpu") -> Any:
    """A pipeline with the layout and sizes of stable-diffusion-v1-5/stable-diffusion-inpainting."""
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from pocket import tokenizer

    torch.manual_seed(0)
    words = tokenizer.build()
    with torch.device(device):
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
    # Not on the device: what a step looks up in its scheduler has to lie on the CPU.
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    return assembled(text_encoder, words, vae, unet, scheduler)


def assembled(text_encoder: Any, words: Any, vae: Any, unet: Any, scheduler: Any) -> Any:
    """A pipeline of these parts, without a safety checker."""
    from diffusers import StableDiffusionInpaintPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return StableDiffusionInpaintPipeline(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=words,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def write(folder: Path, dtype: str = "float32") -> dict[str, Any]:
    """Writes the three models, and `serve.yaml`: the production config with them in it, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in build_clip():
        part.save_pretrained(folder / "clip")
    torch.save(build_sam().state_dict(), folder / "sam_vit_b_01ec64.pth")
    build_inpainting().save_pretrained(folder / "inpaint")
    config: dict[str, Any] = yaml.safe_load(PRODUCTION.read_text())
    application = config["applications"][0]
    application["args"] = {
        "clip": {"model": str(folder / "clip")},
        "sam": {"model": str(folder / "sam_vit_b_01ec64.pth")},
        "inpaint": {"model": str(folder / "inpaint"), "dtype": dtype},
    }
    deployments = {deployment["name"]: deployment for deployment in application["deployments"]}
    deployments["clip"]["user_config"]["min_confidence"] = 0  # random weights are sure of nothing
    deployments["driver"]["user_config"]["deadline_s"] = 900
    config["http_options"]["request_timeout_s"] = 960
    deployments["driver"]["autoscaling_config"]["min_replicas"] = 1
    (folder / "serve.yaml").write_text(yaml.safe_dump(config))
    return config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    options = parser.parse_args()
    write(options.folder.resolve(), options.dtype)


if __name__ == "__main__":
    main()
