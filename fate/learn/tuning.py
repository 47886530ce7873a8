"""Fine-tuning on choices: Direct Preference Optimization of a low-rank change to a model's weights.

Of the texts that a reader was offered one was taken. That is a choice between as many as there were, and the
generalisation of the loss to it (Plackett and Luce) is in appendix A.3 of Rafailov et al., 2023 (arXiv:2305.18290):
the logarithm of how much likelier a text is to the model than it was before, times ``BETA``, is how much it is liked.
The change is Hu et al., 2021 (LoRA, arXiv:2106.09685), and is added to the weights in the end.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast
from uuid import uuid4

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

from fate.engine import memory
from fate.engine.hub import DESCRIPTIONS, find, license_of, no_weights, weights
from fate.engine.loading import chosen_device
from fate.engine.reference import read_model
from fate.learn.examples import PROMPT, TEXT, Example, LearnError

BETA = 0.1  # of the paper
RANK = 16
TOGETHER = 8  # examples of a step
_ROWS = 60  # of keys and values: three texts, of each token of which a step keeps some twenty times as much as those


@dataclass(frozen=True, slots=True)
class Measured:
    """How well a model tells what was taken, on examples that it did not learn from.

    ``loss`` is in nats a choice. ``found`` of ``examples`` had the text that was taken as the one that became likeliest
    in comparison with the model before; ``chance`` and ``even`` are what guessing would have: a number of examples, and
    a loss.
    """

    loss: float
    found: int
    examples: int
    chance: float
    even: float


class Tuning:
    """A model on its way to write what readers chose.

    Args:
        name: folder or hub id, as for ``fate.engine.load``.
        folder: a new one, for what ``save`` writes.
        learning: what it learns from.
        measuring: what says whether it learns anything.
        device: as for ``fate.engine.load``.
        pickle: also read weights that are not safetensors.
        seed: of the order, and of the weights that begin at random.
        learning_rate: of AdamW, above 0, at first; it falls to 0 along a line.
        progress: told of each example that was read.

    Raises EngineError or LearnError where the model cannot be had, there is not memory enough, or the folder exists.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        learning: Sequence[Example],
        measuring: Sequence[Example],
        *,
        device: str = "auto",
        pickle: bool = False,
        seed: int = 0,
        learning_rate: float = 2e-4,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise LearnError(f"{folder} exists and is not empty; name a new folder.")
        self.name, self.folder = name, folder
        self._learning, self._measuring = learning, measuring
        self._learning_rate, self._progress = learning_rate, progress
        self._rng = Random(seed)
        self._device = chosen_device(device)
        self._source = find(name, pickle=pickle)
        files = {file.name for file in self._source.iterdir()}
        parts = weights(files, lambda index: (self._source / index).read_text(encoding="utf-8"), pickle)
        if parts is None:
            raise no_weights(name)
        self._weights = {*parts.files, *([parts.index] if parts.index else [])}
        precision = _precision(name, memory.size_of(self._source, parts), self._device)
        model, _ = read_model(self._source, precision, pickle=pickle)
        torch.manual_seed(seed)
        low_rank = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
        with warnings.catch_warnings(
            action="ignore"
        ):  # of what peft asks transformers, and of what it finds for itself
            self._model: Any = get_peft_model(model.to(self._device), low_rank).eval()  # nothing is dropped at random
        self.best: Measured | None = None  # of the pass whose weights ``save`` writes
        self._weights_of_best: dict[str, torch.Tensor] = {}

    def passes(self, number: int) -> Iterator[Measured]:
        """Learn from every example ``number`` times; yields what was learnt after each pass.

        The best of them, by loss, is what ``save`` writes. It is read ``number + 1`` times what ``measuring`` has, and
        ``learning`` once more, because the change begins as none and what it scores then is what the model scored.
        """
        with torch.inference_mode():
            before = {example: self._scores(example) for example in (*self._learning, *self._measuring)}
        # What was made in inference mode cannot be learnt with.
        before = {example: scores.clone() for example, scores in before.items()}
        trained = [weight for weight in self._model.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, self._learning_rate, weight_decay=0.0)
        steps = number * -(-len(self._learning) // TOGETHER)
        falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
        for _ in range(number):
            order = self._rng.sample(self._learning, len(self._learning))
            for start in range(0, len(order), TOGETHER):
                together = order[start : start + TOGETHER]
                for example in together:
                    liked = self._liked(example, before[example])
                    torch.autograd.backward(-liked.log_softmax(-1)[0] / len(together))
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                optimizer.zero_grad()
                falling.step()
            yield self._measured(before)

    def save(self) -> None:
        """Write the model of the best pass, whole: fate and transformers read it as any other.

        Raises LearnError where nothing was learnt, or the folder cannot be written.
        """
        best = self.best
        if best is None or best.loss >= best.even:
            raise LearnError(
                "Nothing was learnt that holds in stories it did not learn from, so no model was written; "
                "with more choices there may be."
            )
        set_peft_model_state_dict(self._model, self._weights_of_best)
        part = self.folder.parent / f".{self.folder.name}-{uuid4().hex}"
        try:
            self._write(part, best)
            part.replace(self.folder)
        except OSError as error:
            raise LearnError(f"{self.folder} could not be written: {error.strerror}.") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    # --- inside -----------------------------------------------------------------------------------

    def _scores(self, example: Example) -> torch.Tensor:
        """The log-probability of each text after the prompt; (texts,)."""
        prompt, longest = example.prompt, max(map(len, example.texts))
        # What fills a row up comes after all that is scored, so nothing depends on it.
        rows = [[*prompt, *text, *[0] * (longest - len(text))] for text in example.texts]
        ids = torch.tensor(rows, device=self._device)
        wanted = torch.arange(len(prompt) - 1, ids.shape[1] - 1, device=self._device)
        logits = self._model(input_ids=ids[:, :-1], logits_to_keep=wanted, use_cache=False).logits
        logits = logits[:, -longest:].float()
        each = logits.log_softmax(-1).gather(-1, ids[:, len(prompt) :, None])[..., 0]
        sizes = torch.tensor([len(text) for text in example.texts], device=self._device)
        inside = torch.arange(longest, device=self._device) < sizes[:, None]
        self._progress(1)
        scores: torch.Tensor = (each * inside).sum(-1)
        return scores

    def _liked(self, example: Example, before: torch.Tensor) -> torch.Tensor:
        return BETA * (self._scores(example) - before)

    def _measured(self, before: dict[Example, torch.Tensor]) -> Measured:
        losses, found = [], 0
        with torch.inference_mode():
            for example in self._measuring:
                liked = self._liked(example, before[example])
                losses.append(-float(liked.log_softmax(-1)[0]))
                found += int(liked.argmax() == 0)
        sizes = torch.tensor([len(example.texts) for example in self._measuring], dtype=torch.float64)
        measured = Measured(
            sum(losses) / len(losses), found, len(losses), float((1 / sizes).sum()), float(sizes.log().mean())
        )
        if self.best is None or measured.loss < self.best.loss:
            self.best = measured
            self._weights_of_best = {
                name: weight.detach().clone() for name, weight in get_peft_model_state_dict(self._model).items()
            }
        return measured

    def _write(self, folder: Path, best: Measured) -> None:
        config = json.loads((self._source / "config.json").read_text(encoding="utf-8"))
        stored = config.get("dtype") or config.get("torch_dtype") or "float32"
        model = self._model.merge_and_unload().to(getattr(torch, stored))
        model.save_pretrained(folder)
        for file in self._source.iterdir():
            if file.name in DESCRIPTIONS and file.name not in ("config.json", "README.md"):
                shutil.copyfile(file, folder / file.name)
        config.pop("model_name", None)  # it goes by the name of its folder
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(self._card(best), encoding="utf-8")

    def _card(self, best: Measured) -> str:
        licence = license_of(self._source)
        choices, stories = len(self._learning), len({example.story_id for example in self._learning})
        return "\n".join(
            [
                "---",
                *([f"license: {licence}"] if licence else []),
                "library_name: transformers",
                "pipeline_tag: text-generation",
                "tags: [fate, dpo]",
                "---",
                "",
                f"{self.name}, which has learnt from {choices} choices of readers in {stories} stories: Direct "
                f"Preference Optimization, beta {BETA:g}, of a change of rank {RANK}, merged into the weights.",
                "",
                f"In {best.examples} choices of other stories the text that was taken is the one that became "
                f"likeliest in {best.found} ({best.chance:.0f} by chance); the loss is {best.loss:.3f} nats "
                f"({best.even:.3f}). The pass through the choices after which it was written was chosen by that loss.",
                "",
            ]
        )


def _precision(name: str, size: memory.Size, device: torch.device) -> torch.dtype:
    """float32 where there is room for it, else bfloat16. Raises LearnError where there is for neither."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory.free()
    for precision in ("float32", "bfloat16"):
        needed = memory.needed(size, precision, PROMPT + TEXT, _ROWS)
        if needed <= free:
            return cast(torch.dtype, getattr(torch, precision))
    raise LearnError(
        f"To learn with, {name} needs {memory.gigabytes(needed)} of memory and {memory.gigabytes(free)} are free; "
        "close other programs, or let a smaller model learn."
    )
