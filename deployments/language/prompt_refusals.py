"""What a prompt asks for that Retouch does not do: two changes at once, none at all, or one of the whole picture.

It is for prompts that also say what to find. A prompt beside a target, points, a box or a mask is only what to paint.
"""

from __future__ import annotations

import re

from deployments.language import prompt_patterns, refusal_patterns, target_patterns
from deployments.language.prompts import PromptReading
from deployments.language.target_patterns import any_of
from deployments.language.target_refusals import MARK_IT, NotUnderstood, check_target, lists_things, whole_picture
from deployments.language.targets import plain, tidy

_THE = any_of(("the", "this", "that", "these", "those", *target_patterns.OWNERS, "all", "both", "each", "every", "any"))
_DETERMINER = any_of(
    (*target_patterns.ARTICLES, *target_patterns.OWNERS, "each", "every", "another", "more", *target_patterns.NUMBERS)
)
_IT = r"(?:it|them|him|her|everything|this|that|these|those|all)"
_CERTAIN = (
    "remove delete erase eliminate replace swap exchange substitute transform"  # no nouns: they begin an instruction
)
_LIKELY = """
    convert turn change make paint colou?r recolou?r dye tint put place insert add attach give dress draw cut crop blur
    rotate brighten darken open close move shift lift lower raise take get clear wipe hang stick cover fill decorate
    wrap
"""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.ASCII)


STARTS = _pattern(rf"(?:{any_of((*_CERTAIN.split(), *_LIKELY.split()))})(?!\S)")
# A further instruction; "and make it shiny" is said of what is painted.
_FURTHER = (
    r"(?:,|;|\.|!| and| then| but| also| &| -| \d[.)])"
    r"(?: (?:and|then|also|please|finally|next|afterwards|now|instead),?){0,3} "
)
SECOND = _pattern(
    rf"{_FURTHER}(?:(?:{any_of(_CERTAIN.split())}) \S"
    rf"|(?:take|get|cut|clear|wipe|crop) (?:away|out|off|rid of)(?: \S|$)"
    rf"|(?P<likely>{any_of(_LIKELY.split())}) {_DETERMINER} )|(?:,|;| and)(?: and)? (?:then|also) {_DETERMINER} "
    rf"| (?:{any_of(_CERTAIN.split())}) (?:the|this|that|my) "
    r"| while (?:also )?(?:removing|deleting|erasing|replacing|changing|making|adding|turning|painting) "
)
# "and put a hat on it" is said of what is painted, too.
_OF_IT = _pattern(
    r" (?:(?:on|to|for|around|over|behind|under|in|with|next to) (?:it|them|him|her)|(?:its|his|her))(?!\S)"
)
SECOND_SENTENCE = _pattern(rf"[.;!?,] (?:then |also |please |and ){{0,2}}(?:{any_of(_CERTAIN.split())}) {_DETERMINER} ")
# "replace the dog with a cat and the apple with a lemon"
SECOND_PAIR = _pattern(rf"(?:,|,? and) {_THE} (?:[^\s,]+ ){{1,5}}(?:with|into|by|for|to) \S")
SECOND_ACT = _pattern(rf" and {_THE} (?:[^\s,]+ ){{1,3}}(?:{any_of(prompt_patterns.ACTS_AS)})(?!\S)")

_BULLET = _pattern(r"^(?:[-*•]|\d+[.)]) ")
PUT_IT = _pattern(
    r"(?:put|place|add|stick|hang|insert) (?:it|them|this|that)(?= (?:in|on|into|onto|to|at|inside|next)(?!\S)|$)"
)

