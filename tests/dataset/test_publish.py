"""The hub here is a server on this machine that answers like the hub's API, as far as an upload goes."""

import base64
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fate.store import Store
from tests.dataset.playing import play
from tests.terminal import FATE


class Hub(BaseHTTPRequestHandler):
    """Keeps what is committed in ``server.files`` and what is created in ``server.created``."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.refuses:
            self.answer({"error": "Invalid credentials"}, 401)
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self.answer({"url": f"{self.server.address}/datasets/me/stories", "name": "me/stories"})
        elif "/preupload/" in self.path:
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            address = f"{self.server.address}/datasets/me/stories/commit/1"
            self.answer({"commitUrl": address, "commitOid": "1", "success": True})
        else:
            self.answer({"valid": True})

    def answer(self, what, status=200):
        data = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({"id": "me/stories", "sha": "0", "siblings": []})

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.address = f"http://127.0.0.1:{server.server_port}"
    server.files, server.created, server.refuses = {}, [], False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def push(hub, tmp_path, *options, opening="The old man looked at the sea."):
    store = Store(tmp_path / "fate.db")
    play(store, "12", opening=opening)
    store.close()
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_test", "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [FATE, "export", str(tmp_path / "out"), "--push", "me/stories", "--db", str(tmp_path / "fate.db"), *options],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_the_whole_folder_arrives_in_a_private_repository(hub, tmp_path):
    done = push(hub, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{hub.address}/datasets/me/stories"
    (created,) = hub.created
    assert (created["type"], created["visibility"]) == ("dataset", "private")
    written = {
        file.relative_to(tmp_path / "out").as_posix(): file.read_bytes()
        for file in (tmp_path / "out").rglob("*")
        if file.is_file()
    }
    assert hub.files == written


def test_a_repository_is_public_where_that_was_said(hub, tmp_path):
    assert push(hub, tmp_path, "--public").returncode == 0
    assert hub.created[0]["visibility"] == "public"


def test_personal_data_leave_only_redacted(hub, tmp_path):
    refused = push(hub, tmp_path, opening="Write to ann@example.org.")
    assert refused.returncode == 1
    assert not hub.files
    done = push(hub, tmp_path / "again", "--redact", opening="Write to ann@example.org.")
    assert done.returncode == 0, done.stderr
    assert hub.files
    assert not any(b"ann@example" in data for data in hub.files.values())


def test_a_hub_that_refuses_is_told_in_one_sentence_and_the_folder_stays(hub, tmp_path):
    hub.refuses = True
    done = push(hub, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("fate: The hub refused me/stories (401); log in with `hf auth login` first.")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "out" / "README.md").exists()


def test_a_hub_out_of_reach_is_told_in_one_sentence(hub, tmp_path):
    hub.shutdown()
    hub.server_close()
    done = push(hub, tmp_path)
    assert done.returncode == 1
    assert "could not be reached" in done.stderr
    assert done.stderr.count("\n") == 1
