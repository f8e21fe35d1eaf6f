"""The prompt syntax of other programs, which no model here understands: `(a lemon:1.6)`, `[a|b]`, `<lora:x:0.8>`.

It is what stable-diffusion-webui made common. To a plain model it is a string of odd words, so whoever sends it would
get something else than what they mean. Plain parentheses and brackets, times and what stands in quotation marks are
left alone.
"""

from __future__ import annotations

import re

_QUOTED = re.compile(r"""(?<!\w)(?:"[^"]*"|'[^']*'|“[^”]*”|‘[^’]*’)(?!\w)""")
_NETWORK = re.compile(r"<\s*(?:lora|lyco|hypernet)\s*:[^<>]*>", re.IGNORECASE)
# "lemon:1.6)", and with no blank behind the colon "lemon:2)"; neither "10:30)" nor "Exit: 5)" nor "ISO:100)".
_WEIGHT = re.compile(r"(?<![\d\s:])\s?:(?:\s?[+-]?\d*\.\d+|[+-]?\d)\s?\)")
_DOUBLED = re.compile(r"\(\([^()]*\)\)")
_BRACKETED = re.compile(r"\[[^\[\]]*[:|][^\[\]]*\]")


def emphasis_in(text: str) -> str | None:
    """Return the first piece of such syntax in `text`, or None in plain English."""
    plain = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), text)
    for pattern in (_NETWORK, _DOUBLED, _BRACKETED):
        match = pattern.search(plain)
        if match:
            return match[0]
    weight = _WEIGHT.search(plain)
    start = plain.rfind("(", 0, weight.start()) if weight else -1
    return plain[start : weight.end()] if weight and start >= 0 else None