FORBIDS = _pattern(
    r"(?:(?:do not|don't|dont|no|not|never|nothing|do nothing|stop|cancel|wait)$"
    rf"|(?:please )?(?:do not|don't|dont|never|avoid|without|not|nothing|no|cannot|can't) \S"
    r"|make sure|be careful not|there (?:should|must|may|can|shall) (?:not )?be no|there (?:should|must) not be"
    r"|(?:i|we) (?:(?:do not|don't|dont) (?:want|like|need)|(?:want|need) no(?!\S))"
    r"|(?:anything|everything|all) (?:but|except)"
    rf"|(?:keep|leave|preserve|retain|protect|spare|exclude|ignore|skip) (?:{_THE}|{_IT}|alone)(?!\S)"
    r"|(?:keep|leave|preserve|retain) (?:\S+ ){1,4}(?:as|alone|unchanged|untouched|intact|the same|in place)(?!\S))"
)
_OPERATIONS = """
    blur sharpen denoise enhance improve upscale downscale rotate resize straighten desaturate saturate colou?rize
    brighten darken lighten retouch restore stylize stylise animate increase decrease reduce boost adjust apply uncrop
    outpaint crop beautify relight recompose refocus defocus declutter vectorize vectorise undo pixelate posterize
    invert
"""
_OPERATIONS_ON_IT = """
    mirror flip scale copy clone duplicate move shift extend expand fix clean smooth soften count tone filter correct
    compress center centre align tidy describe translate zoom colorize colourize shrink enlarge stretch focus
"""
_ONWARD = (
    r"in|out|by|to|up|down|horizontally|vertically|upside|left|right|clockwise|\d+\S*|a bit|image|picture|photo"
    r"|background|details?"
)
OPERATION = _pattern(
    rf"(?:auto-?)?(?:{any_of(_OPERATIONS.split())})(?: (?:{_THE}|{_IT}|an?|{_ONWARD}|colou?rs?|contrast)(?!\S)|$)"
    rf"|(?:{any_of(_OPERATIONS_ON_IT.split())}) (?:up )?(?:{_THE}|{_IT}|horizontally|vertically)(?!\S)"
    r"|zoom (?:in|out|into|on)(?!\S)"
    r"|add (?:more|less|some) (?:light|lighting|brightness|contrast|details?|colou?r|saturation|blur|depth|shadows"
    r"|warmth)"
    r"|clean up|touch up|swap (?:places|faces)|(?:use|apply|add) (?:an? |some |the )?(?:\S+ )?(?:filter"
    r"|effect|vignette|grain|bokeh|contrast|blur)(?!\S)"
    r"|(?:(?:much|a bit|a little|slightly|even) )?(?:brighter|darker|lighter|sharper|warmer|cooler|more [a-z]+"
    r"|less [a-z]+)$"
    rf"|[a-z]+ (?:the |its )?{refusal_patterns.QUALITIES}$"
    r"|(?:black and white|monochrome|gr[ae]yscale|sepia|vintage|retro)$"
)
STYLE = _pattern(
    r"(?:in|as|like|into) (?:an? |the )?(?:\S+ ){0,2}(?:painting|sketch|drawing|cartoon|comic|anime|watercolou?r)"
    r"|(?:as if |painted |drawn |rendered |redrawn )?(?:in|into|as) (?:the |an? )?(?:\S+ ){0,3}style(?: of .+)?"
    r"|(?:make|turn|change|convert|render|redraw|paint)(?: it| this| everything)? (?:in|into|to) (?:the |an? )?"
    r"(?:\S+ ){0,3}style(?: of .+)?"
)
_LOOK = any_of(sorted(prompt_patterns.ADJECTIVES))
_NO_NOUN = rf"(?= (?:an?|the|to|into|in|with|by|as|for|look\w*|more|less|like|be|on|{_LOOK}(?: and {_LOOK})?$)(?!\S)|$)"
ON_NOTHING = _pattern(
    rf"(?:{any_of((*_CERTAIN.split(), *_LIKELY.split()))}|modify|edit|redraw|recreate|render) "
    rf"(?:(?:all of )?(?:it|them|him|her|everything)(?!\S)|(?:this|that|these|those){_NO_NOUN}|(?:to|into|as) \S)"
)
# "replace the dog", "make the sky not cloudy": a painter would take the words for what to paint.
_UNREAD = _pattern(rf"(?:{any_of((*_CERTAIN.split(), *_LIKELY.split()))}|modify|edit) (?:{_THE}|anything) \S")


