"""CLIP: where is it, and how well does a text describe a picture? Free of Ray.

To find something a picture is looked at in parts (`clip/pictures.py`); scores use the models' own preprocessing, which
crops the centre, since they must be what everybody's scores are.

A text longer than the model reads (77 tokens, 32 for the pocket model) is refused. A phrase that only a template makes
too long stands for itself there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerBase

from deployments.clip import checkpoint, dense, views
from deployments.clip.pictures import VIEWS_PER_PASS, PictureEncoder, PictureFeatures
from deployments.clip.scoring import Views
from deployments.config import ClipSettings, ModelArgs
from deployments.errors import InvalidInput
from deployments.grounding.peaks import best_cell, to_pixel
from deployments.language.texts import check_tokens
from deployments.messages import HeatMap, ScoreRequest, Search, SearchRequest
from deployments.serving.checkpoints import devices
from deployments.serving.checkpoints.hub import LOADING_PATIENCE_S, Hub
from deployments.serving.checkpoints.weights import check_report
from deployments.serving.metrics import NOWHERE, Recorder, lookups
from deployments.serving.side_by_side import side_by_side

Vectors = Mapping[str, torch.Tensor]  # of phrases: D float32, at length 1

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")


class ClipMatcher:
    """A `transformers.CLIPModel` with its tokenizer and preprocessor. Safe to use from several threads."""

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: PreTrainedTokenizerBase,
        processor: CLIPImageProcessorPil,
        metrics: Recorder = NOWHERE,
    ) -> None:
        self._model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._processor = processor
        self._scale = float(model.logit_scale.exp())
        self._most_tokens = model.config.text_config.max_position_embeddings
        texts = lookups(metrics, "clip", "texts")
        self._ensembles = dense.Phrases(self._embed, self._wordings, texts)
        self._bare = dense.Phrases(self._embed, lambda phrase: self._wordings(phrase, [dense.PLAIN_TEMPLATE]), texts)
        self._texts = dense.Phrases(self._embed, lambda text: [text], texts)
        self._views = Views(self._embed_views, lookups(metrics, "clip", "views"))
        self._pictures = PictureEncoder(self._model, processor, metrics)

    @classmethod
    def load(cls, args: ModelArgs, metrics: Recorder = NOWHERE) -> ClipMatcher:
        """Return the model that the setting `clip` names. Raises SettingError, saying what is wrong with it."""
        source = checkpoint.check(args, Hub(LOADING_PATIENCE_S))
        device = devices.chosen("clip.device", args.device)
        revision = {"revision": args.revision} if args.revision else {}
        with source.asked.explained():
            model, report = CLIPModel.from_pretrained(
                source.location,
                variant=args.variant,
                use_safetensors=True,
                dtype=getattr(torch, args.dtype),
                ignore_mismatched_sizes=True,  # the report names them
                output_loading_info=True,
                **revision,
            )
            check_report(source, report)
            tokenizer = AutoTokenizer.from_pretrained(source.location, **revision)
            processor = CLIPImageProcessorPil.from_pretrained(source.location, **revision)
        return cls(model.to(device), tokenizer, processor, metrics)

    @torch.inference_mode()
    def locate(self, requests: Sequence[SearchRequest], settings: ClipSettings) -> list[Search | Exception]:
        """Return where in each picture its phrases are; a request that cannot be answered gives its own exception.

        Equal pictures share one look, also with those of earlier calls, and all phrases one pass of the text encoder.
        """
        return _answers(requests, self._check_search, lambda legible: self._located(legible, settings))

    @torch.inference_mode()
    def score(self, requests: Sequence[ScoreRequest]) -> list[float | Exception]:
        """Return the cosine of each picture and its text, exactly as `transformers.CLIPModel` computes it.

        A text that cannot be read gives its own exception.
        """
        return _answers(requests, self._check_score, self._scored)

    def _check_search(self, request: SearchRequest) -> None:
        for phrase in request.phrases:
            self._check_tokens(phrase, request.param)
        for phrase in request.avoid:
            self._check_tokens(phrase, "avoid")

    def _check_score(self, request: ScoreRequest) -> None:
        self._check_tokens(request.text, request.param)

    def _check_tokens(self, text: str, param: str) -> None:
        check_tokens(text, param, self._tokenizer, self._most_tokens, "CLIP")

    def _located(self, requests: Sequence[SearchRequest], settings: ClipSettings) -> list[Search | Exception]:
        seen = self._pictures.features_of([request.image for request in requests], settings)
        vectors = self._vectors(requests, settings)
        answers: list[Search | Exception] = []
        for request, known in zip(requests, seen, strict=True):
            if isinstance(known, Exception):
                answers.append(known)
                continue
            maps = (self._heat_map(phrase, request, known, vectors, settings) for phrase in request.phrases)
            answers.append(Search(tuple(maps)))
        return answers

    def _scored(self, requests: Sequence[ScoreRequest]) -> list[float]:
        pixels = side_by_side(self._preprocessed, [request.image for request in requests])
        images = self._views(torch.cat(pixels))
        texts = self._texts([request.text for request in requests])
        return (images * texts).sum(-1).tolist()

    def _preprocessed(self, image: np.ndarray) -> torch.Tensor:
        """Return a picture HxWx3 uint8 as the model takes it: 1x3xPxP float32, the centre."""
        pixels: torch.Tensor = self._processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"]
        return pixels

    def _vectors(self, requests: Sequence[SearchRequest], settings: ClipSettings) -> Vectors:
        """Return the embeddings of every phrase that the requests name, and of the ground."""
        named = [phrase for request in requests for phrase in (*request.phrases, *request.avoid)]
        phrases = list(dict.fromkeys([*named, *dense.GROUND]))
        return dict(zip(phrases, (self._ensembles if settings.ensemble else self._bare)(phrases), strict=True))

    def _heat_map(
        self, phrase: str, request: SearchRequest, picture: PictureFeatures, vectors: Vectors, settings: ClipSettings
    ) -> HeatMap:
        """Return the map of one phrase.

        With contrast a place's margin is the logarithm of the odds of the phrase against ground and what to avoid, and
        `heat` its sigmoid. Without, it is by how many logits the phrase's cosine exceeds its mean over the picture;
        `heat` shows that from its least to its greatest, hot somewhere in every picture, and no calibration of the
        confidence can be right for all pictures.
        """
        size_hw = (request.image.shape[0], request.image.shape[1])
        logits_of = self._margins if settings.contrast else self._cosines
        margins = views.blend(logits_of(phrase, request.avoid, picture, vectors).cpu(), picture.plan)
        if settings.contrast:
            return _answer(phrase, margins, margins.sigmoid(), size_hw, settings)
        above = margins - margins.mean()
        spread = (above.max() - above.min()).clamp(min=1e-9)
        return _answer(phrase, above, (above - above.min()) / spread, size_hw, settings)

    def _margins(self, phrase: str, avoid: Sequence[str], picture: PictureFeatures, vectors: Vectors) -> torch.Tensor:
        """Return how much more each patch looks like the phrase than like what is not meant: Vxghxgw, in logits."""
        ground = torch.stack([vectors[word] for word in dense.GROUND])
        others = [vectors[name][None] for name in avoid]
        contrast = torch.cat([dense.contrast(phrase, vectors[phrase], ground), *others])
        margins = dense.margins(picture.features, vectors[phrase][None], contrast, self._scale)[..., 0]
        of_others = (
            dense.margins(picture.features, other, dense.contrast(name, other[0], ground), self._scale)[..., 0]
            for name, other in zip(avoid, others, strict=True)
        )
        return dense.kept_from(margins, of_others)

    def _cosines(self, phrase: str, avoid: Sequence[str], picture: PictureFeatures, vectors: Vectors) -> torch.Tensor:
        """Return the cosine of each patch and the phrase, less the greatest of what to avoid: Vxghxgw, in logits."""
        cosines = picture.features @ vectors[phrase]
        if avoid:
            others = torch.stack([vectors[name] for name in avoid])
            cosines = cosines - (picture.features @ others.T).amax(-1).clamp(min=0)
        return self._scale * cosines

    def _wordings(self, phrase: str, templates: Sequence[str] = dense.TEMPLATES) -> list[str]:
        """Return the phrase in each template, or alone where that would push its end beyond what the model reads."""
        made = dense.sentences(phrase, templates)
        lengths = map(len, self._tokenizer(made, verbose=False)["input_ids"])
        return [
            sentence if length <= self._most_tokens else phrase for sentence, length in zip(made, lengths, strict=True)
        ]

    def _embed(self, sentences: Sequence[str]) -> torch.Tensor:
        # Padded here and not by the tokenizer, which remembers how it was last asked to pad: searches and scores use
        # the same one from two threads.
        ids = self._tokenizer(list(sentences), verbose=False)["input_ids"]
        longest = max(map(len, ids))
        padding = self._tokenizer.pad_token_id
        tokens = torch.tensor([one + [padding] * (longest - len(one)) for one in ids])
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
        device = self._model.device
        features = self._model.get_text_features(input_ids=tokens.to(device), attention_mask=mask.to(device))
        return features.pooler_output

    def _embed_views(self, pixels: torch.Tensor) -> torch.Tensor:
        chunks = pixels.split(VIEWS_PER_PASS)
        return torch.cat([self._model.get_image_features(self._to_model(chunk)).pooler_output for chunk in chunks])

    def _to_model(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.to(self._model.device, self._model.dtype)


def _answers(
    requests: Sequence[_Request],
    check: Callable[[_Request], None],
    answer: Callable[[list[_Request]], Sequence[_Answer | Exception]],
) -> list[_Answer | Exception]:
    """Return what `answer` returns for the requests that `check` lets pass, and for each other one what that raised."""
    refused: dict[int, Exception] = {}
    for index, request in enumerate(requests):
        try:
            check(request)
        except InvalidInput as error:
            refused[index] = error
    legible = [request for index, request in enumerate(requests) if index not in refused]
    made = iter(answer(legible) if legible else [])
    return [refused[index] if index in refused else next(made) for index in range(len(requests))]


def _answer(
    phrase: str, margins: torch.Tensor, heat: torch.Tensor, size_hw: tuple[int, int], settings: ClipSettings
) -> HeatMap:
    """Return a map that points at the best place of a picture of `size_hw`, with the calibrated confidence."""
    hot = heat.float().numpy()
    cell = best_cell(hot)
    margin = float(margins[cell])
    confidence = 0.5 * (1 + math.tanh((settings.presence_scale * margin + settings.presence_shift) / 2))
    point = to_pixel(cell, hot.shape, size_hw)
    return HeatMap(phrase, point, confidence, margin, confidence >= settings.min_confidence, hot)
