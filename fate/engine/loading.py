"""From a folder or a hub id to an Engine, or one sentence that says why not."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from huggingface_hub import metadata_load, try_to_load_from_cache
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache

from fate.core.choice import ModelInfo
from fate.core.errors import FateError
from fate.engine.checkpoint import tensors
from fate.engine.decoding import Decoder, Engine
from fate.engine.families import UnknownDecoderError, describe
from fate.engine.fingerprint import fingerprint
from fate.engine.lean import LeanDecoder
from fate.engine.reference import TransformersDecoder

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt", "spiece.model")
LEAST_CONTEXT = 128
_ADVICE = "give a folder with config.json, or a hub id such as bigscience/bloom-560m"


class EngineError(FateError):
    """A model that cannot be used."""


def load(
    name: str, *, context: int = 1024, pickle: bool = False, progress: Callable[[str], object] = lambda _: None
) -> Engine:
    """Load a causal LM from a folder or from the Hugging Face hub, in fp32 on the CPU.

    Args:
        name: folder, or hub id.
        context: the most tokens used at once; fewer where the model's own limit is lower.
        pickle: also read weights that are not safetensors; such a file can run any code.
        progress: told in a few words what is being done.

    Raises EngineError where the model is missing, broken, or no causal LM. Code that comes with a
    model is never run.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    source = _source(name)
    try:
        progress("reading the tokenizer")
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        progress("reading the weights")
        model, report = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=None if pickle else True,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise EngineError(f"The weights of {name} are damaged ({error}); fetch them again.") from error
    except Exception as error:  # transformers raises nearly every kind, depending on what is wrong
        raise EngineError(_sentence(name, error)) from error
    if missing := sorted(report["missing_keys"]):
        raise EngineError(
            f"{name} is not a complete causal language model: {len(missing)} weights are missing, "
            f"{missing[0]} among them; {_ADVICE}."
        )
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise EngineError(
            f"The tokenizer of {name} knows {len(tokenizer)} tokens and its model only "
            f"{model.get_input_embeddings().num_embeddings}; they do not belong together."
        )
    limit = _context_limit(model.config)
    if limit < LEAST_CONTEXT:
        raise EngineError(f"{name} reads only {limit} tokens at once, too few for a story; choose another model.")
    model.eval()
    progress("trying it")
    try:
        works = _continues(model)
    except Exception as error:  # whatever a model that does not fit does
        raise EngineError(f"{name} cannot go on from a text that it has read ({error!r}); {_ADVICE}.") from error
    if not works:
        raise EngineError(
            f"{name} gives other scores when it goes on from a text than when it reads the whole, or none at all, "
            f"so its stories would be nonsense; {_ADVICE}."
        )
    progress("taking fingerprints")
    context = min(context, limit)
    folder = _folder(source)
    try:
        files = sorted(folder.glob("*.safetensors"))
        decoder: Decoder = LeanDecoder(
            describe(json.loads((folder / "config.json").read_text())), tensors(files), "float32", context=context
        )
    except UnknownDecoderError as e:
        print("UNKNOWN", e)
        decoder = TransformersDecoder(model)
    return Engine(decoder, tokenizer, _info(source, model), context, _eos_ids(model, tokenizer))


def _eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    ids: set[int] = set()
    for source in (tokenizer.eos_token_id, model.config.eos_token_id, model.generation_config.eos_token_id):
        ids.update(source if isinstance(source, list) else [] if source is None else [source])
    return frozenset(ids)


def load_tokenizer(name: str) -> tuple[Any, str]:
    """A model's tokenizer and the sha256 that ``ModelInfo`` has for it. Raises EngineError."""
    source = _source(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # as in load
        raise EngineError(_sentence(name, error)) from error
    return tokenizer, _tokenizer_sha256(_folder(source))


@torch.inference_mode()
def _continues(model: Any) -> bool:
    """Whether the model's scores are numbers, and the same from kept keys and values as from the whole text."""
    ids = torch.arange(1, 9, device=model.device).remainder(model.config.get_text_config().vocab_size).unsqueeze(0)
    whole = model(input_ids=ids, use_cache=False).logits[:, -1].float()
    cache = DynamicCache(config=model.config)
    model(input_ids=ids[:, :5], past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(2)
    parts = model(input_ids=ids[:, 5:].repeat(2, 1), past_key_values=cache, use_cache=True).logits[:, -1].float()
    near = 1e-2 * float(whole.abs().max())
    return bool(whole.isfinite().all()) and torch.allclose(parts, whole.expand(2, -1), rtol=0, atol=near)


def _source(name: str) -> str:
    """The folder, or the hub id, that ``name`` stands for."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise EngineError(f"The folder {name} holds no config.json, so it is no model; {_ADVICE}.")
        return str(folder)
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise EngineError(f"There is no folder {name}; {_ADVICE}.")
    return name


def _sentence(name: str, error: Exception) -> str:
    """What went wrong, in one sentence with a way out."""
    said = " ".join(str(error).split())
    local = Path(name).expanduser().is_dir()
    if "Unrecognized configuration class" in said or "does not recognize this architecture" in said:
        return f"{name} is not a causal language model that transformers {transformers.__version__} knows; {_ADVICE}."
    if "trust_remote_code" in said:
        return f"{name} needs code of its own to run, which fate never does; choose another model."
    if "safetensors" in said and ("no file named" in said or "does not appear to have" in said):
        return f"{name} has no safetensors weights; if you trust its author, add --allow-pickle."
    if not local and isinstance(error, OSError):
        return f"{name} is neither a folder here nor within reach on the hub; check the name and the network."
    return f"{name} could not be loaded ({type(error).__name__}: {said[:160].rstrip('.')}); {_ADVICE}."


def _context_limit(config: Any) -> int:
    """Tokens the model was made for; 2,048 where it sets itself no limit (BLOOM)."""
    for name in ("max_position_embeddings", "n_positions", "seq_length"):
        if limit := getattr(config, name, None):
            return int(limit)
    return 2048


def _folder(source: str) -> Path:
    """Where the files of a folder or of a hub id lie."""
    if Path(source).is_dir():
        return Path(source)
    cached = try_to_load_from_cache(source, "config.json")
    if not isinstance(cached, str):
        raise EngineError(f"{source} was loaded but is not in the local cache of the hub; load it from a folder.")
    return Path(cached).parent


def _info(source: str, model: Any) -> ModelInfo:
    folder = _folder(source)
    own_name = folder.resolve().name if Path(source).is_dir() else source
    facts: dict[str, Any] = {
        "architecture": type(model).__name__,
        "weights_sha256": fingerprint(sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))),
        "tokenizer_sha256": _tokenizer_sha256(folder),
        "precision": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "versions": json.dumps(
            {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            }
        ),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    name = getattr(model.config, "model_name", None) or own_name
    return ModelInfo(id=digest, name=name, license=_license(folder), **facts)


def _tokenizer_sha256(folder: Path) -> str:
    return fingerprint([folder / file for file in _TOKENIZER_FILES if (folder / file).exists()])


def _license(folder: Path) -> str | None:
    """What the header of the model's card states."""
    try:
        header = metadata_load(folder / "README.md") or {}
    except (OSError, ValueError, yaml.YAMLError):  # no card, or one that nobody can read
        return None
    stated = header.get("license_name") or header.get("license")
    return str(stated) if stated else None