def check_prompt(prompt: str, reading: PromptReading, by_words: bool = True) -> None:
    """Raise NotUnderstood where a prompt that says what to find cannot be acted on as it is meant.

    `by_words` False leaves what the targets say unchecked: they are looked for as they are.
    """
    said = prompt_patterns.POLITE.sub("", _BULLET.sub("", tidy("; ".join(prompt.strip().splitlines()))))
    _check_kind(said, reading)
    _check_one_change(refusal_patterns.QUOTED.sub("", said), reading)
    if by_words:
        _check_targets(said, reading, tuple(map(plain, refusal_patterns.QUOTED.findall(tidy(prompt)))))


def _check_kind(said: str, reading: PromptReading) -> None:
    if FORBIDS.match(said) and not refusal_patterns.ON_A_SIGN.match(plain(said)):
        raise NotUnderstood(
            "only says what must not be there or must not change, and nothing else is ever changed. Say what to "
            "change, such as 'replace the apple with a lemon', or 'remove the dog' to take something away."
        )
    bare = plain(said)
    starts = STARTS.match(bare)
    on_all = starts and refusal_patterns.OF_WHOLE_PICTURE.match(bare, starts.end() + 1)
    if reading.describes and (on_all or (OPERATION.match(bare) or STYLE.fullmatch(bare))):
        raise NotUnderstood(
            "asks for an adjustment, which is not offered: Retouch repaints one named thing, or all things of one "
            "name. Say what to paint, such as 'make the sky purple', or send a mask of the area to repaint and what to "
            "paint there."
        )
    if reading.describes and _UNREAD.match(bare):
        raise NotUnderstood(
            "is an instruction that does not say what to paint. Say what something becomes, such as 'replace the apple "
            "with a lemon', 'make the sky clear' or 'give the dog a hat'; or send `target` to say what to repaint, "
            "and as `prompt` only what to paint there."
        )
    names_nothing = ON_NOTHING.match(bare) or refusal_patterns.NO_NAME.fullmatch(bare)
    if PUT_IT.match(bare) or (reading.describes and names_nothing):
        raise NotUnderstood(
            f"does not name the thing to change. Name it, such as 'make the car red', or {MARK_IT} and say what to "
            "paint."
        )


def _check_one_change(said: str, reading: PromptReading) -> None:
    if STARTS.match(said):
        painted = "" if reading.removes or reading.describes else reading.painted
        further = SECOND.search(said)
        is_one = not reading.removes and prompt_patterns.REMOVE_AND_PAINT.fullmatch(plain(said))
        is_of_it = further and further["likely"] and painted and _OF_IT.search(said, further.end())
        if further and not is_one and not is_of_it:
            raise _two_changes()
        if SECOND_PAIR.search(painted) or SECOND_ACT.search(painted):
            raise _two_changes()
    elif SECOND_SENTENCE.search(said):
        raise _two_changes()


def _two_changes() -> NotUnderstood:
    return NotUnderstood("asks for two changes, and one request makes one. Send one request for each of them.")


def _check_targets(said: str, reading: PromptReading, quoted: tuple[str, ...]) -> None:
    first = reading.targets[0]
    for text in quoted:  # "remove the text 'buy and save'"
        first = first.replace(text, "") if text else first
    if not reading.describes or prompt_patterns.DEFINITE.match(said):
        check_target(first)
        return
    message = whole_picture(first)
    if message:
        raise NotUnderstood(message)
    if lists_things(said):
        raise NotUnderstood(
            "describes several things and does not say which of them to look for. Send `target` beside it to say what "
            "to repaint."
        )
