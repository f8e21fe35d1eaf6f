"""Checks a Serve config file for what Ray Serve would silently ignore or only find out later.

Ray Serve's schema is lenient: a key it does not know, at any level, is dropped without a word. This
refuses unknown keys everywhere, unknown deployments, wrong `args` and `user_config`, and GPU fractions
that do not fit a whole number of GPUs.

    python -m deployments.check_config serve_config.yaml
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import DeploymentSchema, RayActorOptionsSchema, ServeApplicationSchema, ServeDeploySchema

from deployments.config import ClipSettings, DriverSettings, GraphArgs, InpaintSettings, SamSettings

BUILDER = "graph:build_app"
USER_CONFIGS: dict[str, type[BaseModel]] = {
    "driver": DriverSettings,
    "clip": ClipSettings,
    "sam": SamSettings,
    "inpaint": InpaintSettings,
}


def problems(config: Any) -> Iterator[str]:
    """One line for each thing that is wrong, with the path of the key; nothing when all is well."""
    if not isinstance(config, dict):
        yield "the file must hold a mapping of keys"
        return
    yield from _unknown_keys(config, ServeDeploySchema, "")
    yield from _invalid(config, ServeDeploySchema, "")
    for number, application in enumerate(config.get("applications") or []):
        yield from _application(application, f"applications[{number}]")


def _application(application: dict[str, Any], path: str) -> Iterator[str]:
    yield from _unknown_keys(application, ServeApplicationSchema, path)
    if application.get("import_path") == BUILDER:
        yield from _invalid(application.get("args") or {}, GraphArgs, f"{path}.args")
    for deployment in application.get("deployments") or []:
        yield from _deployment(deployment, f"{path}.deployments.{deployment.get('name')}")


def _deployment(deployment: dict[str, Any], path: str) -> Iterator[str]:
    yield from _unknown_keys(deployment, DeploymentSchema, path)
    scaling = deployment.get("autoscaling_config") or {}
    yield from _unknown_keys(scaling, AutoscalingConfig, f"{path}.autoscaling_config")
    yield from _invalid(scaling, AutoscalingConfig, f"{path}.autoscaling_config")
    options = deployment.get("ray_actor_options") or {}
    yield from _unknown_keys(options, RayActorOptionsSchema, f"{path}.ray_actor_options")
    share = options.get("num_gpus", 0)
    if share > 1 and share != int(share):
        yield f"{path}.ray_actor_options.num_gpus: {share} is more than one GPU but not a whole number"
    name = deployment.get("name")
    if name not in USER_CONFIGS:
        yield f"{path}: there is no deployment {name!r}; there are {', '.join(USER_CONFIGS)}"
        return
    yield from _invalid(deployment.get("user_config") or {}, USER_CONFIGS[name], f"{path}.user_config")


def _unknown_keys(config: Any, schema: type[BaseModel], path: str) -> Iterator[str]:
    if isinstance(config, dict):
        for key in config:
            if key not in schema.model_fields:
                yield f"{path}.{key}".lstrip(".") + ": unknown key"


def _invalid(config: Any, schema: type[BaseModel], path: str) -> Iterator[str]:
    try:
        schema.model_validate(config)
    except ValidationError as error:
        for problem in error.errors():
            place = ".".join([path, *map(str, problem["loc"])]).strip(".")
            yield f"{place}: {problem['msg']}"


def main(argv: list[str]) -> int:
    """0 when the files are in order, 1 when not, 2 for wrong use."""
    if not argv:
        print("usage: python -m deployments.check_config FILE.yaml ...", file=sys.stderr)
        return 2
    found = [f"{name}: {problem}" for name in argv for problem in problems(yaml.safe_load(Path(name).read_text()))]
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print("in order: " + " ".join(argv))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
