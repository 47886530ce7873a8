"""What is compiled on this machine: that it is there, or that nothing breaks where it is not."""

import shutil
import subprocess
from random import Random

import pytest
import torch

from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.engine import load, memory, native
from fate.engine.kernels import linear
from fate.engine.warping import Warper
from fate.paths import storyteller

pytestmark = pytest.mark.skipif(native._compiler() is None, reason="nothing can be compiled here")


FLAGS = native._FLAGS
compiled = pytest.mark.skipif(native.library() is None, reason="it cannot be compiled here")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """Nothing has been compiled yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(native, "_FLAGS", [flag.replace("-O2", "-O0") for flag in FLAGS])  # soon done
    library = native.library
    library.cache_clear()
    yield tmp_path / "fate"
    library.cache_clear()


def script(tmp_path, monkeypatch, text):
    """A compiler of our own that counts how often it was asked; returns the file with a line for each time."""
    compiler, asked = tmp_path / "cc", tmp_path / "asked"
    compiler.write_text(f"#!/bin/sh\necho asked >> {asked}\n{text}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    return asked


def test_it_is_compiled_once_and_kept(fresh, tmp_path, monkeypatch):
    asked = script(tmp_path, monkeypatch, f'exec {shutil.which("cc")} "$@"')
    assert native.to_compile()
    assert native.library() is not None
    assert not native.to_compile()
    native.library.cache_clear()
    assert native.library() is not None
    assert asked.read_text() == "asked\n"
    assert [file.suffix for file in fresh.iterdir()] == [".so"]


def test_a_compiler_that_fails_is_asked_once_and_what_it_said_is_kept(fresh, tmp_path, monkeypatch):
    asked = script(tmp_path, monkeypatch, "echo no OpenMP here >&2; exit 1")
    assert native.library() is None
    native.library.cache_clear()
    assert native.library() is None
    assert not native.to_compile()
    assert asked.read_text() == "asked\n"
    assert [file.read_text() for file in fresh.iterdir()] == ["no OpenMP here\n"]


def test_a_cache_that_cannot_be_written_is_done_without(fresh):
    fresh.parent.rmdir()
    fresh.parent.write_text("a file where the folder should be")
    assert native.library() is None
    fresh.parent.unlink()
    fresh.parent.mkdir()


def test_a_cache_that_cannot_be_looked_into_is_done_without(fresh, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/" + 300 * "x")
    told = []
    assert load(str(storyteller()), progress=told.append).info.name == "Llama-Fate"
    assert "nothing could be compiled for this processor: it writes, but slower" in told


def test_a_compiler_that_does_not_end_is_asked_once(fresh, tmp_path, monkeypatch):
    asked = script(tmp_path, monkeypatch, "exec sleep 5")
    monkeypatch.setattr(native, "_PATIENCE", 0.3)
    assert native.library() is None
    native.library.cache_clear()
    assert native.library() is None
    assert asked.read_text() == "asked\n"


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_first_load_in_any_precision_says_that_it_compiles(fresh, precision, monkeypatch):
    monkeypatch.setattr(memory, "SMALL", 0)
    told = []
    load(str(storyteller()), precision=precision, progress=told.append)
    assert "compiling for this processor, this once" in told


def test_a_damaged_library_is_done_without(fresh):
    _, file = native._compiler()
    file.parent.mkdir()
    file.write_text("no library")
    assert native.library() is None


def test_the_first_load_says_that_it_compiles_and_the_next_does_not(fresh):
    told = []
    load(str(storyteller()), progress=told.append)
    assert told.count("compiling for this processor, this once") == 1
    load(str(storyteller()), progress=told.append)
    assert told.count("compiling for this processor, this once") == 1


def test_without_a_compiler_a_story_is_written_all_the_same_and_the_load_says_how(fresh, monkeypatch):
    monkeypatch.setenv("PATH", "")
    told = []
    engine = load(str(storyteller()), progress=told.append)
    assert native.library() is None
    assert "nothing could be compiled for this processor: it writes, but slower" in told
    assert '"products": "native"' not in engine.info.versions
    generation = engine.generate(engine.encode("The old man looked at the sea."), [SamplerSettings()], [1])
    while not generation.done:
        generation.step()
    assert generation.rows[0].text


@compiled
def test_the_storyteller_runs_in_it_and_says_so():
    engine = load(str(storyteller()))
    assert engine.decoder._native is not None
    assert '"products": "native"' in engine.info.versions


@compiled
def test_the_number_of_threads_changes_no_bit_of_a_pass():
    # Of a native pass, that is: a prompt is read by PyTorch's attention, whose last bits depend on it.
    prompt, threads = tuple(range(1, 60)), torch.get_num_threads()
    scores = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(threads)
            decoder = load(str(storyteller())).decoder
            decoder.begin([prompt], 3, 20)
            torch.set_num_threads(number)
            scores.append(torch.stack([decoder.advance([token, token + 1, token]) for token in range(1, 9)]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(scores[0], scores[1])
    assert torch.equal(scores[0], scores[2])


def products_and_scores(precision):
    """Products of many shapes in a row, and the storyteller's scores."""
    rng = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(shape, generator=rng)

    shapes = [(70, 33, 5), (64, 128, 13), (320, 896, 3)]
    made = [linear(random(n, m), random(n), precision)(random(rows, m)).flatten() for n, m, rows in shapes]
    decoder = load(str(storyteller()), precision=precision).decoder
    decoder.begin([tuple(range(1, 60))], 3, 20)
    return torch.cat([*made, *(decoder.advance([token, token + 1, token]).flatten() for token in range(1, 9))])


