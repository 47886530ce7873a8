"""The game in a browser: who may come in, and a story that grows in a real Chromium."""

import http.client
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fate.core.errors import FateError
from fate.web.address import host_of, is_loopback, listen, token_for

OPENING = "The ferry had already left when we found the child asleep on the pier."


class Served:
    """``fate serve`` on a free port, and what it prints."""

    def __init__(self, home: Path, *arguments: str) -> None:
        command = [str(Path(sys.executable).parent / "fate"), "serve", "--port=0", *arguments]
        environment = {**os.environ, "FATE_HOME": str(home), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://(\S+?):(\d+)/(\S*)", line)
        assert found, line + self.process.stdout.read()
        self.url, self.port, self.query = found[0], int(found[2]), found[3]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def get(self, path="/", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers


@pytest.fixture
def served(fate_home, request):
    server = Served(fate_home, *getattr(request, "param", ()))
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()


def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)
    return found


def count(db: Path, query: str) -> int:
    if not db.exists():
        return 0
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchone()[0]


def games(server: Served) -> list[str]:
    """The processes of the games behind the server's tabs."""
    found = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True, check=False)
    return found.stdout.split()


WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def test_pages_of_other_origins_and_names_are_kept_out(served):
    here = f"127.0.0.1:{served.port}"
    assert served.get()[0] == 200
    status, said, _ = served.get(Host="evil.example")
    assert (status, "evil.example" in said) == (403, True)
    assert served.get("/ws", **WEBSOCKET, Host=here, Origin="http://evil.example")[0] == 403
    assert served.get("/ws", **WEBSOCKET, Host=here)[0] == 403
    assert served.get("/ws", **WEBSOCKET, Host="evil.example", Origin="http://evil.example")[0] == 403
    assert served.stop() == 0


def test_no_other_page_may_show_the_game_in_a_frame(served):
    assert "frame-ancestors 'none'" in served.get()[2]["Content-Security-Policy"]


@pytest.mark.parametrize("served", [("--token=a-token-of-some-length",)], indirect=True)
def test_whoever_lacks_the_token_is_told_so_and_kept_out(served):
    here = f"127.0.0.1:{served.port}"
    for path in ("/", "/?token=", "/?token=another-token-of-that-length", "/static/js/textual.js"):
        status, said, _ = served.get(path)
        assert (status, "asks for its token" in said) == (403, True)
    assert served.get("/ws", **WEBSOCKET, Host=here, Origin=f"http://{here}")[0] == 403
    status, _, headers = served.get("/?token=a-token-of-some-length")
    assert (status, headers["Location"]) == (302, "/")
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert served.get(Cookie=cookie)[0] == 200


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host=0.0.0.0"], "--public"),
        (["--host=no.such.host.invalid"], "no address"),
        (["--token=short"], "16 or more"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(fate_home, arguments, sentence):
    command = [str(Path(sys.executable).parent / "fate"), "serve", "--port=0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_one_sentence(served):
    with pytest.raises(FateError, match="try another --port"):
        listen("127.0.0.1", served.port, public=False)


def test_a_public_game_makes_a_token_that_nobody_guesses():
    assert token_for(None, public=False) is None
    first, second = token_for(None, public=True), token_for(None, public=True)
    assert first != second
    assert min(len(first), len(second)) >= 32


@pytest.mark.parametrize(
    ("name", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("localhost.example", False)],
)
def test_only_loopback_is_this_machine_alone(name, loopback):
    assert is_loopback(name) == loopback


def test_the_host_of_an_address_is_found():
    assert [host_of(said) for said in ("LocalHost:80", "[::1]:80", "[")] == ["localhost", "::1", ""]


@pytest.mark.skipif(not shutil.which("chromedriver"), reason="Chromium and its driver are not installed")
def test_a_story_grows_in_a_browser_and_nothing_is_left_when_the_tab_is_closed(served, fate_home):
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains

    options = webdriver.ChromeOptions()
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--window-size=1100,800",
    ):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    db = fate_home / "fate.db"

    def press(browser, keys):
        ActionChains(browser).send_keys(keys).perform()

    def decided():
        return count(db, "SELECT count(*) FROM decision WHERE kind = 'chosen'")

    def offered():
        return count(db, "SELECT count(*) FROM choice")

    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as browser:
        browser.get(served.url)
        wait(lambda: "-first-byte" in browser.find_element("tag name", "body").get_attribute("class"))

        def begun():
            press(browser, "\n")
            return count(db, "SELECT count(*) FROM story")

        wait(begun)
        for turn, key in enumerate("12", start=1):
            wait(lambda turn=turn: offered() >= turn)
            before = browser.get_screenshot_as_png()

            def chosen(key=key, turn=turn):
                press(browser, key)  # keys are not taken before the candidates can have been read
                return decided() >= turn

            wait(chosen)
            wait(lambda turn=turn: offered() >= turn + 1)
            wait(lambda before=before: browser.get_screenshot_as_png() != before)
        assert games(served)
    wait(lambda: not games(served))
    assert count(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check != 'ok'") == 0
    assert served.stop() == 0
