"""What CLIP is asked: wordings, embeddings, and the ground that a target has to stand out from."""

from __future__ import annotations

import pytest
import torch

from deployments.clip import dense


def ground(vectors: dict[str, torch.Tensor] | None = None) -> torch.Tensor:
    """An embedding for each word of the ground, all at right angles but for the given ones; the last axis is free."""
    axes = torch.eye(len(dense.GROUND), len(dense.GROUND) + 1)
    for word, vector in (vectors or {}).items():
        axes[dense.GROUND.index(word)] = vector
    return axes


FREE = torch.eye(len(dense.GROUND) + 1)[-1]


def words(rows: torch.Tensor, of: torch.Tensor) -> set[str]:
    return {dense.GROUND[index] for index, row in enumerate(of) if (rows == row).all(-1).any()}


def test_margins_are_log_odds_of_the_target_against_all_ground_words() -> None:
    draw = torch.Generator().manual_seed(4)
    features, targets, contrast = (dense.unit(torch.randn(count, 8, generator=draw)) for count in (5, 2, 3))
    odds = (10 * features @ targets.T).exp() / (10 * features @ contrast.T).exp().sum(-1, keepdim=True)
    made = dense.margins(features, targets, contrast, 10.0).sigmoid()
    torch.testing.assert_close(made, odds / (1 + odds))


@pytest.mark.parametrize(
    ("target", "dropped"),
    [("the brick wall", {"wall"}), ("two Trees", {"tree"}), ("sand", {"sands"}), ("lemon", set()), ("", set())],
)
def test_a_target_is_not_held_against_itself(target: str, dropped: set[str]) -> None:
    assert set(dense.GROUND) - words(dense.contrast(target, FREE, ground()), ground()) == dropped


def test_nor_against_what_means_nearly_the_same() -> None:
    def at(cosine: float) -> torch.Tensor:
        other = torch.eye(len(dense.GROUND) + 1)[dense.GROUND.index("sea")]
        return cosine * FREE + (1 - cosine**2) ** 0.5 * other

    of = ground({"grass": at(0.91), "tree": at(0.89)})
    assert set(dense.GROUND) - words(dense.contrast("meadow", FREE, of), of) == {"grass"}


def test_the_empty_text_is_always_held_against_a_target() -> None:
    alike = FREE.expand(len(dense.GROUND), -1)
    assert dense.contrast("meadow", FREE, alike).shape == (1, len(FREE))
    assert dense.GROUND[-1] == ""
    assert set(dense.CONTRAST_WORDS) | {""} == set(dense.GROUND)
    assert dense.sentences("")[:3] == ["a", "the", "a photo of a"]


def test_sentences_use_the_right_article_whatever_the_phrase_came_with() -> None:
    assert dense.sentences("The apple.") == dense.sentences("apple")
    assert {"an apple", "the apple", "a photo of an apple", "a photo of the large apple"} < set(
        dense.sentences("apple")
    )
    assert "a photo of a red apple" in dense.sentences("a red apple")
    assert len(dense.sentences("the")) == len(dense.TEMPLATES)
    assert dense.sentences("an orange cat", [dense.PLAIN_TEMPLATE]) == ["a photo of an orange cat"]


def test_phrases_are_embedded_once_and_forgotten_when_too_many() -> None:
    asked: list[str] = []

    def embed(sentences: list[str]) -> torch.Tensor:
        asked.extend(sentences)
        return torch.tensor([[len(sentence), 1.0] for sentence in sentences])

    phrases = dense.Phrases(embed, lambda phrase: [phrase, phrase + "!"], max_cached=2)
    first = phrases(["a", "bb", "a"])
    assert asked == ["a", "a!", "bb", "bb!"]
    torch.testing.assert_close(first[0], first[2])
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(phrases(["bb"]), first[1:2])
    assert len(asked) == 4
    phrases(["ccc"])  # "a" was used longest ago
    phrases(["bb"])
    assert len(asked) == 6
    phrases(["a"])
    assert len(asked) == 8
