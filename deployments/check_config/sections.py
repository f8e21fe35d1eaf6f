"""Serve's config schema as a tree of sections: which keys each knows, and what Serve says of their values.

Ray Serve drops a key that it does not know without a word, and leaves some sections unread until it deploys. Here every
section is read, each by itself, so that one that is wrong hides no other.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import ErrorDetails
from ray.runtime_env import RuntimeEnv, RuntimeEnvConfig
from ray.serve.config import AutoscalingPolicy
from ray.serve.schema import RayActorOptionsSchema

from deployments.check_config.findings import Finding, child, members, near, one_line, quoted

Schema = type[BaseModel]


def _keys(names: set[str]) -> Any:
    return dict.fromkeys((name for name in names if not name.startswith("_")), (Any, None))


# The sections that Serve's own schema only calls mappings. Keys with an underscore are internal to Ray.
RuntimeEnvSettings: Schema = create_model("RuntimeEnvSettings", **_keys(RuntimeEnvConfig.known_fields))
RuntimeEnvSection: Schema = create_model(
    "RuntimeEnvSection",
    **_keys(RuntimeEnv.known_fields | {"nsight", "rocprof_sys"})
    | {
        "env_vars": (dict[str, str] | None, None),
        "py_modules": (list[str] | None, None),
        "working_dir": (str | None, None),
        "config": (RuntimeEnvSettings | None, None),
    },
)
ActorOptions: Schema = create_model(
    "ActorOptions",
    __base__=RayActorOptionsSchema,
    **_keys(
        {
            "concurrency_groups",
            "enable_task_events",
            "get_if_exists",
            "lifetime",
            "max_concurrency",
            "max_pending_calls",
        }
        | {"max_restarts", "max_task_retries", "name", "namespace", "object_store_memory", "scheduling_strategy"}
    ),
)
BARE: dict[str, Schema] = {
    "runtime_env": RuntimeEnvSection,
    "autoscaling_policy": AutoscalingPolicy,
    "actor_options": ActorOptions,
}
# Serve imports these while it reads them. Whether they can be imported is the business of import_paths.
IMPORTED_BY_SERVE = {"policy_function", "request_router_class"}
SAYS_ENOUGH = {"missing", "extra_forbidden", "value_error"}  # The input of other errors is worth quoting.


@dataclass(frozen=True)
class Entry:
    """A key that the file sets in a section of this schema."""

    place: str
    key: Any
    value: Any
    schema: Schema


def entries(section: Any, schema: Schema, place: str) -> Iterator[Entry]:
    """Yield every key of a section and of the sections in it. A free-form section has no schema, so it is left out."""
    if not isinstance(section, dict):
        return
    for key, value in section.items():
        yield Entry(child(place, key), key, value, schema)
    for name, part in _parts(section, schema):
        for inner, item in members(section[name], child(place, name)):
            yield from entries(item, part, inner)


def unknown_key(entry: Entry) -> Finding | None:
    """Return the finding about a key that its section does not know."""
    known = entry.schema.model_fields
    return None if entry.key in known else Finding(entry.place, f"unknown key{near(entry.key, known)}")


def accepted(section: Any, schema: Schema, place: str, findings: list[Finding]) -> dict[str, Any] | None:
    """Return what the schema accepts of a section, None if it refuses the whole. Add its complaints to `findings`."""
    if not isinstance(section, dict):
        findings.append(Finding(place, f"must be a mapping of keys, not {quoted(section)}"))
        return None
    whole = {key: value for key, value in section.items() if key not in IMPORTED_BY_SERVE}
    for name, part in _parts(section, schema):
        _read_part(whole, name, part, child(place, name), findings)
    refused = list(_refusals(whole, schema, place))
    findings += refused
    return None if refused else whole


def _read_part(whole: dict[str, Any], name: str, part: Schema, place: str, findings: list[Finding]) -> None:
    """Replace a part of the whole by what the schema accepts of it, so that nothing is refused twice."""
    read = [accepted(item, part, inner, findings) for inner, item in members(whole[name], place)]
    kept = [item for item in read if item is not None]
    if isinstance(whole[name], list):
        whole[name] = kept
    elif kept:
        whole[name] = kept[0]
    else:
        del whole[name]


def _parts(section: dict[str, Any], schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield each key whose value is a section, or a list of them where the schema says so, with the schema of it."""
    for name, field in schema.model_fields.items():
        part = BARE.get(name) or _model(field.annotation)
        if part and section.get(name) is not None and isinstance(section[name], list) == _is_list(field.annotation):
            yield name, part


def _model(annotation: Any) -> Schema | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model, get_args(annotation))), None)


def _is_list(annotation: Any) -> bool:
    return any(get_origin(kind) is list for kind in (annotation, *get_args(annotation)))


def _refusals(section: dict[str, Any], schema: Schema, place: str) -> Iterator[Finding]:
    try:
        validated(section, schema)
    except ValidationError as error:
        yield from _findings(error.errors(), section, place)
    except Exception as error:  # Serve's own checks of unusual values may stumble over their types.
        yield Finding(place, f"Serve cannot read this: {one_line(error)}")


def validated(section: dict[str, Any], schema: Schema) -> BaseModel:
    """Return the section as its schema reads it. Serve's warnings are left out, as it gives them when it deploys."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return schema.model_validate(section)


def _findings(errors: list[ErrorDetails], section: dict[str, Any], place: str) -> Iterator[Finding]:
    """Yield a finding for each place. The members of a union all complain about the same value."""
    sentences: dict[str, list[str]] = {}
    for error in errors:
        sentences.setdefault(_place(error, section, place), []).append(_sentence(error))
    for where, said in sentences.items():
        yield Finding(where, ", or: ".join(dict.fromkeys(said)))


def _place(error: ErrorDetails, section: Any, place: str) -> str:
    """Return where in the file an error is. Its own location also names the members of unions; those are no keys."""
    value = section
    for key in error["loc"]:
        if isinstance(value, list) and isinstance(key, int) and key < len(value):
            place, value = members(value, place)[key]
        elif isinstance(value, dict) and (key in value or error["type"] == "missing"):
            place, value = child(place, key), value.get(key)
    return place


def _sentence(error: ErrorDetails) -> str:
    said = " ".join(error["msg"].removeprefix("Value error, ").split())
    return said if error["type"] in SAYS_ENOUGH else f"{said} (it is {quoted(error['input'])})"
