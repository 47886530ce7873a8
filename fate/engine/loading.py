"""From a folder or a hub id to an Engine, or one sentence that says why not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError

from fate.core.choice import ModelInfo
from fate.core.picking import RULES
from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.engine import families, memory, native
from fate.engine.checkpoint import tensors
from fate.engine.decoding import Decoder, Engine
from fate.engine.families import UnknownDecoderError
from fate.engine.fingerprint import fingerprint
from fate.engine.hub import (
    ADVICE,
    TOKENIZER_FILES,
    EngineError,
    Weights,
    cached,
    find,
    is_folder,
    license_of,
    no_weights,
    weights,
)
from fate.engine.kernels import Precision, products
from fate.engine.lean import LeanDecoder, Tensors
from fate.engine.prompting import Chat, Preamble, preamble_of
from fate.engine.spelling import decode, text_after
from fate.engine.tokenizing import read_tokenizer

LEAST_CONTEXT = 128
_UNCOMPILED = 12  # at most, where nothing is compiled for the processor: they take three times as long there
_BEST_OF = 6  # texts of a candidate, by a model so small that they are written in the blink of an eye


def load(
    name: str,
    *,
    context: int = 1024,
    precision: str = "auto",
    device: str = "auto",
    chat: Chat = "auto",
    pickle: bool = False,
    progress: Callable[[str], object] = lambda _: None,
) -> Engine:
    """Load a causal LM from a folder or from the Hugging Face hub.

    Args:
        name: folder, or hub id; one that is not in the local cache yet is downloaded.
        context: the most tokens used at once; fewer where the model's own limit is lower.
        precision: of the weights: float32, float16, bfloat16, int8, or auto. What they really are in is in
            ``Engine.info``.
        device: cpu, cuda, mps, or auto: the best that is here.
        chat: whether the story is asked for in the model's chat template; see ``preamble_of``.
        pickle: also read weights that are not safetensors; such a file can run any code.
        progress: told in a few words what is being done.

    Raises EngineError where the model is missing, broken, no causal LM, or needs more memory than is free. Code
    that comes with a model is never run.
    """
    on = chosen_device(device)
    folder = find(name, pickle=pickle, progress=progress)
    own_name = folder.resolve().name if is_folder(name) else name
    files = {file.name for file in folder.iterdir()}
    parts = weights(files, lambda index: (folder / index).read_text(encoding="utf-8"), pickle)
    if parts is None:
        raise no_weights(name)
    size = memory.size_of(folder, parts)
    try:
        progress("reading the tokenizer")
        described = _described(folder)
        facts = _facts(folder, described)
        tokenizer = read_tokenizer(folder)
    except Exception as error:  # transformers raises nearly every kind, depending on what is wrong
        raise EngineError(sentence(name, error)) from error
    if len(tokenizer) > facts.vocabulary:
        raise EngineError(
            f"The tokenizer of {name} knows {len(tokenizer)} tokens and its model only {facts.vocabulary}; "
            "they do not belong together."
        )
    if facts.context < LEAST_CONTEXT:
        raise EngineError(
            f"{name} reads only {facts.context} tokens at once, too few for a story; choose another model."
        )
    context = min(context, facts.context)
    preamble = preamble_of(facts.tuned_from or own_name, tokenizer, chat, facts.window_without_start)
    if len(preamble.start) > context // 4:
        raise EngineError(
            f"The chat template of {name} takes {len(preamble.start)} of the {context} tokens that it may read; "
            'raise the setting context, or set chat = "off".'
        )
    if on.type == "cpu":
        if native.to_compile():
            progress("compiling for this processor, this once")
        if native.library() is None:
            progress("nothing could be compiled for this processor: it writes, but slower")
    runs_in = executed(precision, size, on, lean=described is not None)
    if precision not in ("auto", runs_in):
        progress(f"not in {precision}: this model is held in {runs_in} here")
    expected = _sampler(facts, size, on, lean=described is not None)
    _check_memory(name, size, runs_in, on, context, described is not None, expected, progress)
    progress("reading the weights")
    try:
        decoder = _decoder(name, folder, parts, described, runs_in, on, context, pickle)
    except EngineError:
        raise
    except SafetensorError as error:
        raise EngineError(f"The weights of {name} are damaged ({error}); fetch them again.") from error
    except Exception as error:  # as above
        raise EngineError(sentence(name, error)) from error
    progress("trying it")
    try:
        works = _continues(decoder, facts.vocabulary, 1e-2 if runs_in == "float32" else 5e-2)
    except Exception as error:  # whatever a model that does not fit does
        raise EngineError(f"{name} cannot go on from a text that it has read ({error!r}); {ADVICE}.") from error
    if not works:
        raise EngineError(
            f"{name} gives other scores when it goes on from a text than when it reads the whole, or none at all, "
            f"so its stories would be nonsense; {ADVICE}."
        )
    progress("taking fingerprints")
    whose = products(runs_in) if isinstance(decoder, LeanDecoder) and on.type == "cpu" else "torch"
    info = _info(own_name, folder, parts.files, preamble, facts, runs_in, on, whose)
    sampler = _sampler(facts, size, on, lean=isinstance(decoder, LeanDecoder))
    return Engine(decoder, tokenizer, info, context, _eos_ids(folder, facts, tokenizer), preamble, sampler)


def _sampler(facts: _Facts, size: memory.Size, device: torch.device, lean: bool) -> dict[str, Any]:
    """The fields of SamplerSettings that suit a model: those that it names, and as many texts as are soon written."""
    texts = facts.sampler.get("best_of", _BEST_OF)
    if not lean or size.parameters > memory.SMALL:
        texts = 1
    elif device.type == "cpu" and native.library() is None:
        texts = min(texts, _UNCOMPILED)
    return {**facts.sampler, "best_of": texts}


def _described(folder: Path) -> families.Decoder | None:
    """What the lean forward has to know of a model; None where it does not know its kind."""
    try:
        return families.describe(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (UnknownDecoderError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True, slots=True)
class _Facts:
    """What fate needs to know from a model's config.json."""

    architecture: str  # the class of transformers that the model is of
    vocabulary: int
    context: int  # tokens the model was made for
    end: Any  # its end token or tokens, if it names any
    model_name: str | None
    window_without_start: bool
    tuned_from: str | None  # the name of the model that it was before ``fate learn``
    sampler: dict[str, Any]  # the fields of SamplerSettings that suit it, if it says any


