"""The hub here is a server on this machine that answers like the hub, as far as a download goes."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from fate.engine.hub import progressed, weights
from tests.terminal import FATE

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Gives away ``server.folder`` as the model someone/tiny, and counts in ``server.asked`` what was asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(f"{self.command} {self.path}")
        time.sleep(self.server.delay)
        files = {file.name: file for file in self.server.folder.iterdir()}
        repository, _, name = self.path.partition("/resolve/main/")
        if self.server.refuses:
            self.answer(b"{}", self.server.refuses[0], {"X-Error-Code": self.server.refuses[1]})
        elif self.path.startswith("/api/models/someone/tiny"):
            siblings = [{"rfilename": name, "size": file.stat().st_size} for name, file in files.items()]
            self.answer(json.dumps({"id": "someone/tiny", "sha": COMMIT, "siblings": siblings}).encode())
        elif repository == "/someone/tiny" and name in files:
            data = files[name].read_bytes()
            self.answer(data, headers={"ETag": hashlib.sha256(data).hexdigest(), "X-Repo-Commit": COMMIT})
        else:
            self.answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815

    def answer(self, data, status=200, headers=None):
        self.send_response(status)
        for name, value in {"content-length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tiny_folders, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.address = f"http://127.0.0.1:{server.server_port}"
    server.folder = tmp_path / "published"
    shutil.copytree(tiny_folders["llama"], server.folder)
    (server.folder / "training_args.bin").write_bytes(b"of no use to a reader" * 100)
    server.asked, server.delay, server.refuses = [], 0, None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def with_hub(hub, tmp_path):
    """The environment of a machine whose hub is ``hub`` and whose cache is empty."""
    return {**os.environ, "HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}


FIND = """
import sys
from fate.engine.hub import EngineError, find
try:
    print(find(sys.argv[1], pickle="pickle" in sys.argv, progress=lambda doing: print(doing, file=sys.stderr)))
except EngineError as error:
    print(error)
assert "torch" not in sys.modules
"""


def find(environment, name="someone/tiny", *options):
    """The folder, or the sentence, that comes of looking for a model; and the progress that was told."""
    command = [sys.executable, "-c", FIND, name, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    return done.stdout.strip(), done.stderr.splitlines()


def names(folder):
    return {file.name for file in Path(folder).iterdir()}


def test_what_fate_reads_is_downloaded_once_and_told_in_bytes(hub, with_hub):
    folder, told = find(with_hub)
    assert names(folder) == names(hub.folder) - {"training_args.bin"}
    for name in names(folder):
        assert (Path(folder) / name).read_bytes() == (hub.folder / name).read_bytes()
    total = sum((hub.folder / name).stat().st_size for name in names(folder))
    assert told[0] == "asking the hub"
    assert told[-1] == f"downloading, {progressed(total, total)}"
    assert len(set(told)) > 3
    asked = len(hub.asked)
    assert find(with_hub) == (folder, [])
    assert len(hub.asked) == asked


def test_a_download_that_was_cut_short_goes_on(hub, with_hub):
    folder, _ = find(with_hub)
    (Path(folder) / "model.safetensors").resolve().unlink()
    hub.asked.clear()
    assert find(with_hub)[0] == folder
    assert [asked for asked in hub.asked if asked.startswith("GET /someone")] == [
        "GET /someone/tiny/resolve/main/model.safetensors"
    ]


def test_every_part_of_weights_in_parts_is_downloaded(hub, with_hub):
    model = AutoModelForCausalLM.from_pretrained(hub.folder)
    (hub.folder / "model.safetensors").unlink()
    model.save_pretrained(hub.folder, max_shard_size="50KB")
    folder, _ = find(with_hub)
    assert len(list(Path(folder).glob("model-*.safetensors"))) > 1
    assert names(folder) == names(hub.folder) - {"training_args.bin"}
    next(Path(folder).glob("model-*.safetensors")).unlink()
    assert find(with_hub)[0] == folder
    assert names(folder) == names(hub.folder) - {"training_args.bin"}


def test_pickled_weights_are_only_downloaded_when_the_reader_says_so(hub, with_hub):
    (hub.folder / "model.safetensors").rename(hub.folder / "pytorch_model.bin")
    assert find(with_hub)[0] == "someone/tiny has no safetensors weights; if you trust its author, add --allow-pickle."
    folder, _ = find(with_hub, "someone/tiny", "pickle")
    assert "pytorch_model.bin" in names(folder)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "RepoNotFound", "The hub knows no model someone/tiny, or keeps it private"),
        (403, "GatedRepo", "someone/tiny is only for those who accept its terms"),
        (500, "", "The hub did not give someone/tiny"),
    ],
)
def test_a_hub_that_refuses_is_told(hub, with_hub, status, code, said):
    hub.refuses = status, code
    sentence, _ = find(with_hub)
    assert sentence.startswith(said)


def test_a_hub_out_of_reach_is_told_at_once(hub, with_hub):
    hub.shutdown()
    hub.server_close()
    began = time.monotonic()
    sentence, _ = find(with_hub)
    assert f"the hub at {hub.address} is not within reach" in sentence
    assert time.monotonic() - began < 5


def test_a_hub_that_does_not_answer_is_not_waited_for_long(hub, with_hub):
    hub.delay = 30
    began = time.monotonic()
    sentence, _ = find(with_hub)
    assert f"the hub at {hub.address} is not within reach" in sentence
    assert time.monotonic() - began < 10


def test_offline_by_the_readers_will_is_told(with_hub):
    sentence, _ = find({**with_hub, "HF_HUB_OFFLINE": "1"})
    assert sentence.endswith("and HF_HUB_OFFLINE is set.")


@pytest.mark.parametrize("name", ["no model", "some one/tiny", "a--b/c"])
def test_what_can_be_no_hub_id_is_told(with_hub, name):
    sentence, _ = find(with_hub, name)
    assert "is no hub id" in sentence


def test_a_model_too_large_for_the_disk_is_told(hub, with_hub):
    os.truncate(hub.folder / "model.safetensors", 2**43)  # a hole, not bytes
    sentence, _ = find(with_hub)
    assert "GB on the disk" in sentence


def test_a_story_begins_with_a_model_that_was_just_downloaded(hub, with_hub, tmp_path):
    command = [FATE, "play", "Once.", "--plain", "--model", "someone/tiny", "--db", str(tmp_path / "f.db")]
    done = subprocess.run(command, env=with_hub, input="1\nq\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(downloading, " in done.stdout
    assert "Kept: " in done.stdout


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_says_nothing_is_told(index):
    from fate.engine.hub import EngineError

    with pytest.raises(EngineError, match=r"model\.safetensors\.index\.json of the model is damaged"):
        weights({"model.safetensors.index.json"}, lambda _: index, pickle=False)


def test_amounts_are_said_in_a_unit_that_fits():
    assert progressed(500, 12_000) == "0 of 12 kB"
    assert progressed(1_120_000_000, 2_540_000_000) == "1,120 of 2,540 MB"
    assert progressed(1_120_000_000, 12_540_000_000) == "1.1 of 12.5 GB"
