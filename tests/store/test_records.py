import pytest

from fate.store.opening import StoreError
from tests.dataset.playing import play


@pytest.fixture(params=[1, 2, 500])
def together(request, monkeypatch):
    monkeypatch.setattr("fate.store.records._TOGETHER", request.param)


@pytest.mark.usefixtures("together")
def test_records_are_the_choices_with_all_that_belongs_to_them(store):
    play(store, "1re")
    play(store, "2tu", opening="Another.")
    records = list(store.records())
    choices = list(store.choices())
    assert [record.choice["id"] for record in records] == [choice.id for choice in choices]
    for record, choice in zip(records, choices, strict=True):
        assert [c["id"] for c in record.candidates] == [c.id for c in (*choice.candidates, *choice.by_hand)]
        assert [d["kind"] for d in record.standing()] == [d.kind for d in choice.decisions]
        assert record.story["id"] == choice.story_id
        assert record.model["id"] == choice.model.id


@pytest.mark.usefixtures("together")
def test_what_was_deleted_or_not_asked_for_is_left_out(store):
    kept = play(store, "12", annotator="Ann")
    gone = play(store, "12", opening="Another.", annotator="Ben")
    play(store, "1", opening="A third.", annotator="Ben")
    store.put(gone, "deleted")

    def stories(**wanted):
        return [story_id for batch in store.batches(**wanted) for story_id in batch.choices["story_id"]]

    assert len(stories(deleted=True)) == 5
    assert gone not in stories()
    assert stories(annotators=["Ann"]) == [kept, kept]
    assert len(stories(annotators=["Ann", "Ben"])) == 3
    with pytest.raises(StoreError, match=r"no decisions by Nobody; it has some by Ann, Ben\."):
        stories(annotators=["Ann", "Nobody"])
    times = [time for batch in store.batches() for time in batch.choices["created_at"]]
    assert len(stories(since=times[1])) == 2
    assert stories(since=times[1], annotators=["Ann"]) == [kept]


def test_of_annotators_only_what_they_said_is_read(store):
    play(store, "1", annotator="Ann")
    play(store, "2", annotator="Ben", opening="Another.")
    (batch,) = store.batches(annotators=["Ben"])
    assert batch.decisions["annotator"] == ["Ben"]
    assert batch.sizes(batch.decisions) == [1]
    assert batch.sizes(batch.candidates) == [3]
