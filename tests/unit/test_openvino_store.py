"""Compiled models on disk: whole or not there, however many processes share the folder, and never too many."""

import os
import stat
import threading

import pytest

from deployments.serving.openvino import store as stores
from deployments.serving.openvino.store import Store, default_folder


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def found(store, key):
    entry = store.find(key)
    return None if entry is None else entry.tobytes()


def test_an_entry_is_found_by_its_key_alone(store):
    store.keep("one", b"first")
    store.keep("two", b"second")
    assert (found(store, "one"), found(store, "two"), found(store, "three")) == (b"first", b"second", None)
    assert found(Store(store.folder), "one") == b"first"


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-1], lambda whole: whole[:7] + b"x" + whole[8:], lambda _: b""]
)
def test_a_damaged_entry_is_not_there_and_can_be_written_again(store, damage):
    store.keep("one", b"a compiled model")
    (path,) = store.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert found(store, "one") is None
    store.keep("one", b"a compiled model")
    assert found(store, "one") == b"a compiled model"


def test_those_used_last_are_kept(tmp_path):
    store = Store(tmp_path, most_bytes=3 * (100 + stores.DIGEST_BYTES))
    for age, key in enumerate(("one", "two", "three")):
        store.keep(key, bytes(100))
        os.utime(store._path(key), (age, age))
    assert found(store, "one") is not None  # which makes it the one used last
    store.keep("four", bytes(100))
    assert [key for key in ("one", "two", "three", "four") if found(store, key) is not None] == ["one", "three", "four"]


def test_an_entry_larger_than_all_may_be_is_kept_alone(tmp_path):
    store = Store(tmp_path, most_bytes=100)
    store.keep("small", bytes(10))
    store.keep("large", bytes(1000))
    assert (found(store, "small"), found(store, "large")) == (None, bytes(1000))


def test_writers_of_one_entry_never_show_a_part_of_it(tmp_path):
    contents = [bytes([number]) * 300_000 for number in range(4)]
    store = Store(tmp_path)
    store.keep("one", contents[0])
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            seen.add(found(Store(tmp_path), "one"))

    def write(content):
        for _ in range(20):
            Store(tmp_path).keep("one", content)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert seen <= set(contents)
    assert [path.suffix for path in tmp_path.iterdir()] == [stores.SUFFIX]


def test_the_environment_says_where(monkeypatch, tmp_path):
    monkeypatch.setenv("RETOUCH_CACHE_DIR", "/named")
    assert str(default_folder()) == "/named/openvino"
    monkeypatch.delenv("RETOUCH_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert str(default_folder()) == "/caches/retouch/openvino"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert str(default_folder()) == "/home/ann/.cache/retouch/openvino"


def test_the_folder_is_the_users_alone(store):
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_where_nothing_can_be_written_entries_live_as_long_as_the_process(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file" / "cache")
    store.keep("one", b"first")
    assert found(store, "one") == b"first"
    assert "cannot be written" in caplog.text
