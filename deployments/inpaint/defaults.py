"""What suits a particular inpaint model, in the model's own words.

The directory of a model may hold a file `retouch.json`, as the directories of language models hold a
`generation_config.json`:

    {"guidance_scale": 3.0}

It counts where neither the request nor `user_config` of the driver names a value.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.errors import SettingError

FILE = "retouch.json"


class PaintingDefaults(BaseModel):
    """Defaults of an edit that depend on the weights. 7.5 is what Stable Diffusion's own pipelines take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    guidance_scale: float = Field(7.5, ge=0, le=100)


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
        raise SettingError("inpaint.model", f"{FILE} beside the model is wrong: {place}: {first['msg']}.") from error
