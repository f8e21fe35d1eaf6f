"""Loading SAM: from both formats, with clear errors, at full size."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deployments.config import POCKET_WEIGHTS, GraphArgs, ModelArgs
from deployments.errors import NotOnThisMachine, SettingError
from deployments.launch.preflight import problems
from deployments.messages import Prompt, SegmentRequest
from deployments.sam.architecture import Dimensions, import_modeling
from deployments.sam.model import SamSegmenter

Photo = Callable[..., np.ndarray]
States = Callable[..., dict[str, torch.Tensor]]


def test_a_state_dict_loads_the_same_from_both_formats(
    tmp_path: Path, tiny_sizes: Dimensions, random_state: States, photo: Photo
) -> None:
    state = random_state(tiny_sizes)
    torch.save(state, tmp_path / "sam.pth")
    save_file(state, tmp_path / "sam.safetensors")
    features = [
        SamSegmenter.load(ModelArgs(model=str(tmp_path / name))).encode([photo()])[0].features
        for name in ("sam.pth", "sam.safetensors")
    ]
    np.testing.assert_array_equal(*features)


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("pwned",)


def refused(**args: str) -> SettingError:
    with pytest.raises(SettingError) as caught:
        SamSegmenter.load(ModelArgs(**args))
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = torch.load(POCKET_WEIGHTS / "sam.pth", weights_only=True)
    torch.save({**state, "bad": Malicious()}, "bad.pth")
    problem = refused(model="bad.pth").problem
    assert problem.startswith("'bad.pth' cannot be read as a file of plain tensors. Give a .pth file from https://")
    assert not (tmp_path / "pwned").exists()


def test_a_tilde_is_the_home(monkeypatch: pytest.MonkeyPatch, photo: Photo, pocket_sam: SamSegmenter) -> None:
    monkeypatch.setenv("HOME", str(POCKET_WEIGHTS))
    features = SamSegmenter.load(ModelArgs(model="~/sam.pth")).encode([photo()])[0].features
    np.testing.assert_array_equal(features, pocket_sam.encode([photo()])[0].features)


def test_files_of_torch_before_1_6_are_read(tmp_path: Path, tiny_sizes: Dimensions, random_state: States) -> None:
    torch.save(random_state(tiny_sizes), tmp_path / "sam.pth", _use_new_zipfile_serialization=False)
    assert SamSegmenter.load(ModelArgs(model=str(tmp_path / "sam.pth")))


@pytest.mark.parametrize(
    "name", ["nothing.pth", "facebook/sam-vit-base", "folder", "text.pth", "other.pth", "empty.pt"]
)
def test_the_loader_says_what_the_preflight_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.pth").write_text("weights? no")
    (tmp_path / "empty.pt").touch()
    torch.save({"weight": torch.zeros(1)}, "other.pth")
    error = refused(model=name)
    (said_before,) = problems(GraphArgs(sam=ModelArgs(model=name)))
    assert str(error) == str(said_before)
    assert type(error) is type(said_before)
    assert error.setting == "sam.model"
    assert repr(name) in error.problem
    assert str(tmp_path) not in error.problem


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda state: {**state, "image_encoder.pos_embed": torch.zeros(1)},
            "'x.pth' cannot be loaded: not the weights of a SAM: "
            "'image_encoder.pos_embed' has 1 dimensions instead of 4. Give",
        ),
        (
            lambda state: {key: value for key, value in state.items() if key != "mask_decoder.iou_token.weight"},
            "'x.pth' cannot be loaded: not the weights of a SAM: Error(s) in loading state_dict for Sam: "
            'Missing key(s) in state_dict: "mask_decoder.iou_token.weight". Give',
        ),
        (lambda state: list(state.items()), "'x.pth' holds no state dict. Give"),
        (lambda state: {"state_dict": state}, "'x.pth' cannot be loaded: not the weights of a SAM: "),
    ],
)
def test_what_only_the_loader_can_find(
    change: Callable[..., object],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_sizes: Dimensions,
    random_state: States,
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(change(random_state(tiny_sizes)), "x.pth")
    assert list(problems(GraphArgs(sam=ModelArgs(model="x.pth")))) == []
    assert refused(model="x.pth").problem.startswith(sentence)


@pytest.mark.parametrize(("field", "value"), [("revision", "main"), ("variant", "fp16"), ("device", "toaster")])
def test_another_setting_is_refused_by_its_own_name(field: str, value: str) -> None:
    error = refused(**{field: value})
    assert error.setting == f"sam.{field}"
    assert repr(value) in error.problem


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused_by_name() -> None:
    error = refused(device="cuda")
    assert isinstance(error, NotOnThisMachine)
    assert str(error).startswith("sam.device: 'cuda' is not on this machine: torch sees no GPU.")


def test_half_precision_finds_the_same(pocket_sam: SamSegmenter, photo: Photo) -> None:
    image = photo(192, 192, 4)
    half = SamSegmenter.load(ModelArgs(dtype="bfloat16")).encode([image])[0].features
    full = pocket_sam.encode([image])[0].features
    assert half.dtype == np.float32
    assert not np.array_equal(half, full)
    assert np.abs(half - full).mean() < 0.05 * np.abs(full).mean()


def test_the_pocket_weights_are_plain_and_small() -> None:
    path = POCKET_WEIGHTS / "sam.pth"
    state = torch.load(path, weights_only=True)
    assert all(isinstance(value, torch.Tensor) and value.dtype == torch.float32 for value in state.values())
    assert path.stat().st_size < 4_000_000


# Full size


@pytest.mark.fullsize
def test_a_full_vit_b_through_its_file_equals_the_predictor(
    predictor_class: type, tmp_path: Path, photo: Photo
) -> None:
    import_modeling()
    from segment_anything.build_sam import build_sam_vit_b

    torch.manual_seed(0)
    published = build_sam_vit_b()
    torch.nn.init.normal_(published.image_encoder.pos_embed, std=0.02)
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(published.state_dict(), path)
    image = photo(480, 640)
    segmenter = SamSegmenter.load(ModelArgs(model=str(path), device="cpu"))
    embedding = segmenter.encode([image])[0]
    assert embedding.features.shape == (256, 64, 64)
    assert embedding.model_size == (768, 1024)
    predictor = predictor_class(published)
    predictor.set_image(image)
    np.testing.assert_allclose(embedding.features, predictor.get_image_embedding()[0].numpy(), atol=1e-4)

    click = Prompt(((70, 55),), (1,), several=True)
    masks, scores, low_res = predictor.predict(np.array([[70, 55]]), np.array([1]))
    best = int(scores.argmax())
    again = Prompt(((70, 55),), (1,), (12, 8, 83, 59), rough=low_res[best, :192].copy())
    low_res[best, 192:] = min(0.0, low_res[best, :192].min())
    one, one_score, _ = predictor.predict(
        np.array([[70, 55]]), np.array([1]), np.array([12, 8, 83, 59]), low_res[best][None], multimask_output=False
    )
    made = segmenter.decode(embedding, SegmentRequest((again, click)))
    assert (made.prompts, made.small.shape) == ((0, 1, 1, 1), (4, 192, 256))
    np.testing.assert_allclose(made.scores, [*one_score, *np.sort(scores)[::-1]], atol=1e-4)
    expected = np.concatenate([one, masks[np.argsort(-scores)]])
    assert (np.stack([mask.unpack() for mask in made.masks]) != expected).mean() < 1e-3


@pytest.mark.fullsize
@pytest.mark.parametrize("name", ["vit_l", "vit_h"])
def test_the_larger_published_models_load(name: str, tmp_path: Path, photo: Photo) -> None:
    import_modeling()
    from segment_anything.build_sam import sam_model_registry

    state = sam_model_registry[name]().state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / f"{name}.safetensors")
    segmenter = SamSegmenter.load(ModelArgs(model=str(tmp_path / f"{name}.safetensors"), device="cpu"))
    embedding = segmenter.encode([photo(120, 160)])[0]
    masks = segmenter.decode(embedding, SegmentRequest((Prompt(box_xyxy=(12, 8, 83, 59)),))).masks
    assert [mask.shape for mask in masks] == [(120, 160)]
