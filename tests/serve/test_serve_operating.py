"""What a load balancer, a monitor and a browser see of the graph on real Serve: readiness, HEAD and CORS."""

import socket
import time

import httpx
import pytest

from deployments.config import GraphArgs, ModelArgs
from deployments.serving import status

HOME = "https://app.example"
# Sleeps while nobody asks anything of it, and falls asleep at the pace of a test.
SLEEPY = {
    "min_replicas": 0,
    "max_replicas": 1,
    "initial_replicas": 0,
    "look_back_period_s": 11.0,  # Serve wants more than the ten seconds between two reports
    "upscale_delay_s": 0.2,
    "downscale_delay_s": 2.0,
    "downscale_to_zero_delay_s": 2.0,
}
READS = ["/", "/healthz", "/readyz", "/v1/models", "/v1/models/retouch", "/docs", "/openapi.json"]


@pytest.fixture(scope="module")
def sleepy(ray_cluster, http_port):
    """The address of a pocket graph whose SAM is scaled to zero while it has no work; pages of HOME may call it."""
    from ray import serve

    import graph

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(graph.DEFAULTS, "sam", {**graph.DEFAULTS["sam"], "autoscaling_config": SLEEPY})
        app = graph.build(GraphArgs(), {"cors_origins": [HOME]})
    serve.run(app, name="sleepy", route_prefix="/sleepy")
    yield f"http://127.0.0.1:{http_port}/sleepy"
    serve.delete("sleepy")


def get(url, **headers):
    """Asks, with patience: a request waits while the driver is being started."""
    return httpx.get(url, headers=headers, timeout=60)


def sam_replicas():
    """State -> number of replicas, of the SAM that sleeps."""
    from ray import serve

    return serve.status().applications["sleepy"].deployments["sam"].replica_states


def wait_for(condition, timeout_s=90):
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.2)


def test_a_setting_that_cannot_be_used_is_named_by_the_probe(ray_cluster, http_port):
    from ray import serve

    from graph import build_app

    app = build_app(GraphArgs(sam=ModelArgs(model="/nowhere/secret.pth")))
    target = serve.RunTarget(app, name="broken", route_prefix="/broken")
    serve.run_many([target], wait_for_applications_running=False)
    url = f"http://127.0.0.1:{http_port}/broken/readyz"
    wait_for(lambda: "sam.model" in get(url).text)
    first_failure = status.read("broken")["sam"]
    wait_for(lambda: serve.status().applications["broken"].status == "DEPLOY_FAILED")
    wait_for(lambda: get(url).json()["stages"] == {"clip": True, "sam": False, "inpaint": True})
    answer = get(url)
    serve.delete("broken")
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "Not ready: sam cannot start; see its setting sam.model."
    assert "secret" not in answer.text
    assert not first_failure.ready
    assert first_failure.cause.startswith("sam.model: ")
    assert "/nowhere/secret.pth" in first_failure.cause
    assert status.read("broken") == {}


def test_probes_neither_wake_a_stage_nor_keep_it_awake(sleepy, png):
    assert sam_replicas() == {}
    for _ in range(20):
        answer = get(f"{sleepy}/readyz")
        assert answer.status_code == 200, answer.text
        assert sam_replicas() == {}
        time.sleep(0.15)
    found = httpx.post(f"{sleepy}/v1/locate", data={"target": "the dog"}, files={"image": png}, timeout=120)
    assert found.status_code == 200
    assert sam_replicas() == {"RUNNING": 1}

    def asleep():
        assert get(f"{sleepy}/readyz").status_code == 200
        return sam_replicas() == {}

    wait_for(asleep)


@pytest.mark.parametrize("path", READS)
def test_head_is_get_without_a_body(sleepy, path):
    headers = {"x-request-id": "same-1"}
    whole, head = (httpx.request(method, sleepy + path, headers=headers, timeout=60) for method in ("GET", "HEAD"))
    assert (whole.status_code, head.status_code) == (200, 200)
    assert head.content == b""
    assert int(head.headers["content-length"]) == len(whole.content) > 0
    assert set(head.headers) == set(whole.headers)


def test_head_leaves_the_connection_in_step(sleepy, http_port):
    with socket.create_connection(("127.0.0.1", http_port), timeout=10) as connection:
        connection.sendall(b"HEAD /sleepy/readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        head = connection.recv(65536)
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        connection.sendall(b"GET /sleepy/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        next_answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert next_answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert next_answer.endswith(b'{"status":"ok"}')


def test_pages_of_an_origin_that_is_allowed_may_call(sleepy):
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    asked = httpx.options(f"{sleepy}/v1/images/edits", headers={"origin": HOME, **preflight})
    refused = httpx.post(f"{sleepy}/v1/images/edits", headers={"origin": HOME})
    assert (asked.status_code, refused.status_code) == (200, 415)
    for answer in (asked, refused):
        assert answer.headers["access-control-allow-origin"] == HOME
        assert "Origin" in answer.headers["vary"]
    foreign = get(f"{sleepy}/healthz", origin="https://elsewhere.example")
    assert "access-control-allow-origin" not in foreign.headers


def test_a_controller_that_is_restarted_makes_nothing_unready(sleepy):
    import ray
    from ray import serve

    assert get(f"{sleepy}/readyz").status_code == 200
    ray.kill(ray.get_actor("SERVE_CONTROLLER_ACTOR", namespace="serve"), no_restart=False)
    for _ in range(30):
        answer = get(f"{sleepy}/readyz")
        assert answer.status_code == 200, answer.text
        time.sleep(0.1)
    wait_for(lambda: serve.status().applications["sleepy"].status == "RUNNING")
