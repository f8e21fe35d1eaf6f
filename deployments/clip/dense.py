"""Dense features of a CLIP model and the probability maps made of them. Free of Ray.

Works on a `transformers.CLIPModel` of any size. A plain CLIP only learns what a whole picture shows; its
patches hardly know what they lie on, because the last block mixes them towards the global answer. The
"neighbourhood" method therefore runs the last block differently (NACLIP, Hajimiri et al. 2024): patches attend to
patches with similar keys and to those nearby, and neither the residual stream nor the feed-forward
layer is added. The weights stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import torch
from transformers import CLIPModel

from deployments.caching import Lru

Method = Literal["neighbourhood", "patch", "value", "query"]

# What pictures consist of where they show no object: the ground that a target has to stand out from.
# First row of the VOC class file of SCLIP (Wang et al. 2023).
CONTRAST_WORDS = (
    "sky",
    "wall",
    "tree",
    "wood",
    "grass",
    "road",
    "sea",
    "river",
    "mountain",
    "sands",
    "desk",
    "bed",
    "building",
    "cloud",
    "lamp",
    "door",
    "window",
    "wardrobe",
    "ceiling",
    "shelf",
    "curtain",
    "stair",
    "floor",
    "hill",
    "rail",
    "fence",
)

TEMPLATES = (
    "a {}",
    "the {}",
    "a photo of a {}",
    "a photo of the {}",
    "a close-up photo of a {}",
    "a photo of the small {}",
    "a photo of the large {}",
)

SIGMA_PATCHES = 5.0  # of the neighbourhood window, for grids of at least FULL_GRID patches
FULL_GRID = 14  # ViT-B/16 at 224 pixels, for which 5 was found; smaller grids get a proportionally smaller window
MAX_CACHED_PHRASES = 1024


def patch_features(model: CLIPModel, pixels: torch.Tensor, method: Method) -> tuple[torch.Tensor, torch.Tensor]:
    """What each patch and the whole picture show, in the space of the model's texts.

    `pixels` Bx3xHxW as the model's processor scales them, H and W multiples of the patch size. Returns
    float32 unit vectors: patches BxghxgwxD by `method`, and the global embedding BxD, which is the model's own
    whatever the method.
    """
    tokens, grid = before_last_block(model, pixels)
    return project_patches(model, tokens, grid, method), project_whole(model, last_block(model, tokens))


def before_last_block(model: CLIPModel, pixels: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
    """The tokens Bx(1+N)xC that enter the last block, the class token first, and their grid (rows, columns)."""
    vision = model.vision_model
    patch_px = vision.embeddings.patch_size
    grid = (pixels.shape[-2] // patch_px, pixels.shape[-1] // patch_px)
    native = pixels.shape[-2:] == (vision.embeddings.image_size, vision.embeddings.image_size)
    tokens = vision.pre_layrnorm(vision.embeddings(pixels, interpolate_pos_encoding=not native))
    for layer in vision.encoder.layers[:-1]:
        tokens = layer(tokens, None)
    return tokens, grid


def last_block(model: CLIPModel, tokens: torch.Tensor) -> torch.Tensor:
    """The unmodified last block: Bx(1+N)xC to the same."""
    return model.vision_model.encoder.layers[-1](tokens, None)


def project_whole(model: CLIPModel, tokens: torch.Tensor) -> torch.Tensor:
    """BxD unit vectors from the class token after the unmodified last block."""
    return unit(model.visual_projection(model.vision_model.post_layernorm(tokens[:, 0])))


def project_patches(model: CLIPModel, tokens: torch.Tensor, grid: tuple[int, int], method: Method) -> torch.Tensor:
    """BxghxgwxD unit vectors from the tokens before the last block."""
    tokens = last_block(model, tokens) if method == "patch" else _similar_values(model, tokens, grid, method)
    # The features before post_layernorm lie in another space than the texts.
    projected = model.visual_projection(model.vision_model.post_layernorm(tokens[:, 1:]))
    return unit(projected).unflatten(1, grid)


def _similar_values(model: CLIPModel, tokens: torch.Tensor, grid: tuple[int, int], method: Method) -> torch.Tensor:
    """The last block's attention alone, with another idea of who attends to whom.

    "value": each token to itself (MaskCLIP). "query": to those with similar queries (ClearCLIP).
    "neighbourhood": to those with similar keys, and rather to those nearby (NACLIP).
    """
    layer = model.vision_model.encoder.layers[-1]
    attention = layer.self_attn
    normed = layer.layer_norm1(tokens)

    def heads(projected: torch.Tensor) -> torch.Tensor:
        return projected.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)

    mixed = heads(attention.v_proj(normed))
    if method != "value":
        basis = heads((attention.q_proj if method == "query" else attention.k_proj)(normed))
        alike = (basis @ basis.transpose(-1, -2)).float() * attention.scale
        if method == "neighbourhood":
            alike = alike + neighbourhood(grid).to(alike.device)
        mixed = alike.softmax(-1).to(mixed.dtype) @ mixed
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))


@lru_cache(maxsize=16)
def neighbourhood(grid: tuple[int, int]) -> torch.Tensor:
    """What nearness adds to the attention logits: (1+N)x(1+N) float32 in 0..1.

    A Gaussian of the distance in patches; the row and the column of the class token are 0.
    """
    rows, columns = grid
    sigma = SIGMA_PATCHES * min(1.0, min(grid) / FULL_GRID)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    places = torch.stack([y.flatten(), x.flatten()], -1).float()
    squared = (places[:, None] - places[None]).square().sum(-1)
    window = torch.zeros(1 + len(places), 1 + len(places))
    window[1:, 1:] = torch.exp(-squared / (2 * sigma**2))
    return window


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """The last axis at length 1, in float32."""
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def margins(
    features: torch.Tensor, targets: torch.Tensor, contrast: torch.Tensor, scale: torch.Tensor | float
) -> torch.Tensor:
    """By how much each target beats the ground, in logits: features ...xD, targets KxD, contrast JxD to ...xK.

    Their sigmoid is the probability of "target" where the choice is between the target and the contrast words,
    so 0.5 means the same for every model: as likely as all ground together.
    """
    return scale * features @ targets.T - torch.logsumexp(scale * features @ contrast.T, -1, keepdim=True)


def contrast_words(target: str) -> tuple[str, ...]:
    """The words that `target` has to stand out from: all but those it uses itself, in singular or plural."""
    used = {_stem(word) for word in re.findall(r"\w+", target.lower())}
    return tuple(word for word in CONTRAST_WORDS if _stem(word) not in used)


def _stem(word: str) -> str:
    return word.removesuffix("s")


def sentences(phrase: str) -> list[str]:
    """`phrase`, with or without its article, in each of the templates."""
    bare = re.sub(r"^(a|an|the)\s+", "", phrase.strip().rstrip(".!?").strip(), flags=re.IGNORECASE) or phrase
    made = [template.format(bare) for template in TEMPLATES]
    if bare[:1].lower() in "aeiou":
        made = [re.sub(r"\ba (?=" + re.escape(bare) + "$)", "an ", sentence) for sentence in made]
    return made


class Phrases:
    """Text embeddings of phrases, averaged over their wordings and remembered. Safe to share between threads.

    `embed` maps n sentences to nxD; `wordings` a phrase to its sentences, the same number for each phrase.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[str]], torch.Tensor],
        wordings: Callable[[str], Sequence[str]],
        max_cached: int = MAX_CACHED_PHRASES,
    ) -> None:
        self._embed = embed
        self._wordings = wordings
        self._known: Lru[str, torch.Tensor] = Lru(max_cached)

    def __call__(self, phrases: Sequence[str]) -> torch.Tensor:
        """nxD float32 unit vectors. All phrases not yet known share one pass of the text encoder."""
        known = {phrase: self._known.find(phrase) for phrase in phrases}
        missing = [phrase for phrase, vector in known.items() if vector is None]
        if missing:
            made = unit(self._embed([sentence for phrase in missing for sentence in self._wordings(phrase)]))
            averaged = unit(made.unflatten(0, (len(missing), -1)).mean(1))
            for phrase, vector in zip(missing, averaged, strict=True):
                known[phrase] = vector
                self._known.keep(phrase, vector.clone())
        return torch.stack([vector for phrase in phrases if (vector := known[phrase]) is not None])
