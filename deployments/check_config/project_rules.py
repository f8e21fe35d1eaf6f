"""The rules of this project for a Serve config, beyond Serve's schema: deployments, settings, models, time limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from deployments.check_config.findings import Finding, child, members, near
from deployments.check_config.import_paths import split
from deployments.config import ClipSettings, DriverSettings, GraphArgs, InpaintSettings, LedgerSettings, SamSettings
from deployments.errors import NotOnThisMachine
from deployments.launch import preflight

BUILDER = ("graph", "build_app")
USER_CONFIGS: dict[str, type[BaseModel]] = {
    "driver": DriverSettings,
    "clip": ClipSettings,
    "sam": SamSettings,
    "inpaint": InpaintSettings,
    "ledger": LedgerSettings,
}
SHUTDOWN_S = 20.0  # Serve's own, where a deployment says nothing
TIME_LIMIT = "http_options.request_timeout_s"


def applications(config: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the applications of a file that can be read at all, each with its place."""
    return _mappings(config.get("applications"), "applications")


def deployments(application: dict[str, Any], place: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the deployments of an application that can be read at all, each with its place."""
    return _mappings(application.get("deployments"), child(place, "deployments"))


def _mappings(value: Any, place: str) -> list[tuple[str, dict[str, Any]]]:
    items = members(value, place) if isinstance(value, list) else []
    return [(where, item) for where, item in items if isinstance(item, dict)]


def is_ours(application: dict[str, Any]) -> bool:
    """Tell whether this project builds the application; of others it knows neither settings nor deployments."""
    path = application.get("import_path")
    return isinstance(path, str) and split(path) == BUILDER


def settings(application: dict[str, Any], place: str) -> Iterator[tuple[str, type[BaseModel], Any]]:
    """Yield the place, the schema and the value of each section that this project reads itself."""
    yield child(place, "args"), GraphArgs, application.get("args")
    for inner, deployment in deployments(application, place):
        schema = USER_CONFIGS.get(str(deployment.get("name")))
        if schema:
            yield child(inner, "user_config"), schema, deployment.get("user_config")


def unknown_deployments(application: dict[str, Any], place: str) -> Iterator[Finding]:
    """Yield the deployments that the graph does not have."""
    for inner, deployment in deployments(application, place):
        name = deployment.get("name")
        if isinstance(name, str) and name not in USER_CONFIGS:
            there_are = f"there are {', '.join(USER_CONFIGS)}"
            yield Finding(inner, f"there is no deployment {name!r}{near(name, USER_CONFIGS)}; {there_are}")


def repeated_deployments(application: dict[str, Any], place: str) -> Iterator[Finding]:
    """Yield the deployments that stand more than once in the file: Serve would apply one after the other."""
    places = Counter(inner for inner, _ in deployments(application, place))
    for inner, count in places.items():
        if count > 1:  # Only deployments that have a name can share a place.
            yield Finding(inner, f"the deployment stands here {count} times; keep one")


def one_ledger(application: dict[str, Any], place: str) -> Iterator[Finding]:
    """Yield what would give the application several ledgers, each of which would know only a part of the requests."""
    for inner, deployment in deployments(application, place):
        if deployment.get("name") != "ledger":
            continue
        why = "a request that is sent again has to find the one ledger that knows it"
        if deployment.get("num_replicas") not in (None, 1):
            yield Finding(child(inner, "num_replicas"), f"must be 1: {why}")
        if deployment.get("autoscaling_config") is not None:
            yield Finding(child(inner, "autoscaling_config"), f"leave it out: {why}")


def time_limit(limit: float | None, application: dict[str, Any], place: str) -> Iterator[Finding]:
    """Yield what is wrong if Serve cuts a request off before the driver's deadline can answer it."""
    if limit is None or limit < 0:  # Serve takes a negative limit for none.
        return
    deadline = _deadline(application)
    key = f"{place}.deployments.driver.user_config.deadline_s"
    if deadline is None:
        yield Finding(TIME_LIMIT, f"cuts every request off after {limit:g} s, while {key} sets no deadline", "note")
    elif not limit > deadline:
        why = "Serve would cut a request off before the driver can say that its time is up"
        yield Finding(TIME_LIMIT, f"{limit:g} must be more than {key}, which is {deadline:g}: {why}")


def _deadline(application: dict[str, Any]) -> float | None:
    named = {deployment.get("name"): deployment for _, deployment in deployments(application, "")}
    return DriverSettings.model_validate(named.get("driver", {}).get("user_config") or {}).deadline_s


def time_to_end(application: dict[str, Any], place: str) -> Iterator[Finding]:
    """Yield what is wrong if an update kills a replica of the driver that still works within its deadline."""
    named = {deployment.get("name"): deployment for _, deployment in deployments(application, place)}
    if "driver" not in named:
        return
    allowed, deadline = named["driver"].get("graceful_shutdown_timeout_s", SHUTDOWN_S), _deadline(application)
    if deadline is not None and allowed < deadline:
        why = "a replica that is stopped, by an update or when the service shrinks, is killed after that time"
        key = f"{place}.deployments.driver.graceful_shutdown_timeout_s"
        yield Finding(key, f"{allowed:g} is less than the driver's deadline_s, which is {deadline:g}: {why}", "note")


def models(application: dict[str, Any], place: str) -> Iterator[Finding]:
    """Yield what keeps the models from being loaded, as far as this machine knows without the network."""
    try:
        args = GraphArgs.model_validate(application.get("args", {}))
    except ValidationError:  # Said where the settings are read.
        return
    for error in preflight.problems(args, reach_hub=False):
        where = f"{place}.args.{error.setting}"
        if isinstance(error, NotOnThisMachine):
            yield Finding(where, f"{error.missing}; another machine may have it", "note")
        else:
            yield Finding(where, error.problem)
