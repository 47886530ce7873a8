"""Fine-tuning on decisions: Direct Preference Optimization of a low-rank change to a model's weights.

Of the texts that a reader was offered one was taken. That is a choice between as many as there were, and the
generalisation of the loss to it (Plackett and Luce) is in appendix A.3 of Rafailov et al., 2023 (arXiv:2305.18290): how
much a text is liked, its reward, is the logarithm of how much likelier it is to the model than it was before, times
``BETA``. The change is LoRA's (Hu et al., 2021, arXiv:2106.09685), and is added to the weights in the end.
"""

from __future__ import annotations

import errno
import gc
import json
import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from huggingface_hub import ModelCard
from peft import LoraConfig, get_peft_model
from safetensors import SafetensorError
from transformers import AutoConfig, DynamicCache

from fate.engine import memory
from fate.engine.hub import DESCRIPTIONS, EngineError, find, is_folder, no_weights, weights
from fate.engine.loading import chosen_device, sentence
from fate.engine.reference import cache_argument, croppable, read_model
from fate.learn.examples import PROMPT, TEXT, Example
from fate.learn.measuring import LearnError, Measured, measured

BETA = 0.1  # of the paper
RANK = 16
BATCH = 8  # examples of a step
_NOTES = ("LICENSE*", "NOTICE*", "USE_POLICY*")  # files that go with a model wherever it goes


