"""What llama.cpp (Q8_0) and CTranslate2 (int8) take for one step of fate, from the same weights.

``python benchmarks/rivals.py --prepare SHAPE FOLDER`` writes a shape's weights in both formats, and needs torch,
gguf and ctranslate2; ``python benchmarks/rivals.py SHAPE FOLDER`` measures, needs llama-cpp-python and ctranslate2
alone, and prints one line of JSON: the seconds of each step by library, and what was skipped and why.

A step is fate's: three continuations of 48 tokens after a story of 256, of which all but the last token has been
read before the clock starts. Each library does it the best way that its public interface offers:

- llama.cpp keeps the story's keys and values once for three sequences (a unified cache and llama_memory_seq_cp), and
  decodes three tokens at a time. Each row has a chain of samplers of its own, so three different settings would cost
  the same.
- CTranslate2 keeps the story as a cached static prompt, copied for each of three rows; one setting is for all of them.
  That flatters it: the cache knows one unchanging prompt and can't be extended, so that a real story, longer at every
  step, is read again each time. What this costs is measured as well, under a name that says so.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import perf_counter
from types import SimpleNamespace
from typing import Any

STORY, TOKENS, ROWS, REPEATS, THREADS = 256, 48, 3, 3, 2
TEMPERATURE, TOP_K, TYPICAL_P = 0.8, 50, 0.95  # fate's defaults; CTranslate2 has no typical_p


def gguf_file(shape: str, folder: Path) -> Path:
    return folder / f"{shape}-q8_0.gguf"


def ctranslate2_folder(shape: str, folder: Path) -> Path:
    return folder / f"{shape}-int8"


# Writing: a transformers model in each library's own format.


def heads_together(weight: Any, heads: int) -> Any:
    """Fused queries, keys and values that are interleaved by head, as llama.cpp wants them: all Q, all K, all V."""
    return weight.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)


def pairs_together(weight: Any, heads: int) -> Any:
    """Rows of a rotary projection, halves of a head apart, as llama.cpp's Llama wants them: rotated pairs adjacent."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def write_gguf(model: Any, path: Path, quantization: str = "Q8_0") -> None:
    """Matrices in ``quantization``, everything else in 32 bit; a vocabulary of the right size without words.

    Raises:
        KeyError: llama.cpp has no name for a family or one of its weights.
    """
    import gguf

    config = model.config
    arch = {
        "llama": gguf.MODEL_ARCH.LLAMA,
        "bloom": gguf.MODEL_ARCH.BLOOM,
        "gpt_neox": gguf.MODEL_ARCH.GPTNEOX,
    }[config.model_type]
    heads, width, layers = config.num_attention_heads, config.hidden_size, config.num_hidden_layers
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", 4 * width))
    if arch == gguf.MODEL_ARCH.LLAMA:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_dimension_count(width // heads)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    elif arch == gguf.MODEL_ARCH.BLOOM:
        writer.add_head_count_kv(heads)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        writer.add_layer_norm_eps(config.layer_norm_eps)
        writer.add_parallel_residual(config.use_parallel_residual)
        writer.add_rope_dimension_count(int(config.rope_parameters["partial_rotary_factor"] * width // heads))
    writer.add_tokenizer_model("no_vocab")
    writer.add_vocab_size(config.vocab_size)

    names = gguf.get_tensor_name_map(arch, layers)
    for name, weight in model.named_parameters():  # a tied output matrix is here once, as llama.cpp wants it
        theirs = names.get_name(name.removeprefix("transformer."), try_suffixes=(".weight", ".bias"))
        if theirs is None:
            raise KeyError(name)
        if "query_key_value" in name:
            weight = heads_together(weight, heads)
        elif arch == gguf.MODEL_ARCH.LLAMA and name.endswith(("q_proj.weight", "k_proj.weight")):
            weight = pairs_together(weight, heads if "q_proj" in name else config.num_key_value_heads)
        kind = gguf.GGMLQuantizationType[quantization if weight.ndim == 2 else "F32"]
        writer.add_tensor(theirs, gguf.quantize(weight.detach().numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_ctranslate2(model: Any, folder: Path, quantization: str = "int8") -> None:
    """By CTranslate2's own converter, of which only the reading of a checkpoint is left out; it takes ``model`` apart.

    Raises:
        KeyError: its converter does not know the model's family.
    """
    from ctranslate2.converters import transformers as converters

    if model.config.model_type == "gpt_neox":  # what the converter asks for bears its names of before transformers 5
        model.embed_out = model.lm_head
        model.config.rotary_pct = model.config.rope_parameters["partial_rotary_factor"]
    loader = converters._MODEL_LOADERS[type(model.config).__name__]
    spec = loader.get_model_spec(model)
    loader.set_vocabulary(spec, [str(i) for i in range(model.config.vocab_size)])
    loader.set_config(spec.config, model, SimpleNamespace(unk_token="0", bos_token="1", eos_token="2"))
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(exist_ok=True)
    spec.save(str(folder))


def prepare(shape: str, folder: Path) -> None:
    """Writes what is not there yet."""
    from shapes import SHAPES, model_of

    if shape not in SHAPES:
        sys.exit(f"There is no shape {shape}; there are {', '.join(SHAPES)}.")
    folder.mkdir(parents=True, exist_ok=True)
    model = None
    for path, write in (
        (gguf_file(shape, folder), write_gguf),
        (ctranslate2_folder(shape, folder), write_ctranslate2),  # last: it takes the model apart
    ):
        if not path.exists():
            model = model or model_of(shape)
            part = path.with_name(f"{path.name}.part")  # what bears its own name is whole
            write(model, part)
            part.rename(path)


# Measuring: neither torch nor fate from here on.


def story(vocabulary: int) -> list[int]:
    return Random(0).choices(range(vocabulary), k=STORY)


def seconds(step: Callable[[], None]) -> list[float]:
    """Of each of a few steps, after one that nobody counts."""
    step()
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        step()
        times.append(perf_counter() - start)
    return times


class LlamaCpp:
    """A GGUF model and a cache that ``ROWS`` sequences share."""

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self.api: Any = llama_cpp
        self.quiet = llama_cpp.llama_log_callback(lambda *_: None)  # referenced for as long as it may be called
        llama_cpp.llama_log_set(self.quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise OSError(f"llama.cpp can't load {path}.")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = 512  # holds STORY + ROWS * TOKENS
        params.n_seq_max = ROWS
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = THREADS
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.batch = llama_cpp.llama_batch_init(params.n_batch, 0, 1)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def close(self) -> None:
        self.api.llama_batch_free(self.batch)
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)

    def decode(self, tokens: list[int], positions: list[int], sequences: list[int], logits: list[bool]) -> None:
        """One forward pass over tokens, each at a position of a sequence; the logits of some are kept."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = token, positions[i], logits[i]
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequences[i]
        if code := self.api.llama_decode(self.context, batch):
            raise RuntimeError(f"llama_decode returned {code}.")

    def read(self, tokens: list[int]) -> None:
        """A prompt, as sequence 0."""
        n = len(tokens)
        self.decode(tokens, list(range(n)), [0] * n, [i == n - 1 for i in range(n)])

    def sampler(self, seed: int) -> Any:
        chain = self.api.llama_sampler_chain_init(self.api.llama_sampler_chain_default_params())
        for part in (
            self.api.llama_sampler_init_top_k(TOP_K),
            self.api.llama_sampler_init_temp(TEMPERATURE),
            self.api.llama_sampler_init_typical(TYPICAL_P, 1),
            self.api.llama_sampler_init_dist(seed),
        ):
            self.api.llama_sampler_chain_add(chain, part)
        return chain


def llama_cpp_seconds(path: Path) -> list[float]:
    llama = LlamaCpp(path)
    prompt = story(llama.vocabulary)
    samplers = [llama.sampler(row) for row in range(ROWS)]
    rows = list(range(ROWS))
    llama.read(prompt[:-1])

    def step() -> None:
        llama.api.llama_memory_seq_rm(llama.memory, 0, STORY - 1, -1)  # the last step's row: the story is as it was
        llama.decode(prompt[-1:], [STORY - 1], [0], [True])
        for row in rows[1:]:
            llama.api.llama_memory_seq_rm(llama.memory, row, -1, -1)
            llama.api.llama_memory_seq_cp(llama.memory, 0, row, -1, -1)
        tokens = [llama.api.llama_sampler_sample(sampler, llama.context, 0) for sampler in samplers]
        for position in range(STORY, STORY + TOKENS - 1):
            llama.decode(tokens, [position] * ROWS, rows, [True] * ROWS)
            tokens = [llama.api.llama_sampler_sample(samplers[row], llama.context, row) for row in rows]

    times = seconds(step)
    for sampler in samplers:
        llama.api.llama_sampler_free(sampler)
    llama.close()
    return times


def ctranslate2_seconds(folder: Path, keep_story: bool) -> list[float]:
    from ctranslate2 import Generator

    generator = Generator(str(folder), compute_type="int8", inter_threads=1, intra_threads=THREADS)
    prompt = [str(i) for i in story(len(json.loads((folder / "vocabulary.json").read_text())))]

    def step() -> None:
        results = generator.generate_batch(
            [prompt[-1:]] * ROWS,
            static_prompt=prompt[:-1],
            cache_static_prompt=keep_story,
            include_prompt_in_result=False,
            min_length=TOKENS,
            max_length=TOKENS,
            sampling_topk=TOP_K,
            sampling_temperature=TEMPERATURE,
        )
        assert [len(result.sequences_ids[0]) for result in results] == [TOKENS] * ROWS

    return seconds(step)


def measure(shape: str, folder: Path) -> dict[str, Any]:
    """Seconds of each repeated step by library; under "skipped", why a library is missing."""
    results: dict[str, Any] = {}
    skipped = {}
    for name, run in {
        "llama.cpp Q8_0": lambda: llama_cpp_seconds(gguf_file(shape, folder)),
        "ctranslate2 int8": lambda: ctranslate2_seconds(ctranslate2_folder(shape, folder), keep_story=True),
        "ctranslate2 int8, story read again": lambda: ctranslate2_seconds(
            ctranslate2_folder(shape, folder), keep_story=False
        ),
    }.items():
        try:
            results[name] = run()
        except (ImportError, OSError, RuntimeError) as error:
            skipped[name] = str(error)
        gc.collect()  # one model in memory at a time
    return results | ({"skipped": skipped} if skipped else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepare", action="store_true", help="write the models instead of measuring them")
    parser.add_argument("shape", help="a name in benchmarks/shapes.py")
    parser.add_argument("folder", type=Path, help="where the models are; several shapes share it")
    arguments = parser.parse_args()
    if arguments.prepare:
        prepare(arguments.shape, arguments.folder)
    elif not gguf_file(arguments.shape, arguments.folder).exists():
        sys.exit(f"{arguments.folder} holds no {arguments.shape}: run with --prepare first.")
    else:
        print(json.dumps(measure(arguments.shape, arguments.folder)))


if __name__ == "__main__":
    main()
