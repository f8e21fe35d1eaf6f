"""Read in the words of a request what to look for. Words that cannot be acted on are refused by their field."""

from __future__ import annotations

from dataclasses import replace

from deployments.errors import InvalidInput
from deployments.language.prompt_refusals import check_prompt
from deployments.language.prompts import PromptReading, read_prompt
from deployments.language.target_refusals import NotUnderstood, check_target, is_refused
from deployments.language.targets import Wording, parse


def reading_of(prompt: str, target: str | None, is_pointed_at: bool) -> PromptReading:
    """Return what the prompt says. Beside a target, points or a mask all of it is what to paint.

    Beside points or a mask it may still ask to remove what they mark.
    """
    if target is None:
        reading = read_prompt(prompt)
        if reading.removes or not is_pointed_at:
            return reading
    return PromptReading((), prompt)


def check_reading(prompt: str, reading: PromptReading, places: bool) -> None:
    """Raise InvalidInput where a prompt that also says what to look for cannot be acted on as it is meant.

    Without `places` what it names is looked for in the words as they are, whatever they say.
    """
    try:
        check_prompt(prompt, reading, places)
    except NotUnderstood as refusal:
        raise InvalidInput(f"`prompt` {refusal}", "prompt") from None


def things_removed(reading: PromptReading, is_pointed_at: bool) -> tuple[str, ...]:
    """Return what a removal names. Beside points or a mask its phrase alone is kept, if it can be looked for."""
    if not is_pointed_at:
        return reading.targets[:1]
    return tuple(parse(target).phrase for target in reading.targets[:1] if not is_refused(target))


def wordings_of(target: str | None, from_prompt: tuple[str, ...], places: bool) -> tuple[Wording, ...]:
    """Return what to look for, the likeliest first: what `target` names, or else what a prompt names, once checked.

    Of what a prompt names, all but the first are fallbacks, of which nothing is avoided. Without `places` the words are
    looked for as they are. Raises InvalidInput where a target cannot be acted on.
    """
    texts = from_prompt if target is None else (target,)
    if not places:
        return tuple(map(Wording, texts))
    if target is not None:
        try:
            check_target(target)
        except NotUnderstood as refusal:
            raise InvalidInput(f"`target` {refusal}", "target") from None
    fallbacks = (replace(parse(text), avoid=()) for text in texts[1:] if not is_refused(text))
    return tuple(dict.fromkeys((*map(parse, texts[:1]), *fallbacks)))