def _facts(folder: Path, described: families.Decoder | None) -> _Facts:
    """From the file itself where the lean forward knows the model, so that transformers is not imported for it."""
    if described is not None:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        name, vocabulary, context = described.architecture, described.vocabulary, described.context
    else:
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        said, vocabulary, context = vars(config), config.get_text_config().vocab_size, _context_limit(config)
        name = str(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type, config.model_type))
    window_without_start = bool(said.get("window_without_start", False))
    sampler = said.get("fate_sampler", {})
    SamplerSettings(**sampler)
    if drawn := sorted(sampler.keys() & {field.name for field in fields(SettingsRanges)}):
        raise ValueError(f"its fate_sampler has {drawn[0]}, which is drawn for each candidate")
    return _Facts(
        name,
        vocabulary,
        context,
        said.get("eos_token_id"),
        said.get("model_name"),
        window_without_start,
        said.get("fate_tuned_from"),
        sampler,
    )


def _context_limit(config: Any) -> int:
    """Tokens the model was made for; 2,048 where it sets itself no limit."""
    for name in ("max_position_embeddings", "n_positions", "seq_length"):
        if limit := getattr(config, name, None):
            return int(limit)
    return 2048


def _decoder(
    name: str,
    folder: Path,
    parts: Weights,
    described: families.Decoder | None,
    precision: str,
    device: torch.device,
    context: int,
    pickle: bool,
) -> Decoder:
    """The lean forward where it knows the model, else transformers' own."""
    if described is not None and not (device.type == "cpu" and precision == "bfloat16"):
        with contextlib.suppress(UnknownDecoderError):  # a weight that it misses; transformers says which
            read = _finite(name, tensors([folder / file for file in parts.files]))
            return LeanDecoder(described, read, cast(Precision, precision), device, context)
    from fate.engine.reference import TransformersDecoder, read_model

    model, missing = read_model(folder, getattr(torch, precision, torch.float32), pickle=pickle)
    if missing:
        raise EngineError(
            f"{name} is not a complete causal language model: {len(missing)} weights are missing, "
            f"{missing[0]} among them; {ADVICE}."
        )
    return TransformersDecoder(model.to(device).eval())