class Tuning:
    """A model on its way to write what readers chose.

    Args:
        name: folder or hub id, as for ``fate.engine.load``.
        train: what it learns from.
        held_out: what says whether it learns anything.
        device: as for ``fate.engine.load``.
        pickle: also read weights that are not safetensors.
        seed: of the order, and of the weights that begin at random.
        learning_rate: of AdamW, above 0, at first; it falls to 0 along a line.
        progress: told of each example that was read.

    Raises EngineError or LearnError where the model cannot be had, or there is not memory enough.
    """

    def __init__(
        self,
        name: str,
        train: Sequence[Example],
        held_out: Sequence[Example],
        *,
        device: str = "auto",
        pickle: bool = False,
        seed: int = 0,
        learning_rate: float = 5e-4,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._train, self._held_out = train, held_out
        self._learning_rate, self._progress = learning_rate, progress
        self._rng = Random(seed)
        self._device = chosen_device(device)
        self._source = find(name, pickle=pickle)
        self._name = self._source.resolve().name if is_folder(name) else name
        files = {file.name for file in self._source.iterdir()}
        parts = weights(files, lambda index: (self._source / index).read_text(encoding="utf-8"), pickle)
        if parts is None:
            raise no_weights(name)
        size = memory.size_of(self._source, parts)
        torch.manual_seed(seed)
        try:
            precision = _precision(name, size, AutoConfig.from_pretrained(self._source), self._device)
            model, _ = read_model(self._source, precision, pickle=pickle)
            low_rank = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
            # They are of what peft asks transformers, and of what it finds out for itself.
            with warnings.catch_warnings(action="ignore"):
                self._tuned: Any = get_peft_model(model.to(self._device), low_rank)
        except LearnError:
            raise
        except Exception as error:  # transformers and peft raise nearly every kind, depending on what is wrong
            raise EngineError(sentence(name, error)) from error
        self._model: Any = model.eval()  # nothing is left out at random
        self._shares = croppable(DynamicCache(config=model.config))
        self.measured: Measured | None = None  # after the last pass, of the model as ``save`` writes it

    def passes(self, number: int) -> Iterator[Measured]:
        """Learn from every example ``number`` times, once and for all; yields what was learnt after each pass.

        After the last one the change is added to the weights, in the precision in which they are stored, and that is
        what is measured.
        """
        with torch.no_grad():  # the change begins as none
            before = {example: self._logprobs(example) for example in (*self._train, *self._held_out)}
        trained = [weight for weight in self._model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, self._learning_rate, weight_decay=0.0)
        steps = number * math.ceil(len(self._train) / BATCH)
        falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
        for last in (*[False] * (number - 1), True):
            order = self._rng.sample(self._train, len(self._train))
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                for example in batch:
                    rewards = BETA * (self._logprobs(example) - before[example])
                    torch.autograd.backward(-rewards.log_softmax(-1)[0] / len(batch))
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                optimizer.zero_grad()
                falling.step()
            if last:
                learnt_in = next(self._model.parameters()).dtype
                self._model = self._tuned.merge_and_unload().to(self._stored)
                self._model.to(learnt_in)
            self.measured = self._measure(before)
            yield self.measured

    def save(self, folder: Path) -> None:
        """Write the model into a folder that is there: fate and transformers read it as any other.

        Raises LearnError where nothing was learnt, and OSError where it cannot be written.
        """
        if self.measured is None or not self.measured.learnt:
            raise LearnError(
                "Nothing was learnt that holds for sure in stories it did not learn from, so no model was written; "
                "with more decisions there may be."
            )
        try:
            self._write(folder, self.measured)
        except SafetensorError as error:  # a full disk, for one
            raise OSError(errno.EIO, str(error)) from error

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((self._source / "config.json").read_text(encoding="utf-8"))
        return config

    @property
    def _stored(self) -> torch.dtype:
        """The precision of the model's files."""
        config = self._config
        return getattr(torch, config.get("dtype") or config.get("torch_dtype") or "float32")  # type: ignore[no-any-return]

    def _logprobs(self, example: Example) -> torch.Tensor:
        """The log-probability of each text after the prompt; (texts,).

        The prompt is read once for all of them, where keys and values are all that a model keeps of it.
        """
        head, last = (example.prompt[:-1], example.prompt[-1:]) if self._shares else ((), example.prompt)
        kept: dict[str, Any] = {"use_cache": False}
        if head:
            cache = DynamicCache(config=self._model.config)
            kept = {"use_cache": True, cache_argument(self._model): cache}
            self._model(self._tensor([head]), logits_to_keep=1, **kept)
            cache.batch_repeat_interleave(len(example.texts))
        longest = max(map(len, example.texts))
        # What fills a row up comes after all that is scored, so nothing depends on it.
        ids = self._tensor([[*last, *text, *[0] * (longest - len(text))] for text in example.texts])
        logits = self._model(ids[:, :-1], **kept, logits_to_keep=longest).logits[:, -longest:]
        each = logits.float().log_softmax(-1).gather(-1, ids[:, -longest:, None])[..., 0]
        written = torch.arange(longest, device=self._device) < self._tensor([[len(text)] for text in example.texts])
        self._progress(1)
        logprobs: torch.Tensor = (each * written).sum(-1)
        return logprobs

    def _tensor(self, numbers: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor(numbers, device=self._device)

    def _measure(self, before: dict[Example, torch.Tensor]) -> Measured:
        told = []
        with torch.no_grad():
            for example in self._held_out:
                rewards = BETA * (self._logprobs(example) - before[example])
                found = bool(rewards[0] > rewards[1:].max())
                told.append((len(rewards), found, -float(rewards.log_softmax(-1)[0])))
        return measured(told)

    def _write(self, folder: Path, measured: Measured) -> None:
        self._model.to(self._stored).save_pretrained(folder)
        config = self._config
        config.pop("model_name", None)  # it goes by the name of its folder,
        config.setdefault("fate_tuned_from", self._name)  # but is asked for a story as the model before it
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        described = [self._source / name for name in DESCRIPTIONS - {"config.json", "README.md"}]
        for file in (*described, *(file for pattern in _NOTES for file in self._source.glob(pattern))):
            if file.exists():
                shutil.copyfile(file, folder / file.name)
        (folder / "README.md").write_text(self._card(measured), encoding="utf-8")

    def _card(self, measured: Measured) -> str:
        """What it is, before the card of the model that it was, whose licence and conditions are still its own."""
        readme = self._source / "README.md"
        card = ModelCard(readme.read_text(encoding="utf-8") if readme.exists() else "---\n{}\n---\n")
        if "/" in self._name:
            card.data["base_model"] = self._name
        stories = len({example.story_id for example in self._train})
        name = self._config.get("model_name") or self._name
        card.text = (
            f"# {name}, tuned\n\n"
            f"This is {name}, which has learnt with fate from {len(self._train)} decisions of readers in "
            f"{stories} stories: Direct Preference Optimization, beta {BETA:g}, of a change of rank {RANK}, added to "
            "the weights.\n\n"
            f"In {measured.found} of {measured.examples} decisions of other stories, what was taken is what became "
            f"likeliest; guessing would find {measured.by_chance:.0f} ± {measured.deviation:.0f}.\n\n"
            f"What follows is the card of {name}.\n\n{card.text.lstrip()}"
        )
        return str(card)


def _precision(name: str, size: memory.Size, config: Any, device: torch.device) -> torch.dtype:
    """float32 where there is room for it, else bfloat16. Raises LearnError where there is for neither."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what was loaded before may still be held
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory.free()
    needed = 0
    for precision in (torch.float32, torch.bfloat16):
        needed = size.parameters * precision.itemsize + _beside(config.get_text_config())
        if needed <= free:
            return precision
    raise LearnError(
        f"To learn with, {name} needs {memory.gigabytes(needed)} of memory and {memory.gigabytes(free)} are free; "
        "close other programs, or let a smaller model learn."
    )


def _beside(config: Any) -> int:
    """Bytes that a step takes beside the weights, roughly, at 4 a number.

    What is kept of three texts and their prompt in each layer, the scores of the texts with all that is computed from
    them, and the change: its gradients, the optimizer's two means, and itself.
    """
    width, layers, tokens = config.hidden_size, config.num_hidden_layers, PROMPT + 3 * TEXT
    inner, heads = getattr(config, "intermediate_size", None) or 4 * width, getattr(config, "num_attention_heads", 0)
    kept = layers * tokens * (14 * width + 4 * inner + 3 * heads * (PROMPT + TEXT))
    scores = 4 * 3 * TEXT * config.vocab_size
    change = 4 * RANK * layers * (8 * width + 3 * (width + inner))
    return int(4 * (kept + scores + change)) + 300_000_000
