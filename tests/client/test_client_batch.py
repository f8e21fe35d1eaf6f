"""`retouch batch`: which edits it makes, what it leaves behind, and how it goes on."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from retouch import AsyncRetouch

Capture = pytest.CaptureFixture[str]
ServiceError = Callable[..., httpx.Response]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three pictures, in different formats, and of a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(("a.jpg", "b.PNG", "c.webp")):
        Image.new("RGB", (48, 32), (40 * number, 120, 150)).save(folder / name)
    (folder / "notes.txt").write_text("none")
    (folder / ".hidden.png").write_text("none")
    return folder


def results(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def by_image(folder: Path) -> dict[str, dict[str, str]]:
    return {Path(row["image"]).name: row for row in results(folder)}


def table(folder: Path, *lines: str) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_each_picture_of_a_folder_is_edited(service: Any, photos: Path, capsys: Capture) -> None:
    assert service.run("batch", photos, "a lemon", "--target", "the apple", "--seed", 5) == 0
    out = photos.with_name("photos-edited")
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "c.png", "results.csv"]
    assert [seen.texts["prompt"] for seen in service.seen] == ["a lemon"] * 3
    assert {seen.texts["target"] for seen in service.seen} == {"the apple"}
    row = by_image(out)["a.jpg"]
    assert float(row.pop("seconds")) >= 0
    assert len(row.pop("digest")) == 64
    assert row == {
        "image": str(photos / "a.jpg"),
        "output": "a.png",
        "status": "done",
        "code": "",
        "message": "",
        "seed": "5",
        "score_before": "0.2",
        "score_after": "0.29",
        "improved": "true",
        "request_id": "req-1",
    }
    with Image.open(out / "a.png") as edited:
        assert edited.getpixel((0, 0)) == (200, 190, 10)
    shown = capsys.readouterr()
    assert shown.out.startswith(f"✔ {out}\n  done     3 of 3\n  results  {out}/results.csv\n")
    assert sorted(shown.err.splitlines()[1:])[0].startswith(f"[1/3] {photos}/")


def test_a_row_says_what_its_edit_is_and_the_command_line_says_the_rest(service: Any, photos: Path) -> None:
    rows = table(
        photos,
        "\ufeffimage,prompt,target,seed,points,labels,box,mask,all,strength,fill",
        'a.jpg,a lemon,,7,"12,8; 20,9","1,0",,,,0.5,blur',
        f"{photos}/b.PNG,,the pear,,,,,c.webp,no,,",
        'c.webp,a fig,,,,,"1,2,30,20",,TRUE,,',
    )
    words = ["--target", "the apple", "--seed", 1, "--point", "1,1", "--not-point", "2,2", "--steps", 9]
    assert service.run("batch", rows, "a plum", *words, "--workers", 1) == 0
    first, second, third = (seen.texts for seen in service.seen)
    assert (first["prompt"], first["target"], first["seed"]) == ("a lemon", "the apple", "7")
    assert (first["points"], first["labels"]) == ("12,8; 20,9", "1,0")
    assert (first["strength"], first["fill"], first["num_inference_steps"]) == ("0.5", "blur", "9")
    assert (second["prompt"], second["target"], second["seed"], second["all"]) == ("a plum", "the pear", "1", "false")
    assert (second["points"], second["labels"]) == ("1,1; 2,2", "1,0")
    assert (third["box"], third["all"]) == ("1,2,30,20", "true")
    assert service.seen[1].form["mask"].content == (photos / "c.webp").read_bytes()
    assert sorted(path.name for path in (photos / "rows-edited").glob("*.png")) == ["a.png", "b.png", "c.png"]


def test_points_of_a_row_do_not_get_the_labels_of_the_command_line(service: Any, photos: Path) -> None:
    rows = table(photos, "image,points", 'a.jpg,"12,8"')
    assert service.run("batch", rows, "a plum", "--point", "1,1", "--not-point", "2,2") == 0
    assert service.seen[0].texts["points"] == "12,8"
    assert "labels" not in service.seen[0].texts


def test_a_batch_of_removals_needs_no_prompt(service: Any, photos: Path) -> None:
    assert service.run("batch", photos, "--remove", "--target", "the apple") == 0
    assert all(seen.texts["mode"] == "remove" and "prompt" not in seen.texts for seen in service.seen)
    row = by_image(photos.with_name("photos-edited"))["a.jpg"]
    assert (row["status"], row["seed"], row["score_before"]) == ("done", "", "0.29")


def test_one_row_of_a_table_may_be_a_removal(service: Any, photos: Path) -> None:
    rows = table(photos, "image,mode,target", "a.jpg,remove,the apple", "b.PNG,,")
    assert service.run("batch", rows, "a plum", "--workers", 1) == 0
    assert [seen.texts.get("prompt") for seen in service.seen] == [None, "a plum"]


def test_pictures_of_one_name_get_names_of_their_own(service: Any, photos: Path) -> None:
    (photos / "more").mkdir()
    Image.new("RGB", (48, 32)).save(photos / "more" / "a.png")
    rows = table(
        photos, "image,prompt", "a.jpg,a lemon", "a.jpg,a plum", "more/a.png,a fig", "b.PNG,a fig", "a.jpg,a plum"
    )
    assert service.run("batch", rows) == 0
    rows_done = results(photos / "rows-edited")
    names = {row["output"] for row in rows_done}
    assert len(names) == len(list((photos / "rows-edited").glob("*.png"))) == 5
    assert "b.png" in names
    assert {row["output"] for row in rows_done if row["output"] != "b.png"} == {
        f"a-{row['digest'][:8]}.png" for row in rows_done if row["output"] != "b.png"
    }


def test_second_pictures_do_not_take_the_name_of_another_row(service: Any, photos: Path) -> None:
    (photos / "b.PNG").rename(photos / "a-2.png")
    assert service.run("batch", photos, "a lemon", "--n", 2) == 0
    out = photos.with_name("photos-edited")
    assert len(list(out.glob("*.png"))) == 6
    assert by_image(out)["c.webp"]["output"] == "c.png"
    assert (out / "c-2.png").exists()


def test_one_failure_does_not_stop_the_rest(
    service: Any, service_error: ServiceError, photos: Path, capsys: Capture
) -> None:
    service.instead = [
        service_error(422, "Found nothing that matches.", "target_not_found"),
        service_error(400, "The seed is wrong.", "invalid_value"),
    ]
    (photos / "d.png").symlink_to(photos / "nowhere.png")
    rows = table(photos, "image", "a.jpg", "b.PNG", "d.png", "c.webp")
    assert service.run("batch", rows, "a lemon", "--workers", 1) == 1
    ended = by_image(photos / "rows-edited")
    assert {name: (row["status"], row["code"], row["message"]) for name, row in ended.items()} == {
        "a.jpg": ("not_found", "target_not_found", "Found nothing that matches."),
        "b.PNG": ("failed", "invalid_value", "The seed is wrong."),
        "d.png": ("failed", "unreadable_file", f"{photos}/d.png cannot be read: No such file or directory"),
        "c.webp": ("done", "", ""),
    }
    assert ended["a.jpg"]["request_id"] == "req-9"
    shown = capsys.readouterr()
    assert "  done       1 of 4\n  not found  1\n  failed     2\n" in shown.out
    assert f"[2/4] {photos}/b.PNG: failed, The seed is wrong.\n" in shown.err


def test_the_next_run_does_what_is_not_done_and_nothing_else(
    service: Any, service_error: ServiceError, photos: Path, capsys: Capture
) -> None:
    service.instead = [service_error(500, code="model_failed") for _ in range(3)]
    assert service.run("batch", photos, "a lemon", "--workers", 1) == 1
    out = photos.with_name("photos-edited")
    before = by_image(out)
    assert before["a.jpg"]["status"] == "failed"
    service.seen.clear()
    capsys.readouterr()
    assert service.run("batch", photos, "a lemon") == 0
    assert [seen.form["image"].content for seen in service.seen] == [(photos / "a.jpg").read_bytes()]
    after = by_image(out)
    assert len(results(out)) == 3
    assert (after["a.jpg"]["status"], after["b.PNG"], after["c.webp"]) == ("done", before["b.PNG"], before["c.webp"])
    assert (
        "  done     1 of 1\n  skipped  2, done by an earlier run (--again edits them too)\n" in capsys.readouterr().out
    )
    service.seen.clear()
    assert service.run("batch", photos, "a lemon") == 0
    assert service.seen == []


@pytest.mark.parametrize("change", ["prompt", "option", "picture", "output"])
def test_what_has_changed_is_done_again(service: Any, photos: Path, change: str) -> None:
    service.run("batch", photos, "a lemon")
    service.seen.clear()
    out = photos.with_name("photos-edited")
    words: list[object] = ["a plum" if change == "prompt" else "a lemon", *(["--n", 2] if change == "option" else [])]
    if change == "picture":
        Image.new("RGB", (48, 32), "white").save(photos / "a.jpg")
    if change == "output":
        (out / "a.png").unlink()
    assert service.run("batch", photos, *words) == 0
    assert len(service.seen) == (1 if change in ("picture", "output") else 3)
    outputs = [row["output"] for row in results(out)]
    assert len(set(outputs)) == len(outputs), "no picture of an earlier edit was overwritten"


def test_again_edits_all_into_the_same_files(service: Any, photos: Path) -> None:
    service.run("batch", photos, "a lemon")
    out = photos.with_name("photos-edited")
    before = by_image(out)
    keys = [seen.headers["idempotency-key"] for seen in service.seen]
    assert service.run("batch", photos, "a lemon", "--again") == 0
    assert len(service.seen) == 6
    assert {name: row["output"] for name, row in by_image(out).items()} == {
        name: row["output"] for name, row in before.items()
    }
    assert len(results(out)) == 3
    assert not {seen.headers["idempotency-key"] for seen in service.seen[3:]} & set(keys)


def test_the_service_knows_a_row_by_its_digest(service: Any, photos: Path) -> None:
    service.run("batch", photos, "a lemon")
    digests = {row["digest"] for row in results(photos.with_name("photos-edited"))}
    assert {seen.headers["idempotency-key"] for seen in service.seen} == digests
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [(401, "invalid_api_key", "Give a key with RETOUCH_API_KEY."), (404, "not_found", "a Retouch service?")],
)
def test_a_wrong_key_or_address_stops_at_once_with_one_message(
    service: Any, service_error: ServiceError, photos: Path, capsys: Capture, status: int, code: str, hint: str
) -> None:
    service.instead = [service_error(status, "It says why.", code) for _ in range(9)]
    assert service.run("batch", photos, "a lemon", "--workers", 2) == 1
    err = capsys.readouterr().err
    assert err.count("It says why.") == 1
    assert hint in err
    assert len(service.seen) <= 2
    assert not photos.with_name("photos-edited").exists()


def test_a_service_that_is_away_stops_at_once(service: Any, photos: Path, capsys: Capture) -> None:
    service.instead = [httpx.ConnectError("Connection refused") for _ in range(9)]
    assert service.run("batch", photos, "a lemon", "--workers", 1, "--retries", 1) == 1
    assert len(service.seen) == 2
    assert capsys.readouterr().err.count("Connection refused") == 1


def test_a_service_that_goes_away_is_given_up_after_ten_rows(
    service: Any, service_error: ServiceError, photos: Path, capsys: Capture
) -> None:
    rows = table(photos, "image,seed", *(f"a.jpg,{seed}" for seed in range(30)))
    away: list[Any] = [httpx.ConnectError("Connection refused") for _ in range(30)]
    service.instead = [service_error(400, code="invalid_value"), *away]
    assert service.run("batch", rows, "a lemon", "--workers", 1, "--retries", 0) == 1
    assert len(service.seen) == 1 + 10
    said = "Stopped: 10 of 30 rows have ended. When this is put right, the same command goes on with the others."
    err = capsys.readouterr().err
    assert said in err
    assert err.endswith("or say where it is with --url or RETOUCH_URL.\n")


def test_a_slow_picture_is_a_matter_of_its_own(service: Any, photos: Path) -> None:
    service.instead = [httpx.ReadTimeout("")]
    assert service.run("batch", photos, "a lemon", "--workers", 1, "--retries", 0) == 1
    ended = by_image(photos.with_name("photos-edited"))
    assert [ended[name]["code"] for name in ("a.jpg", "b.PNG", "c.webp")] == ["timeout", "", ""]


def test_a_busy_service_is_asked_again_after_the_wait_that_it_names(
    service: Any, service_error: ServiceError, photos: Path
) -> None:
    service.instead = [service_error(429, code="overloaded", retry_after="7") for _ in range(4)]
    assert service.run("batch", photos, "a lemon", "--workers", 1, "--retries", 4) == 0
    assert service.sleeps == [7, 7, 7, 7]


def test_no_more_than_the_workers_are_under_way(service: Any, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, most = 0, 0
    edit = AsyncRetouch.edit

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        try:
            return await edit(*args, **options)
        finally:
            now -= 1

    monkeypatch.setattr(AsyncRetouch, "edit", counted)
    rows = table(photos, "image,seed", *(f"a.jpg,{seed}" for seed in range(12)))
    assert service.run("batch", rows, "a lemon", "--workers", 3) == 0
    assert (most, len(service.seen)) == (3, 12)


def test_ctrl_c_keeps_what_is_done(service: Any, photos: Path, capsys: Capture) -> None:
    done = {"edit": 0}
    answer = service._edit

    def stopped_at_the_third(seen: Any) -> Any:
        done["edit"] += 1
        if done["edit"] == 3:
            raise KeyboardInterrupt
        return answer(seen)

    service._edit = stopped_at_the_third
    assert service.run("batch", photos, "a lemon", "--workers", 1) == 130
    said = "retouch: stopped: 2 of 3 rows have ended, and the same command goes on with the others\n"
    assert capsys.readouterr().err.endswith(said)
    assert [row["status"] for row in results(photos.with_name("photos-edited"))] == ["done", "done"]
    service.seen.clear()
    assert service.run("batch", photos, "a lemon") == 0
    assert len(service.seen) == 1


@pytest.mark.parametrize(
    ("ended", "how"),
    [
        (0, "the same command begins anew"),
        (
            1,
            "without --again the same command goes on with the others; the service may repeat answers that it has kept",
        ),
    ],
)
def test_ctrl_c_under_again_says_how_it_goes_on(
    service: Any, photos: Path, capsys: Capture, ended: int, how: str
) -> None:
    service.run("batch", photos, "a lemon")
    answer, left = service._edit, ended

    def stopped(seen: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return answer(seen)

    service._edit = stopped
    assert service.run("batch", photos, "a lemon", "--again", "--workers", 1) == 130
    assert capsys.readouterr().err.endswith(f"retouch: stopped: {ended} of 3 rows have ended, and {how}\n")
    service._edit = answer
    service.seen.clear()
    assert service.run("batch", photos, "a lemon", *([] if ended else ["--again"])) == 0
    assert len(service.seen) == 3 - ended


def test_failures_under_again_are_tried_again_without_it(
    service: Any, service_error: ServiceError, photos: Path, capsys: Capture
) -> None:
    service.run("batch", photos, "a lemon")
    service.instead = [service_error(400, code="invalid_value")]
    assert service.run("batch", photos, "a lemon", "--again", "--workers", 1) == 1
    said = "results.csv says why; without --again the same command tries again what is not done"
    assert said in " ".join(capsys.readouterr().out.split())
    service.seen.clear()
    assert service.run("batch", photos, "a lemon") == 0
    assert len(service.seen) == 1


def test_a_line_that_a_killed_run_has_cut_off_is_done_again(service: Any, photos: Path) -> None:
    service.run("batch", photos, "a lemon", "--workers", 1)
    path = photos.with_name("photos-edited") / "results.csv"
    whole = path.read_bytes()
    for cut in (1, 2, 40, 150):
        path.write_bytes(whole[: len(whole) - cut])
        service.seen.clear()
        assert service.run("batch", photos, "a lemon") == 0
        assert len(service.seen) == (0 if cut == 1 else 1)
        assert len(results(path.parent)) == 3


def test_a_full_disk_ends_the_batch(
    service: Any, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert service.run("batch", photos, "a lemon", "--workers", 1) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert len(service.seen) == 1


def test_programs_get_json_or_the_path_of_the_results(service: Any, photos: Path, capsys: Capture) -> None:
    assert service.run("batch", photos, "a lemon", "--json") == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert err == ""
    assert answer.pop("seconds") >= 0
    folder = photos.with_name("photos-edited")
    counts = {"done": 3, "not_found": 0, "failed": 0, "skipped": 0}
    assert answer == {"folder": str(folder), "results": str(folder / "results.csv"), **counts}
    assert service.run("batch", photos, "a lemon", "--quiet") == 0
    assert capsys.readouterr() == (f"{folder / 'results.csv'}\n", "")


@pytest.mark.parametrize(
    ("header", "cells", "reason"),
    [
        ("image,promt", "a.jpg,x", "has an unknown column 'promt'; did you mean prompt?"),
        ("image,steps", "a.jpg,3", "has an unknown column 'steps'; did you mean num_inference_steps?"),
        ("image,idempotency_key", "a.jpg,3", "has an unknown column 'idempotency_key'; Columns are image, prompt, "),
        ("image;prompt", "a.jpg;x", "has an unknown column 'image;prompt'"),
        ("prompt,target", "x,y", "has no column 'image'; the first line names the columns, with commas between them"),
        ("image,image", "a.jpg,b.PNG", "has two columns 'image'"),
        ("image,prompt", "a.jpg,x,y", "line 2: it has more cells than the header has columns; quote commas in a cell"),
        ("image,prompt", ",x", "line 2, column image: it is empty"),
        ("image,seed", "a.jpg,x", "line 2, column seed: 'x' is not a whole number of 0 or more"),
        ("image,strength", "a.jpg,x", "line 2, column strength: 'x' is not a number"),
        ("image,fill", "a.jpg,grey", "line 2, column fill: 'grey' is none of noise, original, blur"),
        ("image,all", "a.jpg,maybe", "line 2, column all: 'maybe' is none of true, yes, 1, false, no, 0"),
        ("image,points", "a.jpg,12", "line 2, column points: '12' is not X,Y in whole pixels"),
        ("image,labels", "a.jpg,2", "line 2, column labels: '2' is none of 0, 1"),
        ("image,mode", "a.jpg,remove", "line 2: say what to remove, by one of target, points, box, mask, markup"),
        ("image", "", "has no rows below its header"),
        ("image,prompt", 'a.jpg,"x', "is not a CSV file in UTF-8: "),
    ],
)
def test_a_table_that_cannot_be_is_wrong_use(
    service: Any, photos: Path, capsys: Capture, header: str, cells: str, reason: str
) -> None:
    assert service.run("batch", table(photos, header, cells), "a lemon") == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1
    assert service.seen == []
    assert not (photos / "rows-edited").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["{photos}"], "{photos}: say what to paint, by PROMPT for all, a column `prompt`, or --remove"),
        (["{photos}", "a lemon", "--remove"], "with --remove nothing is painted: leave PROMPT out"),
        (["{photos}", "--remove"], "{photos}: say what to remove, by one of target,"),
        (["{photos}/none", "a lemon"], "there is no folder and no file {photos}/none"),
        (["{photos}", "a lemon", "-o", "{photos}"], "and what goes in is never overwritten"),
        (["{photos}", "a lemon", "-o", "{photos}/a.jpg"], "{photos}/a.jpg is no folder"),
        (["{photos}", "a lemon", "-o", "{photos}/x/y"], "there is no folder {photos}/x"),
        (["{photos}", "a lemon", "--workers", "0"], "argument --workers: '0' is not a whole number of 1 or more"),
        (["{photos}/notes.txt", "a lemon"], "has an unknown column 'none'"),
    ],
)
def test_wrong_use_asks_the_service_nothing(
    service: Any, photos: Path, capsys: Capture, words: list[str], reason: str
) -> None:
    assert service.run("batch", *[word.format(photos=photos) for word in words]) == 2
    assert reason.format(photos=photos) in capsys.readouterr().err
    assert service.seen == []


def test_a_source_is_never_replaced_by_the_report(service: Any, photos: Path, capsys: Capture) -> None:
    home = photos.with_name("home")
    home.mkdir()
    source = home / "results.csv"
    source.write_text(f"image\n{photos}/a.jpg\n")
    before = source.read_bytes()
    assert service.run("batch", source, "a lemon", "-o", home) == 2
    assert f"{source} is what goes in, and the report would replace it" in capsys.readouterr().err
    assert (service.seen, source.read_bytes()) == ([], before)


@pytest.mark.parametrize("content", [b"run,loss\n1,0.5\n", b"image,output\na.jpg,b.png\n", b"\xff\x00\n"])
def test_another_table_is_never_replaced_by_the_report(
    service: Any, photos: Path, capsys: Capture, content: bytes
) -> None:
    other = photos.with_name("photos-edited") / "results.csv"
    other.parent.mkdir()
    other.write_bytes(content)
    assert service.run("batch", photos, "a lemon") == 2
    assert f"{other} is not the report of a batch" in capsys.readouterr().err
    assert (service.seen, other.read_bytes()) == ([], content)


def test_a_report_that_a_spreadsheet_has_saved_is_gone_on_with(service: Any, photos: Path) -> None:
    service.run("batch", photos, "a lemon")
    out = photos.with_name("photos-edited")
    before, path = by_image(out), out / "results.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    service.seen.clear()
    (out / "a.png").unlink()
    assert service.run("batch", photos, "a lemon") == 0
    assert len(service.seen) == 1
    assert by_image(out)["b.PNG"] == before["b.PNG"]


def test_an_empty_folder_is_wrong_use(service: Any, tmp_path: Path, capsys: Capture) -> None:
    assert service.run("batch", tmp_path, "a lemon") == 2
    assert capsys.readouterr().err == f"retouch: {tmp_path} has no pictures\n"


def test_the_folder_here_is_named_after_itself(service: Any, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    assert service.run("batch", ".", "a lemon") == 0
    assert photos.with_name("photos-edited").is_dir()
