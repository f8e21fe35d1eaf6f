"""Stable Diffusion 1.5's safety checker, in its size and layout, with random weights."""

import json

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessorPil

from deployments.config import ModelArgs
from deployments.inpaint.safety import SafetyChecker

pytestmark = pytest.mark.fullsize

VIT_L_14 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}


@pytest.fixture
def published(tmp_path):
    """The folder, and the checker that is in it."""
    torch.manual_seed(0)
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=VIT_L_14, projection_dim=768)).eval()
    torch.nn.init.normal_(checker.concept_embeds)
    folder = tmp_path / "safety_checker"
    checker.config.save_pretrained(folder)
    # There the vision tower is one level deeper.
    state = checker.state_dict()
    deeper = {key.replace("vision_model.", "vision_model.vision_model.", 1): value for key, value in state.items()}
    save_file(deeper, folder / "model.safetensors", metadata={"format": "pt"})
    CLIPImageProcessorPil().save_pretrained(tmp_path / "feature_extractor")
    index = {
        "_class_name": "StableDiffusionInpaintPipeline",
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    return tmp_path, checker


def test_its_verdicts_are_those_of_diffusers(published):
    folder, stock = published
    picture = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    pixels = CLIPImageProcessorPil()([Image.fromarray(picture)], return_tensors="pt").pixel_values
    with torch.inference_mode():
        seen = stock.visual_projection(stock.vision_model(pixels).pooler_output)
        nearest = torch.nn.functional.cosine_similarity(seen, stock.concept_embeds).max().item()
    checker = SafetyChecker.load(folder, ModelArgs(model=str(folder)), "cpu")
    for margin, flagged in ((0.01, False), (-0.01, True)):
        checker._checker.concept_embeds_weights.fill_(nearest + margin)
        assert checker.objects_to(picture) == flagged
