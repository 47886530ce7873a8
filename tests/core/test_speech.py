import pytest

from fate.core.speech import Said, answers_oneself, last_said


@pytest.mark.parametrize(
    ("story", "who"),
    [
        ('"Where are you going?" asked the neighbour.', "neighbour"),
        ('"Where are you going?" the old man from next door asked softly.', "man"),
        ('It was late.\n\n"Who is it?" Mr. Brown asked.', "mr brown"),
        ('"Who is it?" asked Mrs Brown', "mrs brown"),
        ("“Who is it?” cried the little girl sadly.", "girl"),
        ('The mouse said, "Hello! Who are you?"', "mouse"),
        ('The queen walked up to him and asked, "Who are you?"', "queen"),
        ('"Is it far?" asked the king.', "king"),
        ('"Is it far?" asked the butterfly.', "butterfly"),
        ('"Is it far?" asked Emily quietly.', "emily"),
        ('"Who are you?" I asked him.', "i"),
        ('"Who are you?" he asked.', None),
        ('She saw the frog and said, "Who are you?"', None),
        ('"Shall we open it?" asked Ben, and Lisa nodded.', None),
        ('"How old are you?" asked the girl. The tortoise thought about it.', None),
        ('"Who are you?" asked the girl.\n\nNobody answered.', None),
        ('"Who are you?"', None),
        ("", None),
    ],
)
def test_it_is_told_who_asked_what_a_story_ends_with(story, who):
    assert last_said(story) == (who and Said(who, asked=True))


@pytest.mark.parametrize(
    "story", ['"It is late," said Tom.', '"Stop!" Tom cried.', 'Tom nodded and said, "It is late."']
)
def test_it_is_told_who_said_what_a_story_ends_with(story):
    assert last_said(story) == Said("tom", asked=False)


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ('\n\n"I do not know," said the little boy.', "boy"),
        (' "No," replied Mr. Brown, "it is late."', "mr brown"),
        (' "No," the neighbour answered.', "neighbour"),
        (' "No," I said.', "i"),
        (' The old woman smiled and said, "Of course!"', "woman"),
        (' The knight nodded. "Yes."', "knight"),
        (' The knight was surprised. "Yes," he said.', "knight"),
        (' "No," she said.', None),
        (' "No."', None),
        (" The knight nodded.", None),
        ("", None),
    ],
)
def test_it_is_told_who_answers(text, who):
    for name in ("boy", "mr brown", "neighbour", "i", "woman", "knight", "she"):
        assert answers_oneself(Said(name, asked=True), text) == (name == who)


@pytest.mark.parametrize(
    ("words", "answer"), [("Okay, let's go", True), ("That's true", True), ("Nobody is here", False)]
)
def test_who_said_something_may_go_on_but_not_answer(words, answer):
    assert answers_oneself(Said("tom", asked=False), f' "{words}," said Tom.') == answer


@pytest.mark.parametrize("words", ["said ", "Mr. ", "a", " ", '"a ', '"No," said Tom. '])
def test_only_the_end_of_a_long_story_and_the_beginning_of_a_long_text_are_looked_at(words):
    long = words * 10_000  # which would take long
    assert last_said(f'{long}\n"Who is it?" asked Tom.') == Said("tom", asked=True)
    assert last_said(long) in (None, Said("tom", asked=False))
    assert answers_oneself(Said("tom", asked=True), f' "It is me," said Tom. {long}')
    assert not answers_oneself(Said("ann", asked=True), long)
