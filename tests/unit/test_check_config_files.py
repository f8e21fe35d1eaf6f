"""What can be read as a Serve config, and what is said of a file that cannot."""

import pytest
import yaml

from deployments.check_config.__main__ import main

APP = {"import_path": "graph:build_app"}
SERVE = yaml.safe_dump({"applications": [APP]})
SERVICE = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "retouch"}}
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}
TWICE = "is given twice in one mapping, and only the last would count"


def manifest(*documents):
    return yaml.safe_dump_all(documents)


def service(text, **changes):
    return {**SERVICE, "spec": {"serveConfigV2": text, "rayClusterConfig": {}}, **changes}


def check(path, capsys):
    code = main([str(path)])
    out, err = capsys.readouterr()
    return code, out, [line.removeprefix(f"{path}: ") for line in err.splitlines()]


READABLE = {
    "a Serve config": SERVE,
    "a byte order mark": "\ufeff" + SERVE,
    "a RayService": manifest(service(SERVE)),
    "among other kinds": manifest(OTHER, service(SERVE), None, OTHER),
}


@pytest.mark.parametrize("case", READABLE)
def test_files_in_order(case, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    path.write_text(READABLE[case])
    code, out, err = check(path, capsys)
    assert (code, err) == (0, [])
    assert out.endswith(f"in order: {path}\n")


def test_a_key_that_replaces_a_merged_one_is_not_given_twice(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    first = "applications:\n  - &first {import_path: 'graph:build_app', name: first, route_prefix: /first}\n"
    path.write_text(first + "  - &second {<<: *first, name: second, route_prefix: /}\n")
    code, _, err = check(path, capsys)
    assert (code, err) == (0, [])


UNREADABLE = {
    "empty": ("", "holds nothing"),
    "only a comment": ("# nothing\n", "holds nothing"),
    "a text": ("just a text", "must hold a mapping of keys, not 'just a text'"),
    "a list": ("- 1\n", "must hold a mapping of keys, not [1]"),
    "syntax": (
        "applications:\n  - {name: a\n",
        "line 3: this is not YAML: expected ',' or '}', but got '<stream end>'",
    ),
    "a tab": ("a:\n\tb: 1\n", "line 2: this is not YAML: found character '\\t' that cannot start any token"),
    "a zero byte": ("a: \0", "this is not YAML: ReaderError: unacceptable character #x0000: "),
    "a date that does not exist": ("a: 2024-13-45", "this is not YAML: ValueError: month must be in 1..12"),
    "a mapping for a key": ("a: 1\n[1]: 2\n", "line 2: this is not YAML: found unhashable key"),
    "two configs": (SERVE + "---\n" + SERVE, "holds 2 documents, and Serve reads a single one"),
    "another kind": (manifest(OTHER), "holds neither a Serve config nor a RayService"),
    "a service without a config": (
        manifest({**SERVICE, "spec": {}}),
        "retouch: spec.serveConfigV2: must be a Serve config as a text (`serveConfigV2: |`), not None",
    ),
    "a service whose spec is a list": (
        manifest({**SERVICE, "spec": [1]}),
        "retouch: spec.serveConfigV2: must be a Serve config as a text (`serveConfigV2: |`), not None",
    ),
    "a service with a mapping": (
        manifest(service({"applications": [APP]})),
        "retouch: spec.serveConfigV2: must be a Serve config as a text (`serveConfigV2: |`), not {",
    ),
    "a service with a broken text": (
        manifest(service("applications:\n  - {name: a\n")),
        "retouch: spec.serveConfigV2 line 3: this is not YAML: expected ',' or '}'",
    ),
    "a service with nothing in the text": (manifest(service("")), "retouch: spec.serveConfigV2: holds nothing"),
    "a service without a name": (manifest(service("", metadata=[])), "RayService 1: spec.serveConfigV2: holds nothing"),
    "the second service": (
        manifest(service(SERVE), service("applications: x", metadata={"name": "second"})),
        "second: applications: Input should be a valid list (it is 'x')",
    ),
    "a key twice": (SERVE + "applications: []\n", f"line 3: the key 'applications' {TWICE}"),
    "a key twice in a service": (
        manifest(service("http_options: {port: 1, port: 2}\n" + SERVE)),
        f"retouch: spec.serveConfigV2 line 1: the key 'port' {TWICE}",
    ),
    "a key twice around a service": (manifest(service(SERVE)) + "kind: RayService\n", f"the key 'kind' {TWICE}"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_wrong_with_the_file_is_one_line(case, tmp_path, capsys):
    text, sentence = UNREADABLE[case]
    path = tmp_path / "config.yaml"
    path.write_text(text)
    code, _, err = check(path, capsys)
    assert (code, len(err)) == (1, 1)
    assert sentence in err[0]
    assert err[0].startswith(sentence) or sentence.startswith("the key")


def test_a_service_is_named_before_the_place(tmp_path, capsys):
    path = tmp_path / "service.yaml"
    path.write_text(manifest(service(yaml.safe_dump({"applications": [{**APP, "route_prefx": "/"}]}))))
    code, out, err = check(path, capsys)
    assert (code, err) == (1, ["retouch: applications[0].route_prefx: unknown key; did you mean 'route_prefix'?"])
    assert f"{path}: retouch: needs no GPU" in out


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert check(tmp_path / "nope.yaml", capsys)[::2] == (1, ["the file cannot be read: No such file or directory"])
    assert check(tmp_path, capsys)[::2] == (1, ["the file cannot be read: Is a directory"])


def test_a_file_that_is_not_utf_8(tmp_path, capsys):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    assert check(path, capsys)[::2] == (1, ["the file is not UTF-8 text (byte 10)"])