def _finite(name: str, read: Tensors) -> Tensors:
    """``read``, with EngineError where a tensor holds what is no number: kernels of 16 and 8 bit would hide it."""

    def tensor(of: str) -> torch.Tensor | None:
        found = read(of)
        if found is not None and not found.sum(dtype=torch.float32).isfinite():
            raise EngineError(f"The weights of {name} are damaged: {of} holds what is no number; fetch them again.")
        return found

    return tensor


def _continues(decoder: Decoder, vocabulary: int, near: float) -> bool:
    """Whether scores are numbers, and from what is kept near those from the whole text, as a share of the largest."""
    ids = tuple(n % vocabulary for n in range(1, 9))
    whole, _ = decoder.begin([ids], 1, 1)
    whole = whole.clone()
    decoder.forget()
    decoder.begin([ids[:5]], 2, 4)
    for token in ids[5:]:
        parts = decoder.advance([token, token])
    decoder.forget()
    atol = near * float(whole.abs().max())
    return bool(whole.isfinite().all()) and torch.allclose(parts, whole.expand(2, -1), rtol=0, atol=atol)


def _eos_ids(folder: Path, facts: _Facts, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a text, as any file of the model names them."""
    named = [tokenizer.eos_token_id, facts.end]
    with contextlib.suppress(OSError, ValueError):  # not every model has that file
        named.append(json.loads((folder / "generation_config.json").read_text(encoding="utf-8")).get("eos_token_id"))
    ids: set[int] = set()
    for source in named:
        ids.update(source if isinstance(source, list) else [] if source is None else [source])
    return frozenset(ids)


def spellings(name: str) -> dict[str, Callable[[Sequence[int], Sequence[int]], str]]:
    """What token ids add to a prompt's, or to nothing, as text: with and without the model's chat template.

    The keys are what ``ModelInfo.tokenizer_sha256`` is in each case. Nothing is downloaded. Raises EngineError.
    """
    folder = Path(name).expanduser() if is_folder(name) else cached(name, pickle=True)
    if folder is None:
        raise EngineError(f"{name} is neither a folder here nor in the local cache of the hub.")
    own_name = folder.resolve().name if is_folder(name) else name
    try:
        tokenizer = read_tokenizer(folder)
    except Exception as error:  # as in load
        raise EngineError(sentence(name, error)) from error
    with contextlib.suppress(OSError, ValueError):
        own_name = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("fate_tuned_from", own_name)
    preambles = [preamble_of(own_name, tokenizer, "off")]
    with contextlib.suppress(EngineError):  # most models have no template
        preambles.append(preamble_of(own_name, tokenizer, "on"))
    return {_tokenizer_sha256(folder, preamble): partial(_spelled, tokenizer, preamble) for preamble in preambles}


def _spelled(tokenizer: Any, preamble: Preamble, before: Sequence[int], ids: Sequence[int]) -> str:
    return text_after(tokenizer, before, ids) if len(before) else decode(tokenizer, preamble.story(ids))


def chosen_device(wanted: str) -> torch.device:
    """The one place that says where a model runs. Raises EngineError for a device that is not here."""
    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here.insert(0, "cuda")
    if wanted not in ("auto", *here):
        raise EngineError(f"The device {wanted} is not here; this machine has {' and '.join(here)}.")
    return torch.device(here[0] if wanted == "auto" else wanted)


def executed(wanted: str, size: memory.Size, device: torch.device, lean: bool) -> str:
    """The precision in which a model's weights are held on a device: the one place that knows what there is.

    By itself a CPU holds a small model in float32 and a larger one in 16 bit, and a GPU all in 16 bit: bfloat16 where
    it has that, else float16. float16 and int8 are for what they save, so that a CPU holds a small model in float32
    all the same; and one for which it has no such kernel, or which the lean forward does not know (``lean`` is false).
    Raises EngineError for what cannot be.
    """
    if device.type != "cpu":
        if wanted == "int8":
            raise EngineError(f"int8 is for the CPU; on {device.type} choose float16 or bfloat16.")
        return wanted if wanted != "auto" else "bfloat16" if _has_bfloat16(device) else "float16"
    if wanted == "auto":
        wanted = "float32" if size.parameters <= memory.SMALL else "float16"
    narrow = wanted in ("float16", "int8")
    held = wanted in memory.precisions(size) and not (narrow and (not lean or products(wanted) == "torch"))
    return wanted if held else "float32"


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:  # on Apple it depends on the system's version
        torch.ones(2, 2, dtype=torch.bfloat16, device=device) @ torch.ones(2, 2, dtype=torch.bfloat16, device=device)
    except (RuntimeError, TypeError):
        return False
    return True


def _check_memory(
    name: str,
    size: memory.Size,
    precision: str,
    device: torch.device,
    context: int,
    lean: bool,
    sampler: Mapping[str, Any],
    progress: Callable[[str], object],
) -> None:
    """Say what a model needs, and raise EngineError where that is more than is free."""
    rows = memory.ROWS if lean else memory.ROWS + 1  # transformers' forward keeps the story beside them
    # Nine candidates are written ahead; each text keeps itself and the passage before it.
    usual = SamplerSettings(**sampler)
    texts = 9 * usual.best_of * 2 * usual.max_new_tokens if usual.best_of > 1 else 0
    needed = memory.needed(size, precision, context, rows, texts)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory.free()
    progress(f"the model needs {memory.gigabytes(needed)} of memory, {memory.gigabytes(free)} free")
    if needed <= free:
        return
    smaller = [
        f"--precision {other} needs {memory.gigabytes(less)}"
        for other in memory.BYTES
        if (less := memory.needed(size, other, context, rows, texts)) <= free and _executes(other, size, device, lean)
    ]
    way_out = "; ".join(smaller) or "close other programs, or choose a smaller model (`fate models` names some)"
    raise EngineError(
        f"{name} needs {memory.gigabytes(needed)} of memory in {precision} and {memory.gigabytes(free)} are free; "
        f"{way_out}."
    )


def _executes(precision: str, size: memory.Size, device: torch.device, lean: bool) -> bool:
    """Whether weights would really be in a precision."""
    try:
        return executed(precision, size, device, lean) == precision
    except EngineError:
        return False


def sentence(name: str, error: Exception) -> str:
    """What went wrong, in one sentence with a way out."""
    said = " ".join(str(error).split())
    if "Unrecognized configuration class" in said or "does not recognize this architecture" in said:
        return f"{name} is not a causal language model that transformers {version('transformers')} knows; {ADVICE}."
    if "trust_remote_code" in said:
        return f"{name} needs code of its own to run, which fate never does; choose another model."
    return f"{name} could not be loaded ({type(error).__name__}: {said[:160].rstrip('.')}); {ADVICE}."


def _info(
    name: str,
    folder: Path,
    weight_files: Sequence[str],
    preamble: Preamble,
    facts: _Facts,
    precision: str,
    device: Any,
    products: str,
) -> ModelInfo:
    ran: dict[str, Any] = {
        "architecture": facts.architecture,
        "weights_sha256": fingerprint([folder / file for file in weight_files]),
        "tokenizer_sha256": _tokenizer_sha256(folder, preamble),
        "precision": precision,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "versions": json.dumps(
            {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": version("transformers"),
                "products": products,
                "picking": RULES,
            }
        ),
    }
    digest = hashlib.sha256(json.dumps(ran, sort_keys=True).encode()).hexdigest()
    return ModelInfo(id=digest, name=facts.model_name or name, license=license_of(folder), **ran)


def _tokenizer_sha256(folder: Path, preamble: Preamble) -> str:
    """The sha256 of the tokenizer's files; with a chat template, the sha256 of that and of the template's words."""
    files = fingerprint([folder / file for file in TOKENIZER_FILES if (folder / file).exists()])
    return hashlib.sha256(f"{files} {preamble.template}".encode()).hexdigest() if preamble.template else files