@compiled
@pytest.mark.parametrize(("precision", "near"), [("float32", 2e-4), ("int8", 0.6)])
def test_what_is_compiled_for_older_processors_computes_the_same(fresh, monkeypatch, precision, near):
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(native, "_FLAGS", [flag.replace("native", "haswell") for flag in FLAGS])
    older = products_and_scores(precision)
    monkeypatch.setattr(native, "library", lambda: None)
    torch.testing.assert_close(older, products_and_scores(precision), rtol=0, atol=near)


@compiled
def test_what_is_compiled_for_older_processors_draws_the_same(fresh, monkeypatch):
    monkeypatch.setattr(native, "_FLAGS", [flag.replace("native", "haswell") for flag in FLAGS])
    rng = torch.Generator().manual_seed(0)
    for case in range(40):
        warper = Warper(SettingsRanges().draw(Random(case), 3))
        scores = 3 * torch.randn(3, 130 + 211 * case, generator=rng)
        assert warper._native is not None
        compiled = warper.draw(scores, scores, case, (0.1, 0.5, 0.9))
        warper._native = None
        for found, expected in zip(compiled, warper.draw(scores, scores, case, (0.1, 0.5, 0.9)), strict=True):
            assert found == pytest.approx(expected, abs=1e-4)


@compiled
def test_what_a_pass_draws_at_once_is_what_is_drawn_from_its_scores():
    decoder, warper = load(str(storyteller())).decoder, Warper(SettingsRanges().draw(Random(0), 3))
    decoder.begin([tuple(range(1, 60))], 3, 20)
    for t in range(20):
        uniforms = [Random(t + row).random() for row in range(3)]
        draws = warper.at(t, uniforms)
        scores = decoder.advance([t + 5, t + 6, t + 7], draws)
        at_once = draws.drawn
        assert at_once == warper.draw(scores, scores, t, uniforms)


@compiled
def test_a_pass_whose_scores_are_no_numbers_draws_nothing():
    decoder = load(str(storyteller())).decoder
    decoder.begin([tuple(range(1, 60))], 1, 20)
    decoder._weights.final_norm.weight.fill_(torch.nan)
    draws = Warper([SamplerSettings()]).at(0, [0.5])
    assert decoder.advance([5], draws).isnan().all()
    assert draws.drawn is None


@pytest.mark.parametrize("processor", ["haswell", "alderlake", "icelake-server"])
def test_other_processors_are_compiled_for_without_a_warning(processor, tmp_path):
    compiler, _ = native._compiler()
    known = [compiler, f"-march={processor}", "-E", "-x", "c", "/dev/null"]
    if subprocess.run(known, capture_output=True, check=False).returncode:
        pytest.skip(f"the compiler does not know {processor}")
    flags = [flag.replace("native", processor) for flag in native._FLAGS]
    command = [compiler, *flags, "-Wall", "-Wextra", "-Werror", str(native._SOURCE), "-o", str(tmp_path / "it.so")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
