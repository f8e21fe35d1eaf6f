"""Dense features of a CLIP model and the maps made of them. Free of Ray.

Works on a `transformers.CLIPModel` of any size. A plain CLIP only learns what a whole picture shows; its
patches hardly know what they lie on, because the last blocks mix them towards the global answer. The methods other
than "patch" run those blocks differently. The weights stay as they are.

    patch      the last block as it is
    maskclip   its values alone: each patch attends to itself (Zhou et al. 2022)
    clearclip  patches attend to those with similar queries (Lan et al. 2024)
    naclip     to those with similar keys, and rather to those nearby (Hajimiri et al. 2024)
    surgery    to those with similar values, in each of the last six blocks, summed up (CLIP Surgery, Li et al. 2023)

The middle three give the last block's attention alone, without the residual stream and the feed-forward layer.
Surgery adds its six to the tokens that enter the first of them, without the feed-forward layers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from transformers import CLIPModel
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from deployments.config import ClipMethod
from deployments.serving.caching import Lru, OnLookup

Method = ClipMethod

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
EMPTY = ""  # the text that names nothing: what all texts have in common, whatever they name (CLIP Surgery)
GROUND = (*CONTRAST_WORDS, EMPTY)
SYNONYM_COSINE = 0.9  # a contrast word whose embedding is nearer than that to the target's means nearly the same

TEMPLATES = (
    "a {}",
    "the {}",
    "a photo of a {}",
    "a photo of the {}",
    "a close-up photo of a {}",
    "a photo of the small {}",
    "a photo of the large {}",
)

PLAIN_TEMPLATE = "a photo of a {}"  # where one wording has to do

BASES: dict[Method, str] = {"clearclip": "q_proj", "naclip": "k_proj", "surgery": "v_proj"}
SURGERY_BLOCKS = 6
SIGMA_PATCHES = 5.0  # of the neighbourhood window, for grids of at least FULL_GRID patches
FULL_GRID = 14  # ViT-B/16 at 224 pixels, for which 5 was found; smaller grids get a proportionally smaller window
MAX_CACHED_PHRASES = 1024


@dataclass(frozen=True, eq=False)
class VisionTokens:
    """The tokens of a batch of pictures in the vision tower of `model`.

    `entering` has the tokens Bx(1+N)xC, the class token first, that enter each of the last blocks (six, or all if there
    are fewer), in order; `grid` the (rows, columns) of the N patches. Several methods may read one of these.
    """

    model: CLIPModel
    entering: tuple[torch.Tensor, ...]
    grid: tuple[int, int]

    @cached_property
    def leaving(self) -> torch.Tensor:
        """The tokens that the unmodified last block returns: Bx(1+N)xC."""
        return self.model.vision_model.encoder.layers[-1](self.entering[-1], None)

    def whole(self) -> torch.Tensor:
        """Return the model's own embeddings of the pictures, in the space of its texts: BxD float32 unit vectors."""
        return self._projected(self.leaving[:, 0])

    def patches(self, method: Method) -> torch.Tensor:
        """Return an embedding of each patch, in the space of the model's texts: BxghxgwxD float32 unit vectors."""
        return self._projected(self._tokens(method)[:, 1:]).unflatten(1, self.grid)

    def _tokens(self, method: Method) -> torch.Tensor:
        layers = self.model.vision_model.encoder.layers[-len(self.entering) :]
        if method == "patch":
            return self.leaving
        if method == "surgery":
            paths = zip(layers, self.entering, strict=True)
            return self.entering[0] + sum(_attend(layer, tokens, method) for layer, tokens in paths)
        window = neighbourhood(self.grid) if method == "naclip" else None
        return _attend(layers[-1], self.entering[-1], method, window)

    def _projected(self, tokens: torch.Tensor) -> torch.Tensor:
        # The features before post_layernorm lie in another space than the texts.
        return unit(self.model.visual_projection(self.model.vision_model.post_layernorm(tokens)))


def encode(model: CLIPModel, pixels: torch.Tensor) -> VisionTokens:
    """Return the tokens of pictures in the vision tower.

    `pixels` are Bx3xHxW float32 as the model's processor scales them, H and W multiples of the patch size.
    """
    vision = model.vision_model
    patch_px = vision.embeddings.patch_size
    native = pixels.shape[-2:] == (vision.embeddings.image_size, vision.embeddings.image_size)
    tokens = vision.pre_layrnorm(vision.embeddings(pixels, interpolate_pos_encoding=not native))
    first_kept = max(0, len(vision.encoder.layers) - SURGERY_BLOCKS)
    for layer in vision.encoder.layers[:first_kept]:
        tokens = layer(tokens, None)
    entering = [tokens]
    for layer in vision.encoder.layers[first_kept:-1]:
        entering.append(layer(entering[-1], None))
    return VisionTokens(model, tuple(entering), (pixels.shape[-2] // patch_px, pixels.shape[-1] // patch_px))


def patch_features(model: CLIPModel, pixels: torch.Tensor, method: Method) -> torch.Tensor:
    """Return an embedding of each patch, in the space of the model's texts: BxghxgwxD float32 unit vectors.

    `pixels` are as for `encode`.
    """
    return encode(model, pixels).patches(method)


def _attend(
    layer: CLIPEncoderLayer, tokens: torch.Tensor, method: Method, window: torch.Tensor | None = None
) -> torch.Tensor:
    """Return what a block's attention layer alone makes of tokens, Bx(1+N)xC; `method` says who attends to whom."""
    attention = layer.self_attn
    normed = layer.layer_norm1(tokens)

    def heads(projected: torch.Tensor) -> torch.Tensor:
        return projected.unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)

    mixed = heads(attention.v_proj(normed))
    if method != "maskclip":
        # In float32: a token's product with itself is large, and float16 ends at 65504.
        basis = heads(getattr(attention, BASES[method])(normed)).float()
        alike = basis @ basis.transpose(-1, -2) * attention.scale
        if window is not None:
            alike = alike + window.to(alike.device)
        mixed = alike.softmax(-1).to(mixed.dtype) @ mixed
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))


