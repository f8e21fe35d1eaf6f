"""Refuse texts that a model would ignore, wholly or in part.

The driver can know some of them; others only the replica knows that holds the model.
"""

from __future__ import annotations

from typing import Any

from deployments.errors import InvalidInput


def check_tokens(text: str, param: str, tokenizer: Any, most: int, reader: str) -> None:
    """Refuse a text whose end `reader` would not see, because it reads at most `most` tokens of `tokenizer`.

    The counts in the message leave out the marks of a text's start and end.
    """
    count, marks = count_tokens(text, tokenizer), tokenizer.num_special_tokens_to_add()
    if count + marks > most:
        raise InvalidInput(
            f"`{param}` must have at most {most - marks} tokens, as {reader} reads no more at once: there are {count}.",
            param,
        )


def count_tokens(text: str, tokenizer: Any) -> int:
    """Return how many tokens of `tokenizer` a text has, without the marks of its start and end."""
    return len(tokenizer(text, verbose=False)["input_ids"]) - int(tokenizer.num_special_tokens_to_add())


def check_negative_prompt(negative_prompt: str, guidance_scale: float) -> None:
    """Refuse a negative prompt that has no effect: at 1 and below the painter is not guided away from anything."""
    if negative_prompt and guidance_scale <= 1:
        raise InvalidInput(
            f"`negative_prompt` acts only where `guidance_scale` is above 1, and it is {guidance_scale:g}.",
            "negative_prompt",
        )
