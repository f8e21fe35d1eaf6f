"""Find what is wrong with the three models before any is loaded. This takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from deployments.clip import checkpoint as clip
from deployments.config import GraphArgs
from deployments.errors import SettingError
from deployments.inpaint import checkpoint as inpaint
from deployments.inpaint import lora
from deployments.sam import checkpoint as sam
from deployments.serving.checkpoints import devices
from deployments.serving.checkpoints.hub import Hub


def problems(args: GraphArgs, reach_hub: bool = True) -> Iterator[SettingError]:
    """Yield what would keep the models of `args` from being loaded, in the loaders' own words.

    With `reach_hub` the hub is asked for a model that its cache does not hold; without, nothing is said of that one.
    torch is imported only where a device other than "auto" and "cpu" is asked for.
    """
    for check in _checks(args, Hub() if reach_hub else None):
        try:
            check()
        except SettingError as error:
            yield error


def _checks(args: GraphArgs, hub: Hub | None) -> Iterator[Callable[[], object]]:
    yield partial(clip.check, args.clip, hub)
    yield partial(devices.check, "clip.device", args.clip.device)
    yield partial(sam.check, args.sam)
    yield partial(devices.check, "sam.device", args.sam.device)
    yield partial(inpaint.check, args.inpaint, hub)
    yield partial(lora.check, args.inpaint, hub)
    yield partial(devices.check, "inpaint.device", args.inpaint.device)
