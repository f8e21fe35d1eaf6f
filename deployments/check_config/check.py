"""Run all checks of one Serve config, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from deployments.check_config import gpu_needs, project_rules
from deployments.check_config.findings import Finding
from deployments.check_config.import_paths import application_problem, import_problem
from deployments.check_config.sections import Entry, accepted, entries, unknown_key, validated

IMPORTS = {"import_path", "policy_function", "request_router_class", "actor_class"}


def findings(config: dict[str, Any], gpus: int | None = None) -> list[Finding]:
    """Return all findings about a Serve config; `gpus` is how many GPUs the cluster has, None if that is not known."""
    applications = project_rules.applications(config)
    found = list(_of_keys(config))
    refused: list[Finding] = []
    read = accepted(config, ServeDeploySchema, "", refused)
    for place, application in applications:
        found += [*_of_imports(application, place), *project_rules.repeated_deployments(application, place)]
        if project_rules.is_ours(application):
            found += [*project_rules.unknown_deployments(application, place), *project_rules.models(application, place)]
            found += project_rules.one_ledger(application, place)
            _read_settings(application, place, refused)
    said = {finding.place for finding in found}
    found += [finding for finding in refused if finding.place not in said]
    if not refused and read is not None:
        found += _of_whole(read, found, gpus)
    return list(dict.fromkeys(found))


def _of_keys(config: dict[str, Any]) -> Iterator[Finding]:
    for entry in _all_entries(config):
        problem = gpu_needs.share_problem(entry.value) if entry.key == "num_gpus" else None
        yield from filter(None, [unknown_key(entry), Finding(entry.place, problem) if problem else None])


def _all_entries(config: dict[str, Any]) -> Iterator[Entry]:
    yield from entries(config, ServeDeploySchema, "")
    for place, application in project_rules.applications(config):
        if project_rules.is_ours(application):
            for inner, schema, value in project_rules.settings(application, place):
                yield from entries(value, schema, inner)


def _of_imports(application: dict[str, Any], place: str) -> Iterator[Finding]:
    """Yield what cannot be imported. It is a note where an application brings code, which may have it."""
    env = application.get("runtime_env")
    brings_code = isinstance(env, dict) and bool(env.get("working_dir") or env.get("py_modules"))
    for entry in entries(application, ServeApplicationSchema, place):
        if entry.key in IMPORTS:
            check = application_problem if entry.key == "import_path" else import_problem
            problem = check(entry.value)
            if problem and brings_code:
                yield Finding(
                    entry.place, f"{problem}, here; the code that runtime_env brings was not looked at", "note"
                )
            elif problem:
                yield Finding(entry.place, problem)


def _read_settings(application: dict[str, Any], place: str, refused: list[Finding]) -> None:
    for inner, schema, value in project_rules.settings(application, place):
        if isinstance(value, dict):  # Serve itself refuses what is no mapping.
            accepted(value, schema, inner, refused)


def _of_whole(read: dict[str, Any], found: list[Finding], gpus: int | None) -> Iterator[Finding]:
    """Yield the findings about several keys together. Serve has to accept every part of the config."""
    config = validated(read, ServeDeploySchema).model_dump(exclude_unset=True)
    said = {finding.place for finding in found}
    limit = config.get("http_options", {}).get("request_timeout_s")
    for place, application in project_rules.applications(config):
        if project_rules.is_ours(application):
            yield from project_rules.time_limit(limit, application, place)
            yield from project_rules.time_to_end(application, place)
        elif f"{place}.import_path" not in said:
            yield Finding(place, "is not built by this project; what its code sets itself is not known here", "note")
    if not any(place.endswith((".num_gpus", ".import_path")) for place in said):
        yield from gpu_needs.findings(list(_needs(config["applications"])), gpus)


def _needs(applications: list[dict[str, Any]]) -> Iterator[gpu_needs.Need]:
    """Yield the GPUs that each deployment needs, including those that only the graph and not the file names."""
    import graph  # Not at the top: a graph that cannot be imported is a finding, not an end of the check.

    for application in applications:
        label = f"{application.get('name', 'default')}/" if len(applications) > 1 else ""
        named = {deployment["name"]: deployment for deployment in application.get("deployments", [])}
        defaults = graph.DEFAULTS if project_rules.is_ours(application) else {}
        for name in [*named, *(defaults.keys() - named.keys())]:
            yield gpu_needs.need(label + name, named.get(name, {}), defaults.get(name, {}))