@lru_cache(maxsize=16)
def neighbourhood(grid: tuple[int, int]) -> torch.Tensor:
    """Return what nearness adds to the attention logits: (1+N)x(1+N) float32 in 0..1.

    It is a Gaussian of the distance in patches; the row and the column of the class token are 0.
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
    """Return the vectors with their last axis scaled to length 1, in float32."""
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def margins(
    features: torch.Tensor, targets: torch.Tensor, contrast: torch.Tensor, scale: torch.Tensor | float
) -> torch.Tensor:
    """Return by how much each target beats the ground, in logits: ...xK for features ...xD.

    `targets` are KxD and `contrast` JxD, all of them unit vectors. The sigmoid of a margin is the probability of
    "target" where the choice is between the target and the contrast words, so 0.5 means the same for every model: as
    likely as all ground together.
    """
    return scale * features @ targets.T - torch.logsumexp(scale * features @ contrast.T, -1, keepdim=True)


def kept_from(margins: torch.Tensor, of_others: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the margins Vxghxgw of a phrase, lowered where the picture shows what to avoid; `of_others` are theirs.

    What to avoid is often the phrase and one word more ("red balloon", for a balloon that is not red), and a red
    balloon looks like both. So a patch that looks like what to avoid, or lies beside one that does, is lowered by as
    much.
    """
    for other in of_others:
        around = torch.nn.functional.max_pool2d(other, 3, stride=1, padding=1)
        margins = torch.minimum(margins, margins - around)
    return margins


def contrast(target: str, vector: torch.Tensor, ground: torch.Tensor) -> torch.Tensor:
    """Return the embeddings that `target`, whose own is `vector` (D), has to stand out from: KxD.

    They are those of `ground`, the embeddings of `GROUND`, but for the words that the target uses itself, in singular
    or plural, and those that mean nearly the same.
    """
    used = {_stem(word) for word in re.findall(r"\w+", target.lower())}
    apart = [word == EMPTY or _stem(word) not in used for word in GROUND]
    near = (ground @ vector > SYNONYM_COSINE).tolist()
    return ground[[index for index, word in enumerate(GROUND) if apart[index] and (word == EMPTY or not near[index])]]


def _stem(word: str) -> str:
    return word.removesuffix("s")


def sentences(phrase: str, templates: Sequence[str] = TEMPLATES) -> list[str]:
    """Return `phrase`, with or without its article, in each of the templates."""
    bare = re.sub(r"^(a|an|the)\s+", "", phrase.strip().rstrip(".!?").strip(), flags=re.IGNORECASE) or phrase
    made = [template.format(bare).strip() for template in templates]
    if bare and bare[0].lower() in "aeiou":
        made = [re.sub(r"\ba (?=" + re.escape(bare) + "$)", "an ", sentence) for sentence in made]
    return made


class Phrases:
    """Text embeddings of phrases, averaged over their wordings and remembered. Safe to share between threads.

    `embed` maps n sentences to nxD float32; `wordings` maps a phrase to its sentences, the same number for each phrase.
    `on_lookup` is called for each phrase but those of the ground, which every search asks for and finds.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[str]], torch.Tensor],
        wordings: Callable[[str], Sequence[str]],
        on_lookup: OnLookup | None = None,
        max_cached: int = MAX_CACHED_PHRASES,
    ) -> None:
        self._embed = embed
        self._wordings = wordings
        self._on_lookup = on_lookup
        self._known: Lru[str, torch.Tensor] = Lru(max_cached)

    def __call__(self, phrases: Sequence[str]) -> torch.Tensor:
        """Return nxD float32 unit vectors. All phrases not yet known share one pass of the text encoder."""
        known = {phrase: self._known.find(phrase) for phrase in phrases}
        missing = [phrase for phrase, vector in known.items() if vector is None]
        if self._on_lookup:
            for phrase in known.keys() - GROUND:
                self._on_lookup(phrase not in missing)
        if missing:
            made = unit(self._embed([sentence for phrase in missing for sentence in self._wordings(phrase)]))
            averaged = unit(made.unflatten(0, (len(missing), -1)).mean(1))
            for phrase, vector in zip(missing, averaged, strict=True):
                known[phrase] = vector
                self._known.keep(phrase, vector.clone())
        return torch.stack([vector for phrase in phrases if (vector := known[phrase]) is not None])
