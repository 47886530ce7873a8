"""What stands between the app and the server, inside the app's own process."""

from __future__ import annotations

from textual.drivers.web_driver import WebDriver
from textual.messages import ExitApp


class BrowserDriver(WebDriver):
    """Textual's driver for a browser, which also ends the app when its server is gone, however that came about."""

    def run_input_thread(self) -> None:
        super().run_input_thread()
        if not self.exit_event.is_set():  # input has ended, but the app has not
            self._app.post_message(ExitApp())
