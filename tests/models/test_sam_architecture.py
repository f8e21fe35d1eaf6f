"""SAM's builder: every size read off the weights, segment-anything's own modules with or without torchvision."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deployments.sam.architecture import Dimensions, assemble, build_sam, import_modeling, read_dimensions

ROOT = Path(__file__).parents[2]
Draw = Callable[..., dict[str, torch.Tensor]]
Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
VIT_B = Dimensions(
    grid=64,
    patch=16,
    encoder_width=768,
    encoder_depth=12,
    encoder_heads=12,
    encoder_mlp=3072,
    window=14,
    global_blocks=(2, 5, 8, 11),
    channels=256,
    mask_channels=16,
    mask_tokens=4,
    decoder_depth=2,
    decoder_mlp=2048,
    decoder_narrowing=2,
    iou_depth=3,
    iou_width=256,
)
PUBLISHED = {
    "vit_b": VIT_B,
    "vit_l": replace(
        VIT_B, encoder_width=1024, encoder_depth=24, encoder_heads=16, encoder_mlp=4096, global_blocks=(5, 11, 17, 23)
    ),
    "vit_h": replace(
        VIT_B, encoder_width=1280, encoder_depth=32, encoder_heads=16, encoder_mlp=5120, global_blocks=(7, 15, 23, 31)
    ),
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"window": 0, "global_blocks": (0, 1, 2)},
        {"global_blocks": ()},
        {"window": 11},
        {"encoder_mlp": 49, "encoder_width": 22},
        {"decoder_narrowing": 1, "mask_tokens": 2, "iou_depth": 2, "decoder_depth": 1},
    ],
    ids=["tiny", "all global", "all windowed", "window beyond the grid", "odd mlp", "odd decoder"],
)
def test_all_sizes_are_read_from_the_shapes(
    changes: dict[str, object], tiny_sizes: Dimensions, random_state: Draw
) -> None:
    sizes = replace(tiny_sizes, **changes)
    state = random_state(sizes)
    assert read_dimensions(state) == sizes
    rebuilt = build_sam(state).state_dict()
    assert rebuilt.keys() == state.keys()
    assert all(torch.equal(rebuilt[key], state[key]) for key in state)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_models_have_their_sizes(name: str) -> None:
    import_modeling()
    from segment_anything.build_sam import sam_model_registry

    with torch.device("meta"):  # shapes without the gigabytes
        state = sam_model_registry[name]().state_dict()
        ours = assemble(read_dimensions(state)).state_dict()
    assert read_dimensions(state) == PUBLISHED[name]
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in state.items()}


def test_a_window_as_large_as_the_grid_is_the_same_as_none(tiny_sizes: Dimensions, random_state: Draw) -> None:
    sizes = replace(tiny_sizes, window=tiny_sizes.grid, global_blocks=())
    state = random_state(sizes)
    windowed = assemble(sizes)
    windowed.load_state_dict(state)
    pixels = torch.randn(1, 3, sizes.image_px, sizes.image_px)
    with torch.inference_mode():
        expected = windowed.eval().image_encoder(pixels)
        torch.testing.assert_close(build_sam(state).image_encoder(pixels), expected)


def test_constants_that_no_shape_tells_are_the_published_ones(tiny_sizes: Dimensions) -> None:
    import_modeling()
    from segment_anything.build_sam import _build_sam

    with torch.device("meta"):
        published = _build_sam(16, 2, 2, [1])
    ours = assemble(tiny_sizes)
    for name in ("pixel_mean", "pixel_std"):
        expected = {"pixel_mean": [123.675, 116.28, 103.53], "pixel_std": [58.395, 57.12, 57.375]}[name]
        assert getattr(ours, name).flatten().tolist() == pytest.approx(expected)
    assert ours.image_encoder.blocks[0].norm1.eps == published.image_encoder.blocks[0].norm1.eps
    decoders = ours.mask_decoder.transformer, published.mask_decoder.transformer
    assert decoders[0].num_heads == decoders[1].num_heads
    assert decoders[0].layers[0].self_attn.num_heads == decoders[1].layers[0].self_attn.num_heads


def without(key: str) -> Change:
    return lambda state: {name: value for name, value in state.items() if name != key}


def with_(key: str, value: object) -> Change:
    return lambda state: {**state, key: value}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: {}, "image_encoder.pos_embed"),
        (with_("image_encoder.pos_embed", torch.zeros(4)), "image_encoder.pos_embed.* dimensions"),
        (lambda state: {"model": state}, "image_encoder.pos_embed"),
        (without("mask_decoder.mask_tokens.weight"), "mask_decoder.mask_tokens.weight"),
        (without("image_encoder.blocks.1.attn.rel_pos_h"), "blocks.1.attn.rel_pos_h"),
        (without("image_encoder.blocks.2.norm2.bias"), "blocks.2.norm2.bias"),
        (with_("mask_decoder.hf_token.weight", torch.zeros(1, 32)), "mask_decoder.hf_token.weight"),
        (with_("image_encoder.blocks.2.attn.rel_pos_h", torch.zeros(9, 8)), "several sizes"),
    ],
)
def test_what_is_no_sam_is_refused_by_name(
    change: Change, words: str, tiny_sizes: Dimensions, random_state: Draw
) -> None:
    with pytest.raises(ValueError, match=words):
        build_sam(change(random_state(tiny_sizes)))


def run_python(code: str, extra_path: str = "") -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [extra_path, str(ROOT)]))
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


def test_a_torchvision_that_does_not_fit_is_not_needed(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms')")
    code = """
        from deployments.sam.architecture import import_modeling
        first, second = import_modeling(), import_modeling()
        assert first is second and first.Sam
        import segment_anything.build_sam
        assert segment_anything.build_sam.Sam is first.Sam
    """
    done = run_python(code, str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_with_torchvision_the_package_is_whole(tmp_path: Path) -> None:
    for name, names in {
        "transforms/functional": "resize = to_pil_image",
        "ops/boxes": "batched_nms = box_area",
    }.items():
        module = tmp_path / "torchvision" / f"{name}.py"
        module.parent.mkdir(parents=True)
        (module.parent / "__init__.py").touch()
        module.write_text(f"{names} = None\n")
    (tmp_path / "torchvision" / "__init__.py").touch()
    code = """
        from deployments.sam.architecture import import_modeling
        modeling = import_modeling()
        from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
        from segment_anything.modeling import Sam
        assert modeling.Sam is Sam
    """
    done = run_python(code, str(tmp_path))
    assert done.returncode == 0, done.stderr
