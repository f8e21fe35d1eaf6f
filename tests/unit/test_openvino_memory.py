"""How much memory is left: the machine's, or the container's where that is less."""

import pytest

from deployments.serving.openvino.memory import available_bytes

MEMINFO = "MemTotal:       24000000 kB\nMemFree:         1000 kB\nMemAvailable:    3000 kB\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/meminfo": MEMINFO}, 3000 * 1024),
        ({"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5"}, 3072000),
        ({"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": "2000\n", "sys/fs/cgroup/memory.current": "500"}, 1500),
        ({}, None),
    ],
)
def test_the_least_that_is_left_counts(tmp_path, files, expected):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert available_bytes(tmp_path) == expected
