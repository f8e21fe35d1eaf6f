"""The checkpoint's own safety checker: a small one with random weights, put beside the pocket painter."""

import json
import shutil
import threading
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessorPil

from deployments.config import POCKET_WEIGHTS, InpaintArgs, InpaintSettings
from deployments.inpaint.engine import InpaintEngine
from deployments.inpaint.model import InpaintModel
from deployments.messages import InpaintRequest, PaintOptions, Square

WAIT_S = 60
NEVER, ALWAYS = 2.0, -2.0  # thresholds for a cosine
SEEDS = (1, 2, 3, 4, 5, 6)


def checker_with(threshold):
    """A StableDiffusionSafetyChecker whose concepts lie all around."""
    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        text_config=tower,
        projection_dim=8,
    )
    checker = StableDiffusionSafetyChecker(config).eval()
    for parameter in checker.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(NEVER)
    return checker


@pytest.fixture
def with_checker(tmp_path):
    """Writes the pocket painter with a checker into a folder."""

    def write(threshold):
        folder = tmp_path / f"checked{threshold}"
        shutil.copytree(POCKET_WEIGHTS / "inpaint", folder)
        checker_with(threshold).save_pretrained(folder / "safety_checker")
        size = {"shortest_edge": 32}
        CLIPImageProcessorPil(size=size, crop_size=32).save_pretrained(folder / "feature_extractor")
        index = json.loads((folder / "model_index.json").read_text())
        index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
        index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
        (folder / "model_index.json").write_text(json.dumps(index))
        return folder

    return write


@pytest.fixture
def engine_of():
    """Starts the engine of a folder, and ends it with the test."""
    engines = []

    def start(folder, **args):
        args = InpaintArgs(model=str(folder), **{"execution": "eager", "row_threads": 1, "device": "cpu", **args})
        engines.append(InpaintEngine(InpaintModel.load(args), args, InpaintSettings(max_rows=16)))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


@pytest.fixture
def edit():
    image = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    mask = np.zeros((90, 90), bool)
    mask[20:70, 15:75] = True
    options = PaintOptions(num_inference_steps=3, guidance_scale=3.0)
    return InpaintRequest((Square(image, mask),), "a lemon", SEEDS, options)


