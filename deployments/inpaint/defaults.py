"""What suits a particular inpaint model, in the model's own words.

The directory of a model may hold a file `retouch.json`, as the directories of language models hold a
`generation_config.json`:

    {"guidance_scale": 3.0, "removal_prompt": "background"}

The guidance scale counts where neither the request nor `user_config` of the driver names a value. The removal prompt is
what the model is asked to paint where something is removed; nobody else knows of it.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.errors import SettingError

FILE = "retouch.json"


class PaintingDefaults(BaseModel):
    """Defaults of an edit that depend on the weights. 7.5 is what Stable Diffusion's own pipelines take.

    `removal_prompt` may be empty, which asks a model for whatever suits the surroundings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    guidance_scale: float = Field(7.5, ge=0, le=100)
    removal_prompt: str = "background"


def read(source: str | Path) -> PaintingDefaults:
    """Return the defaults that the directory `source` states; the usual ones for a hub id or where there is no file.

    Raises SettingError if there is a file that cannot be used.
    """
    path = Path(source) / FILE
    if not path.is_file():
        return PaintingDefaults()
    try:
        return PaintingDefaults.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise wrong(f"{place}: {first['msg']}.") from error


def wrong(why: str) -> SettingError:
    """Return the refusal of a file that cannot be used; `why` is a sentence."""
    return SettingError("inpaint.model", f"{FILE} beside the model is wrong: {why}")
