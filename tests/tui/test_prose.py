from textual.app import App

from fate.tui.widgets.prose import Prose


class Alone(App[None]):
    def compose(self):
        yield Prose()


async def test_a_text_that_follows_another_at_once_has_a_height_of_its_own():
    app = Alone()
    async with app.run_test(size=(20, 10)) as pilot:
        prose = app.query_one(Prose)
        prose.update("short")
        app.screen._refresh_layout()  # as anything else on the screen can bring about
        prose.update("a text that is longer than twenty letters")
        await pilot.pause()
        assert prose.size.height == 3