def stock_verdicts(folder, request):
    """What diffusers' own pipeline says of each seed's picture, and how far each is from being shown or hidden."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    verdicts = []
    for seed in request.seeds:
        result = pipeline(
            prompt=request.prompt,
            image=Image.fromarray(request.squares[0].image),
            mask_image=Image.fromarray(request.squares[0].mask.astype(np.uint8) * 255),
            num_inference_steps=request.options.num_inference_steps,
            guidance_scale=request.options.guidance_scale,
            generator=torch.Generator().manual_seed(seed),
        )
        verdicts += result.nsfw_content_detected
    return tuple(verdicts)


def highest_cosines(model, engine, request):
    """Of each picture with any concept."""
    checker = model._checker._checker
    cosines = []
    for painting in _finished(engine, request):
        pixels = model._checker._processor([Image.fromarray(painting)], return_tensors="pt").pixel_values
        with torch.inference_mode():
            seen = checker.visual_projection(checker.vision_model(pixels).pooler_output)
            cosines.append(torch.nn.functional.cosine_similarity(seen, checker.concept_embeds).max().item())
    return cosines


def _finished(engine, request):
    """The pictures as large as the model painted them."""
    kept = []
    picture = engine.model._picture
    engine.model._picture = lambda latents: kept.append(picture(latents)) or kept[-1]
    engine.submit(request).future.result(WAIT_S)
    engine.model._picture = picture
    return kept


@pytest.mark.parametrize(("threshold", "flagged"), [(NEVER, False), (ALWAYS, True)])
def test_all_or_none_are_flagged_and_none_is_black(with_checker, engine_of, edit, threshold, flagged):
    painted = engine_of(with_checker(threshold)).submit(edit).future.result(WAIT_S)
    assert painted.flagged == (flagged,) * len(SEEDS)
    plain = engine_of(POCKET_WEIGHTS / "inpaint").submit(edit).future.result(WAIT_S)
    assert plain.flagged == (False,) * len(SEEDS)
    assert np.array_equal(painted.images[0], plain.images[0])


def test_exactly_those_are_flagged_that_diffusers_flags(with_checker, engine_of, edit):
    engine = engine_of(with_checker(NEVER))
    cosines = sorted(highest_cosines(engine.model, engine, edit))
    gap, threshold = max((high - low, (high + low) / 2) for low, high in pairwise(cosines))
    assert gap > 0.01  # the checker rounds to three digits
    folder = with_checker(threshold)
    flagged = engine_of(folder).submit(edit).future.result(WAIT_S).flagged
    assert flagged == stock_verdicts(folder, edit)
    assert len(set(flagged)) == 2


def test_the_checker_sees_what_the_model_painted_in_the_thread_that_decodes(with_checker, engine_of, edit, monkeypatch):
    engine = engine_of(with_checker(NEVER))
    seen = []
    objects_to = engine.model._checker.objects_to

    def look(picture):
        seen.append((picture.shape, threading.current_thread().name))
        return objects_to(picture)

    monkeypatch.setattr(engine.model._checker, "objects_to", look)
    engine.submit(edit).future.result(WAIT_S)
    assert [shape for shape, _ in seen] == [(128, 128, 3)] * len(SEEDS)
    assert all(name.startswith("decode") for _, name in seen)


def previews_of(engine, request):
    told = []
    engine.submit(request.with_options(num_inference_steps=8), told.append, previews=3).future.result(WAIT_S)
    assert len(told) == 8 * len(request.seeds)
    return [progress for progress in told if progress.preview is not None]


@pytest.mark.parametrize(("threshold", "shown"), [(NEVER, 3), (ALWAYS, 0)])
def test_no_preview_shows_what_the_picture_may_not(with_checker, engine_of, edit, threshold, shown):
    assert len(previews_of(engine_of(with_checker(threshold)), edit)) == shown


def test_after_an_objection_no_more_of_that_picture_is_shown(with_checker, engine_of, edit, monkeypatch):
    engine = engine_of(with_checker(NEVER))
    verdicts = iter([False, True, False])  # two previews, and the picture: the third is not even made
    monkeypatch.setattr(engine.model._checker, "objects_to", lambda picture: next(verdicts))
    assert [progress.step for progress in previews_of(engine, replace(edit, seeds=(1,)))] == [2]
    assert next(verdicts, None) is None


def test_the_checker_computes_as_the_rest_does(with_checker, engine_of, edit):
    engine = engine_of(with_checker(ALWAYS), dtype="bfloat16")
    checker = engine.model._checker._checker
    assert checker.dtype == engine.model.unet.dtype == torch.bfloat16
    assert not checker.training
    assert engine.submit(replace(edit, seeds=(1,))).future.result(WAIT_S).flagged == (True,)


def test_a_checker_that_is_not_wanted_is_not_even_opened(with_checker, engine_of, edit):
    folder = with_checker(ALWAYS)
    (folder / "safety_checker" / "model.safetensors").write_bytes(b"no weights")
    painted = engine_of(folder, safety_checker=False).submit(replace(edit, seeds=(1,))).future.result(WAIT_S)
    assert painted.flagged == (False,)


def without_its_weights(folder):
    (folder / "safety_checker" / "model.safetensors").unlink()


def without_its_processor(folder):
    shutil.rmtree(folder / "feature_extractor")


def without_one_tensor(folder):
    path = folder / "safety_checker" / "model.safetensors"
    state = load_file(path)
    del state["concept_embeds_weights"]  # transformers would go on with a threshold of its own
    save_file(state, path, metadata={"format": "pt"})


def pickled(folder):
    path = folder / "safety_checker" / "model.safetensors"
    torch.save(load_file(path), folder / "safety_checker" / "pytorch_model.bin")
    path.unlink()


@pytest.mark.parametrize("damage", [without_its_weights, without_its_processor, without_one_tensor, pickled])
def test_a_checker_that_cannot_be_relied_on_is_refused(with_checker, damage):
    folder = with_checker(NEVER)
    damage(folder)
    with pytest.raises(ValueError, match=r"inpaint\.safety_checker: false"):
        InpaintModel.load(InpaintArgs(model=str(folder)))


def test_a_checker_that_has_plain_weights_alone_is_read_beside_a_variant(with_checker):
    folder = with_checker(NEVER)
    for part in ("unet", "vae", "text_encoder"):
        (path,) = (folder / part).glob("*.safetensors")
        path.rename(path.with_suffix(".fp16.safetensors"))
    assert InpaintModel.load(InpaintArgs(model=str(folder), variant="fp16"))._checker is not None


def test_the_published_layout_is_read(with_checker):
    """There the vision tower is one level deeper, and older than the class of its processor."""
    folder = with_checker(0.25)
    path = folder / "safety_checker" / "model.safetensors"
    state = load_file(path)
    deeper = {key.replace("vision_model.", "vision_model.vision_model.", 1): value for key, value in state.items()}
    deeper["vision_model.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(deeper, path, metadata={"format": "pt"})
    settings = json.loads((folder / "feature_extractor" / "preprocessor_config.json").read_text())
    settings.pop("image_processor_type", None)
    settings["feature_extractor_type"] = "CLIPFeatureExtractor"
    (folder / "feature_extractor" / "preprocessor_config.json").write_text(json.dumps(settings))
    loaded = InpaintModel.load(InpaintArgs(model=str(folder)))._checker._checker.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key].cpu(), value) for key, value in state.items())
