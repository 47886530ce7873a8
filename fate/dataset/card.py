"""The dataset card: what Hugging Face's hub reads in its header, and what a person reads below."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import yaml

from fate.dataset.rows import SCHEMAS
from fate.dataset.writing import Split
from fate.store.records import Batch

TITLE = "Stories chosen in fate"

CONFIGS = {
    "choices": "one row a choice: its prompt and token ids, every candidate with its sampler settings, the policy's "
    "log-density, seed, uniforms, token ids and log-probabilities (of the raw model, and of the distribution it was "
    "drawn from), and every decision that was ever made about it",
    "pairs": "`prompt, chosen, rejected`; pairs of one choice share a `group_id` and are not independent",
    "unpaired": "`prompt, completion, label`: what was taken is true; what was passed over for it, or called none "
    "good, is false",
    "sft": "`prompt, completion`: what was taken into a story",
}

_TEXT = """\
# {title}

A language model offered continuations of a story, each sampled with settings of its own; a reader chose. Both are
here: {choices} choices in {stories} stories, offered between {first} and {last}.

| config | rows | what a row is |
|---|---|---|
{configs}

Splits are by story, never by row, and a story stays in its split when the data grow. White space at the end of a
prompt stands at the beginning of what follows it, except in `choices`, which repeats what the model read.

How a text ended is in `finish_reason`: `sentence` (a sentence was complete), `length` (out of tokens), `eos` (the
story ends here, possibly without a word before it), `cancelled` (cut off, because the reader answered before it was
complete), `hand` (written or edited by the reader). Trainers append an end-of-text token to every completion; for
all but `eos` the story goes on.

Texts by how they ended: {reasons}.

## Who decided

Standing decisions: {decisions}. Annotators: {annotators}. {blind} were made blind, with the parameters hidden.

`chosen` took a candidate, `edited` a text that the reader made of one (a pair: edited over its draft), `written` a
text of the reader's own; `tie` and `none_good` took nothing; `undone` withdraws what the same annotator had said;
`auto` is of a story that wrote itself, and took a candidate that nobody chose. Of each annotator the latest decision on
a choice stands.

## Who wrote

| model | licence | choices |
|---|---|---|
{models}

Settings were drawn anew for every candidate by the policies {policies}; `log_density` is the log-density of each
draw by itself, for importance weights. Drawn were {ranges}. A candidate is written in the chain temperature, Muse
(the `muse_top_k` most probable tokens are damped), top_k, typical_p, softmax, and one uniform number a token through
the inverse distribution function. Where `best_of` is above 1 it is the likeliest of so many texts, by the mean raw
log-probability of their tokens (the longest where several have -0.6 nats or more), among those that end with a
sentence, differ from earlier candidates and repeat least; `warped_logprobs` do not know of the others.
One that came out word for word as another of its choice was written again, from another seed. The texts that were
turned down are not here.

## Known biases

- The stories that readers open and the paths through them are their own: a choice is seen only after the choices
  before it, so later rows depend on earlier tastes.
- Place on the screen: {positions}.
- Few people decided, quickly, for pleasure; this says what they liked to read next, not what is true or good.
- What the models' training texts lean towards, their candidates lean towards.

## Before this is published

