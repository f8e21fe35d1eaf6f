"""CLIP's dense features against the vision tower written out from its weights, block by block and head by head."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from deployments.clip import dense
from deployments.config import POCKET_WEIGHTS

METHODS: tuple[dense.Method, ...] = get_args(dense.Method)
# width, feed-forward width, blocks, heads, picture, patch, projection; then the pictures' (height, width)
SIZES = {
    "two blocks": ((24, 32, 2, 3, 32, 8, 16), ((32, 32), (32, 48), (112, 120))),
    "eight blocks": ((24, 48, 8, 2, 32, 8, 16), ((32, 32), (24, 64))),
    "ViT-B/32": ((768, 3072, 12, 12, 224, 32, 512), ((224, 352),)),
    "ViT-B/16": ((768, 3072, 12, 12, 224, 16, 512), ((224, 224),)),
}
TOLERANCE = 2e-5  # of the elements of unit vectors: float32 against float64


def build(size: str) -> CLIPModel:
    """A model of that size with random weights, strong enough for its tokens to differ and to be choosy."""
    width, inner, blocks, heads, picture_px, patch_px, projection = SIZES[size][0]
    text = CLIPTextConfig(
        hidden_size=24, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=99
    )
    vision = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=blocks,
        num_attention_heads=heads,
        image_size=picture_px,
        patch_size=patch_px,
    )
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=projection)
    model = CLIPModel(config).eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "logit" not in name:
            parameter.normal_(std=1.5 / math.sqrt(parameter.shape[-1]), generator=draw)
        if "norm" in name or "layrnorm" in name:
            parameter.add_(1.0 if name.endswith("weight") else 0.0)
    return model


@pytest.fixture(scope="module", params=SIZES)
def sized(request: pytest.FixtureRequest) -> tuple[CLIPModel, tuple[tuple[int, int], ...]]:
    return build(request.param), SIZES[request.param][1]


@pytest.fixture(scope="module")
def tiny() -> CLIPModel:
    return build("two blocks")


def noise(count: int, size_hw: tuple[int, int], seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, *size_hw, generator=torch.Generator().manual_seed(seed))


class ByHand:
    """The formulas for one picture, in float64, from a state dict alone; `streams[i]` is what enters block i."""

    def __init__(self, model: CLIPModel, pixels: torch.Tensor) -> None:
        self.weights = {name: value.double() for name, value in model.state_dict().items() if "vis" in name}
        vision = model.config.vision_config
        self.heads, self.blocks = vision.num_attention_heads, vision.num_hidden_layers
        self.patch_px = vision.patch_size
        self.rows, self.columns = (length // self.patch_px for length in pixels.shape[1:])
        self.streams = [self.norm(self.embed(pixels.double()), "vision_model.pre_layrnorm")]
        for number in range(self.blocks):
            self.streams.append(self.block(self.streams[-1], number))

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        """Each patch's product with each filter, the class token before them, and their places."""
        filters = self.weights["vision_model.embeddings.patch_embedding.weight"].flatten(1)
        tokens = [self.weights["vision_model.embeddings.class_embedding"]]
        for row in range(self.rows):
            for column in range(self.columns):
                top, left = row * self.patch_px, column * self.patch_px
                patch = pixels[:, top : top + self.patch_px, left : left + self.patch_px]
                tokens.append(filters @ patch.flatten())
        table = self.weights["vision_model.embeddings.position_embedding.weight"]
        side = math.isqrt(len(table) - 1)
        down, across = cubic(side, self.rows), cubic(side, self.columns)
        places = torch.einsum("rs,ct,std->rcd", down, across, table[1:].reshape(side, side, -1))
        return torch.stack(tokens) + torch.cat([table[:1], places.flatten(0, 1)])

    def linear(self, tokens: torch.Tensor, name: str) -> torch.Tensor:
        return tokens @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, tokens: torch.Tensor, name: str) -> torch.Tensor:
        spread = (tokens.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        scaled = (tokens - tokens.mean(-1, keepdim=True)) / spread
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(
        self, tokens: torch.Tensor, number: int, one: str, other: str, window: torch.Tensor | float = 0.0
    ) -> torch.Tensor:
        """out(softmax(one other' / sqrt(d) + window) v), each head by itself; `one` "identity": out(v)."""
        name = f"vision_model.encoder.layers.{number}"
        normed = self.norm(tokens, f"{name}.layer_norm1")
        parts = {letter: self.linear(normed, f"{name}.self_attn.{letter}_proj") for letter in "qkv"}
        width = tokens.shape[-1] // self.heads
        mixed = []
        for head in range(self.heads):
            part = slice(head * width, (head + 1) * width)
            weights = torch.eye(len(tokens), dtype=torch.float64)
            if one != "identity":
                weights = (parts[one][:, part] @ parts[other][:, part].T / math.sqrt(width) + window).softmax(1)
            mixed.append(weights @ parts["v"][:, part])
        return self.linear(torch.cat(mixed, 1), f"{name}.self_attn.out_proj")

    def block(self, tokens: torch.Tensor, number: int) -> torch.Tensor:
        tokens = tokens + self.attention(tokens, number, "q", "k")
        name = f"vision_model.encoder.layers.{number}"
        inner = self.linear(self.norm(tokens, f"{name}.layer_norm2"), f"{name}.mlp.fc1")
        return tokens + self.linear(inner * torch.sigmoid(1.702 * inner), f"{name}.mlp.fc2")

    def gaussian(self) -> torch.Tensor:
        """W of NACLIP: between patches exp(-distance^2 / 2 sigma^2), nothing for the class token."""
        sigma = 5.0 if min(self.rows, self.columns) >= 14 else 5.0 * min(self.rows, self.columns) / 14
        window = torch.zeros(1 + self.rows * self.columns, 1 + self.rows * self.columns, dtype=torch.float64)
        for i in range(self.rows * self.columns):
            for j in range(self.rows * self.columns):
                down, across = i // self.columns - j // self.columns, i % self.columns - j % self.columns
                window[1 + i, 1 + j] = math.exp(-(down**2 + across**2) / (2 * sigma**2))
        return window

    def tokens(self, method: dense.Method) -> torch.Tensor:
        last = self.blocks - 1
        if method == "patch":
            return self.streams[-1]
        if method == "maskclip":
            return self.attention(self.streams[last], last, "identity", "")
        if method == "clearclip":
            return self.attention(self.streams[last], last, "q", "q")
        if method == "naclip":
            return self.attention(self.streams[last], last, "k", "k", self.gaussian())
        first = max(0, self.blocks - 6)
        path = self.streams[first]
        for number in range(first, self.blocks):
            path = path + self.attention(self.streams[number], number, "v", "v")
        return path

    def projected(self, tokens: torch.Tensor) -> torch.Tensor:
        vectors = self.norm(tokens, "vision_model.post_layernorm") @ self.weights["visual_projection.weight"].T
        return vectors / vectors.square().sum(-1, keepdim=True).sqrt()

    def patches(self, method: dense.Method) -> torch.Tensor:
        return self.projected(self.tokens(method)[1:]).reshape(self.rows, self.columns, -1)


def cubic(old: int, new: int) -> torch.Tensor:
    """Weights new x old of cubic convolution (a = -0.75) of samples in the middle of their cells, the ends repeated."""

    def kernel(distance: float) -> float:
        x = abs(distance)
        if x <= 1:
            return 1.25 * x**3 - 2.25 * x**2 + 1
        return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    weights = torch.zeros(new, old, dtype=torch.float64)
    for row in range(new):
        place = (row + 0.5) * old / new - 0.5
        for tap in range(math.floor(place) - 1, math.floor(place) + 3):
            weights[row, min(max(tap, 0), old - 1)] += kernel(place - tap)
    return weights


@torch.no_grad()
def test_every_method_equals_its_formula(sized: tuple[CLIPModel, tuple[tuple[int, int], ...]]) -> None:
    model, sizes_hw = sized
    for size_hw in sizes_hw:
        pixels = noise(2, size_hw)
        encoded = dense.encode(model, pixels)
        by_hand = ByHand(model, pixels[1])
        wanted = {method: by_hand.patches(method) for method in METHODS}
        for method in METHODS:
            made = encoded.patches(method)
            assert made.shape == (2, *wanted[method].shape)
            assert made.dtype == torch.float32
            torch.testing.assert_close(made[1].double(), wanted[method], atol=TOLERANCE, rtol=0)
        whole = by_hand.projected(by_hand.streams[-1][0])
        torch.testing.assert_close(encoded.whole()[1].double(), whole, atol=TOLERANCE, rtol=0)
        # No method passes for another: else this would prove little.
        for method in METHODS:
            for other in METHODS[: METHODS.index(method)]:
                assert (wanted[method] - wanted[other]).abs().max() > 1000 * TOLERANCE


@torch.no_grad()
def test_patch_features_and_the_whole_are_the_librarys(tiny: CLIPModel) -> None:
    pixels = noise(3, (32, 32))
    hidden = tiny.vision_model(pixels).last_hidden_state[:, 1:]
    wanted = tiny.visual_projection(tiny.vision_model.post_layernorm(hidden))
    made = dense.patch_features(tiny, pixels, "patch").flatten(1, 2)
    torch.testing.assert_close(made, torch.nn.functional.normalize(wanted, dim=-1))
    whole = tiny.get_image_features(pixels).pooler_output
    torch.testing.assert_close(dense.encode(tiny, pixels).whole(), torch.nn.functional.normalize(whole, dim=-1))


@torch.no_grad()
def test_all_methods_and_the_whole_share_one_walk_through_the_tower(tiny: CLIPModel) -> None:
    walked: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: walked.append(number))
        for number, layer in enumerate(tiny.vision_model.encoder.layers)
    ]
    encoded = dense.encode(tiny, noise(1, (32, 32)))
    for method in ("maskclip", "clearclip", "naclip", "surgery"):
        encoded.patches(method)
    assert walked == [0]  # what is not needed of the last block is not computed
    encoded.whole()
    encoded.patches("patch")
    encoded.whole()
    assert walked == [0, 1]
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_half_precision_sees_nearly_the_same(dtype: torch.dtype, method: dense.Method) -> None:
    model = CLIPModel.from_pretrained(POCKET_WEIGHTS / "clip").eval()
    pixels = noise(2, (128, 192))
    wanted = dense.patch_features(model, pixels, method)
    made = dense.patch_features(model.to(dtype), pixels.to(dtype), method)
    assert made.dtype == torch.float32
    worst = (made * wanted).sum(-1).min()
    assert worst > (0.995 if dtype == torch.bfloat16 else 0.9999)


@pytest.mark.parametrize("method", ["clearclip", "naclip", "surgery"])
@torch.no_grad()
def test_products_beyond_the_range_of_float16_do_no_harm(method: dense.Method) -> None:
    model = build("two blocks")
    attention = model.vision_model.encoder.layers[-1].self_attn
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight.mul_(40)
    pixels = noise(1, (32, 32))
    normed = model.vision_model.encoder.layers[-1].layer_norm1(dense.encode(model, pixels).entering[-1])
    assert attention.k_proj(normed).unflatten(-1, (3, 8)).square().sum(-1).max() > 65504
    wanted = dense.patch_features(model, pixels, method)
    made = dense.patch_features(model.half(), pixels.half(), method)
    assert (made * wanted).sum(-1).min() > 0.99
