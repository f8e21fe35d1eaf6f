"""The page for people as HTTP sees it: who gets it, under which headers, and that all of it is in the package."""

import re
import tomllib
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from deployments.http.api import build_api

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "deployments" / "http" / "page"
FILES = sorted(path.name for path in PAGE.iterdir())
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
MOST_BYTES = 145_000


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML;q=0.5", True),
        ("text/html;q=0.9, application/json;q=0.8", True),
        ("text/html;q=0.8, application/json;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
        ("*/*", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_the_page_goes_to_those_who_ask_for_html(client, accept, is_page):
    answer = client.get("/", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == ("text/html; charset=utf-8" if is_page else "application/json")
    assert answer.headers["vary"] == "Accept"
    assert is_page or answer.json()["limits"]["max_pixels"]


def test_head_of_the_page_is_get_without_a_body(client):
    headers = {"accept": BROWSER, "x-request-id": "same-1"}
    get, head = client.get("/", headers=headers), client.head("/", headers=headers)
    assert head.content == b""
    assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_policy_allows_nothing_but_our_own_files(client, path):
    headers = client.get(path, headers={"accept": BROWSER}).headers
    assert headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("main.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("sample.webp", "image/webp"),
    ],
)
def test_files_have_fixed_types_and_are_asked_for_again_only_when_they_changed(client, name, kind):
    answer = client.get(f"/page/{name}")
    assert answer.content == (PAGE / name).read_bytes()
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == (kind, "no-cache")
    tag = answer.headers["etag"]
    for known in (tag, f'"other", W/{tag}'):
        again = client.get(f"/page/{name}", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(f"/page/{name}", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "site.py", "../site.py", "%2e%2e%2fsite.py", ".", "page", "main.js/"])
def test_there_are_no_other_files(client, name):
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host_or_an_absolute_path(name):
    if name.endswith((".webp", ".svg")):
        return
    text = (PAGE / name).read_text(encoding="utf-8")
    assert not re.search(r"https?://|[\"'(]//|(?:href|src)=\"/|fetch\(\"/", text)
    assert not re.search(r"<[^>]+\sstyle=|<style|\son[a-z]+=\"|innerHTML|outerHTML|insertAdjacentHTML", text)


def test_each_module_is_loaded_at_once(client):
    """Without the preloads the browser would find each module only in the one before."""
    page = client.get("/", headers={"accept": BROWSER}).text
    loaded = set(re.findall(r'(?:href|src)="page/([\w.]+js)"', page))
    needed, open_files = set(), ["main.js"]
    while open_files:
        name = open_files.pop()
        needed.add(name)
        imports = re.findall(r'from "\./([\w.]+)"', (PAGE / name).read_text(encoding="utf-8"))
        open_files += [file for file in imports if file not in needed]
    assert loaded == needed


def test_the_page_is_light():
    files = [PAGE / name for name in FILES if not name.startswith(("docs.", "sample."))]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


def test_every_file_is_in_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["deployments.http"]
    packed = {path.name for pattern in patterns for path in PAGE.parent.glob(pattern)}
    assert set(FILES) <= packed


def test_the_prefix_alone_leads_to_the_page(driver):
    client = TestClient(build_api(driver), root_path="/team/retouch", follow_redirects=False)
    answer = client.get("http://testserver/team/retouch", headers={"accept": BROWSER, "host": "evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (307, "retouch/")
    assert client.get("/team/retouch/", headers={"accept": BROWSER}).headers["content-type"].startswith("text/html")
    assert client.get("/team/retouch/page/main.js").status_code == 200


def test_the_documentation_needs_no_other_host(client):
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert re.findall(r'(?:href|src)="([^"]+)"', answer.text)
    assert "/docs" not in client.get("/openapi.json").json()["paths"]