{findings}
"""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_VARIED = ("temperature", "top_k", "typical_p", "muse_damp")


@dataclass
class Counts:
    """What the card tells about the data, gathered while they pass by."""

    choices: int = 0
    stories: int = 0  # set at the end
    decisions: Counter[str] = field(default_factory=Counter)
    annotators: Counter[str] = field(default_factory=Counter)
    positions: Counter[int] = field(default_factory=Counter)
    models: Counter[tuple[str, str]] = field(default_factory=Counter)
    policies: Counter[str] = field(default_factory=Counter)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    blind: int = 0
    first: str = ""
    last: str = ""

    def see(self, batch: Batch) -> None:
        """Count choices that follow those before in time."""
        self.choices += len(batch)
        models = ((batch.models[model_id], n) for model_id, n in Counter(batch.choices["model_id"]).items())
        self.models.update({(model["name"], model["license"] or "not stated"): n for model, n in models})
        self.first = self.first or batch.choices["created_at"][0]
        self.last = batch.choices["created_at"][-1]
        table = batch.candidates
        self.reasons.update(reason or "hand" for reason in table["finish_reason"])
        self.policies.update(policy for policy in table["policy"] if policy is not None)
        for name in _VARIED:
            if values := [value for value in table[name] if value is not None]:
                low, high = self.ranges.get(name, (values[0], values[0]))
                self.ranges[name] = (min(low, *values), max(high, *values))
        place = dict(zip(table["id"], table["position"], strict=True))
        for decision in batch.standing():
            self.decisions[decision["kind"]] += 1
            if decision["kind"] != "auto":  # which nobody said
                self.annotators[decision["annotator"]] += 1
            self.blind += decision["blind"]
        for decision in batch.standing(reviews=False):  # those were asked for, and are not answers of a reader at play
            if decision["kind"] == "chosen":
                self.positions[place[decision["candidate_id"]] + 1] += 1


def card(splits: list[Split], counts: Counts, findings: list[str], licence: str, language: str) -> str:
    """README.md for a folder that holds the files of ``splits``."""
    configs = {split.config: [s for s in splits if s.config == split.config] for split in splits}
    rows = max(sum(split.rows for split in of_config) for of_config in configs.values())
    by_hand = counts.reasons["hand"] > 0
    header = {
        "pretty_name": TITLE,
        "language": [language],
        "license": licence,
        "annotations_creators": ["crowdsourced" if len(counts.annotators) > 1 else "expert-generated"],
        "language_creators": ["machine-generated", *(["crowdsourced"] if by_hand else [])],
        "multilinguality": ["monolingual"],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "1M<n<10M")],
        "source_datasets": ["original"],
        "task_categories": ["text-generation"],
        "tags": ["preference", "rlhf", "dpo", "story", "interactive-fiction", "sampling", "fate"],
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": s.name, "path": f"{config}/{s.file.name}"} for s in of_config],
                **({"default": True} if config == ("pairs" if "pairs" in configs else next(iter(configs))) else {}),
            }
            for config, of_config in configs.items()
        ],
        "dataset_info": [_info(config, of_config) for config, of_config in configs.items()],
    }
    text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n\n{_body(configs, counts, findings)}"


def features(schema: pa.Schema, flat: bool = False) -> list[dict[str, Any]]:
    """Columns as the hub's ``dataset_info`` states them; ``flat`` where nested values stand as text (CSV)."""
    return [
        {"name": f.name, **({"dtype": "string"} if flat and pa.types.is_nested(f.type) else _feature(f.type))}
        for f in schema
    ]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_struct(kind):
        return {"struct": features(pa.schema(list(kind)))}
    if pa.types.is_list(kind):
        inner = _feature(kind.value_type)
        return {"list": inner.get("struct", inner.get("dtype"))}
    return {"dtype": {"double": "float64"}.get(str(kind), str(kind))}


def _info(config: str, splits: list[Split]) -> dict[str, Any]:
    sizes = [split.file.stat().st_size for split in splits]
    return {
        "config_name": config,
        "features": features(SCHEMAS[config], flat=splits[0].file.suffix == ".csv"),
        "splits": [
            {"name": split.name, "num_bytes": size, "num_examples": split.rows}
            for split, size in zip(splits, sizes, strict=True)
        ],
        "download_size": sum(sizes),
        "dataset_size": sum(sizes),
    }


def _body(configs: dict[str, list[Split]], counts: Counts, findings: list[str]) -> str:
    configs_table = (
        f"| `{config}` | {', '.join(f'{s.rows:,} {s.name}' for s in splits)} | {CONFIGS[config]} |"
        for config, splits in configs.items()
    )
    models_table = (f"| {name} | {licence} | {n:,} |" for (name, licence), n in sorted(counts.models.items()))
    ranges = (f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in counts.ranges.items())
    return _TEXT.format(
        title=TITLE,
        choices=f"{counts.choices:,}",
        stories=f"{counts.stories:,}",
        first=counts.first[:10],
        last=counts.last[:10],
        configs="\n".join(configs_table),
        reasons=_list(counts.reasons),
        decisions=_list(counts.decisions),
        annotators=_list(counts.annotators),
        blind=f"{counts.blind:,} of {sum(counts.decisions.values()):,}",
        models="\n".join(models_table),
        policies=_list(counts.policies),
        ranges=", ".join(ranges),
        positions=_positions(counts.positions),
        findings="\n".join(f"- {finding}" for finding in findings),
    )


def _list(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counter.most_common()) or "none"


def _positions(positions: Counter[int]) -> str:
    taken = positions.total()
    shares = (f"{n / taken:.0%} of the chosen stood at place {place}" for place, n in sorted(positions.items()))
    return f"{', '.join(shares)} (of {taken:,})" if taken else "nothing was chosen yet"
