from fate.openings import openings


def test_there_are_openings_for_many_tastes_and_each_is_its_own():
    found = openings()
    assert len(found) >= 24
    assert len({opening.genre for opening in found}) >= 8
    assert len({opening.text for opening in found}) == len(found)


def test_openings_end_where_a_continuation_can_begin():
    for opening in openings():
        assert opening.text == opening.text.strip()
        assert opening.text.isascii()
        assert 40 <= len(opening.text) <= 240
