"""Sheets of candidates for judges are as the game writes them, and their marks become preferences."""

import gzip
import itertools
import json

import pytest

from fate.openings import openings


@pytest.fixture
def beginnings(tmp_path):
    file = tmp_path / "typed.txt"
    file.write_text("\n".join(f"A hen named {name} found a button." for name in ("Ada", "Bo")) + "\n")
    return file


@pytest.fixture
def run(candidates, monkeypatch):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["candidates.py", *map(str, arguments)])
        candidates.main()

    return run


def sheets(folder):
    return {file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in folder.glob("*.jsonl")}


def test_every_beginning_has_what_the_game_offers_among_candidates_that_differ(candidates, run, beginnings, tmp_path):
    run("write", beginnings, tmp_path / "sheets", "--seed", 3)
    (sheet,) = sheets(tmp_path / "sheets").values()
    assert [entry["prompt"] for entry in sheet] == beginnings.read_text().splitlines()
    for entry in sheet:
        assert 3 <= len(entry["candidates"]) == len({*entry["candidates"]}) <= candidates.EACH
    text = (tmp_path / "sheets" / "typed-01.txt").read_text()
    assert all(candidate.strip().split("\n")[0] in text for entry in sheet for candidate in entry["candidates"])
    run("write", beginnings, tmp_path / "again", "--seed", 3)
    assert sheets(tmp_path / "again") == sheets(tmp_path / "sheets")


def test_a_story_under_way_is_judged_at_every_third_step(candidates, run, beginnings, tmp_path):
    run("write", beginnings, tmp_path / "sheets", "--choices", 5)
    (sheet,) = sheets(tmp_path / "sheets").values()
    for beginning in beginnings.read_text().splitlines():
        steps = [entry["prompt"] for entry in sheet if entry["prompt"].startswith(beginning)]
        assert 1 <= len(steps) <= 2
        assert all(later.startswith(step) for step, later in itertools.pairwise(steps))
    assert any(entry["prompt"] not in beginnings.read_text().splitlines() for entry in sheet)


def test_marks_of_one_judge_or_the_mean_of_two_become_preferences(candidates, run, monkeypatch, tmp_path, capsys):
    file = tmp_path / "preferences.jsonl.gz"
    monkeypatch.setattr(candidates, "PREFERENCES", file)
    old = {"prompt": "It rained.", "candidates": [{"text": " Hard.", "mark": 4, "round": 2}]}
    file.write_bytes(gzip.compress((json.dumps(old) + "\n").encode()))
    candidates.write_sheet(
        tmp_path / "one",
        [
            {"prompt": "It rained.", "candidates": [" Still.", " No.", " \u00c9."]},
            {"prompt": "Why?", "candidates": [" Yes.", " So."]},
            {"prompt": "Unread.", "candidates": [" Yes."]},
            {"prompt": openings()[0].text, "candidates": [" Yes."]},
        ],
    )
    (tmp_path / "one.marks").write_text("1 a2.5 b4 c0\n2: a1 b9\n4 a4\nwhat?\n")
    (tmp_path / "one.marks2").write_text("1 a4 c0\n")
    run("take", tmp_path, 7)
    found = [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    assert [entry["prompt"] for entry in found] == ["It rained.", "Why?"]
    assert [(each["text"], each["mark"], each["round"]) for entry in found for each in entry["candidates"]] == [
        (" Hard.", 4, 2),
        (" Still.", 3.25, 7),
        (" No.", 4, 7),
        (" \u00c9.", 0, 7),
        (" Yes.", 1, 7),  # and no mark is 9
    ]
    assert capsys.readouterr().out.splitlines() == ["one.marks: not marks: what?", "4 candidates"]


def test_a_phrase_is_worn_that_stands_after_many_prompts_and_did_not_before_marks_were_learnt(
    candidates, run, monkeypatch, tmp_path, capsys
):
    untaught = [
        {"prompt": f"{n}.", "candidates": [{"text": " He ran off.", "mark": 1, "round": n % 2}]} for n in range(9)
    ]
    file = tmp_path / "preferences.jsonl.gz"
    file.write_bytes(gzip.compress("".join(json.dumps(entry) + "\n" for entry in untaught).encode()))
    monkeypatch.setattr(candidates, "PREFERENCES", file)
    sheet = [{"prompt": f"{n}.", "candidates": [" He ran off.", f" Number {n} sat down."]} for n in range(20)]
    for entry in sheet[:2]:
        entry["candidates"].append(" A voice spoke.")  # after a tenth of the prompts; the others after all, or one
    candidates.write_sheet(tmp_path / "one", sheet)
    run("worn", tmp_path)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "4.8% of 42 candidates after 20 prompts have a worn phrase"
    assert second.split() == ["10.0%", "a", "voice", "spoke"]


@pytest.mark.parametrize("arguments", [("write", "none", "x"), ("worn", "none"), ("take", "none", 1)])
def test_what_is_not_there_is_told(run, monkeypatch, tmp_path, arguments):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"none holds no (beginning|sheets); give "):
        run(*arguments)
