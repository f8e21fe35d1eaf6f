"""One Ray for the whole suite, with declared GPUs so that fractions can be scheduled without a card."""

import os
import socket
import time
import warnings
from collections import Counter

import numpy as np
import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Small models gain nothing from a second thread, and on a busy machine lose a lot by waiting for it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] = "deployments.http.proxy:middleware"
# Autoscaling is watched at the pace of a test, not of a data centre.
os.environ.setdefault("RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S", "0.5")
# So are the figures for Prometheus.
os.environ.setdefault("RAY_metrics_report_interval_ms", "1000")
# Ray gives its workers a low priority: beside another worker of pytest's, replicas would get next to no time.
os.environ.setdefault("RAY_worker_niceness", "0")


def pytest_configure(config):
    # Kept from run to run, since compiling takes half minutes, and apart from the user's own.
    os.environ["RETOUCH_CACHE_DIR"] = str(config.cache.mkdir("compiled"))


# Side by side (`make test`): the rooms that take longest, in the order in which they are best begun,
LONG = ("serve", "models", "browser")
# and those whose tests share what there should be only once: one Ray, one browser.
UNDIVIDED = ("serve", "browser")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each file to one worker as a whole, and so each room that cannot be divided."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByRoom(LoadFileScheduling):
        def _split_scope(self, nodeid):
            room = room_of(nodeid)
            return room if room in UNDIVIDED else super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # what comes first is said below, and not by the number of tests
    return ByRoom(config, log)


def pytest_collection_modifyitems(config, items):
    twice = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if twice:
        raise pytest.UsageError(f"side by side only one of the tests with the same name would run: {', '.join(twice)}")
    if hasattr(config, "workerinput"):  # one of several workers
        ranks = {room: rank for rank, room in enumerate(LONG)}
        items.sort(key=lambda item: ranks.get(room_of(item.nodeid), len(LONG)))


def room_of(nodeid):
    """Return the folder below `tests` that a test is in."""
    return nodeid.split("/")[1]


class Recorded:
    """A recorder of metrics that keeps what it gets, and refuses what Ray would refuse."""

    def __init__(self):
        self._records = []

    def record(self, metric, value, tags):
        assert set(tags) == set(metric.tags)
        assert type(value) in (int, float)
        assert value > 0 or metric.kind != "counter"
        self._records.append((metric, value, dict(tags)))

    def values(self, metric, **tags):
        """What was recorded for the metric, in order, where it has these tags among its own."""
        return [value for its, value, its_tags in self._records if its is metric and tags.items() <= its_tags.items()]


@pytest.fixture
def metrics():
    return Recorded()


@pytest.fixture(scope="session")
def http_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def ray_cluster(http_port):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        from ray import serve

        ray.init(
            num_cpus=8,
            num_gpus=1,
            include_dashboard=False,
            object_store_memory=256 * 2**20,
            log_to_driver=False,
        )
        serve.start(http_options={"host": "127.0.0.1", "port": http_port}, proxy_location="HeadOnly")
    yield
    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="session")
def handle(ray_cluster):
    """The pocket graph, with nothing configured, as `make serve` runs it."""
    from ray import serve

    from deployments.config import GraphArgs
    from graph import build_app

    serve.run(build_app(GraphArgs()), name="retouch", route_prefix="/")
    return serve.get_app_handle("retouch")


def replicas(deployment):
    """The names of the live replica actors of a deployment of the pocket graph."""
    import ray

    named = [entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True)]
    return [name for name in named if name.startswith(f"SERVE_REPLICA::retouch#{deployment}#")]


@pytest.fixture(scope="session")
def kill_replicas(handle):
    """Kills all live replicas of a deployment of the pocket graph; returns how many those were."""
    import ray

    def kill(deployment):
        names = replicas(deployment)
        for name in names:
            ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)
        return len(names)

    return kill


@pytest.fixture
def settled(handle):
    """Every deployment of the pocket graph has a running replica again, whatever was killed before."""
    from ray import serve

    def running(name, deployment):
        # Serve goes on calling a replica running until it has looked again; its actor is gone at once.
        return deployment.status == "HEALTHY" and deployment.replica_states.get("RUNNING") and replicas(name)

    until = time.monotonic() + 120
    while time.monotonic() < until:
        if all(running(*one) for one in serve.status().applications["retouch"].deployments.items()):
            return
        time.sleep(0.2)
    raise TimeoutError("the graph did not recover")


@pytest.fixture(scope="session")
def base_url(handle, http_port):
    return f"http://127.0.0.1:{http_port}"


@pytest.fixture(scope="session")
def scene():
    """A red apple, a cactus and a dog on a graded ground; from the evaluation stream."""
    from pocket import world
    from pocket.vocabulary import BY_NAME

    stickers = [BY_NAME[name] for name in ("red apple", "cactus", "dog")]
    composed = world.compose(world.evaluation_rng(9, 1), (320, 256), stickers, "graded")
    assert len(composed.placed) == 3
    return composed


@pytest.fixture(scope="session")
def masks(scene):
    """Name -> HxW bool."""
    return {placed.sticker.name: placed.mask for placed in scene.placed}


@pytest.fixture(scope="session")
def png(scene):
    from deployments.pixels.files import encode

    return encode(scene.image)


def overlap(a, b):
    """Intersection over union of two bool masks."""
    return (a & b).sum() / np.maximum(1, (a | b).sum())
