"""What to look at before a dataset is published: personal data, and texts that repeat each other."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fate.dataset.hashes import Hashes, digests
from fate.dataset.privacy import KINDS, personal_data
from fate.dataset.repeats import ALIKE, SHINGLE, Repeated, Repeats
from fate.store.records import Batch

_HINT = r"[@\p{Nd}]"  # a text without either holds no personal data, see privacy


class Findings:
    """Counts different things in memory that hardly grows with them: what was seen is in files in ``scratch``.

    Once closed, ``personal`` has how many different ones of each kind there are, ``texts`` how many texts of
    candidates, and ``repeated`` how many of these repeat an earlier one.
    """

    def __init__(self, scratch: Path) -> None:
        self.personal: dict[str, int] = {}
        self.texts, self.repeated = 0, Repeated(0, 0)
        self._seen = {kind: Hashes(scratch / kind) for kind in KINDS}
        self._repeats = Repeats(scratch)

    def look_at(self, batch: Batch) -> None:
        """All that is published of choices. Prompts repeat each other anyway, only candidates count there."""
        self._repeats.add(batch.candidates["text"])
        published = [
            *batch.candidates["text"],
            *batch.choices["prompt"],
            *(story[name] for story in batch.stories.values() for name in ("title", "opening")),
            *set(batch.decisions["annotator"]),
        ]
        # Arrow looks through all these letters many times as fast as Python.
        held = pc.match_substring_regex(pa.array(published, pa.string()), _HINT)
        found = defaultdict(set)
        for place in np.flatnonzero(held):
            for kind, thing in personal_data(published[place]):
                found[kind].add(thing)
        for kind, things in found.items():
            self._seen[kind].add(digests(things))

    def close(self) -> None:
        """Count; ``scratch`` is no longer needed then."""
        self.texts, self.repeated = self._repeats.texts, self._repeats.count()
        for kind, seen in self._seen.items():
            if different := seen.different():
                self.personal[kind] = different
            seen.close()

    def sentences(self) -> list[str]:
        """The report, a line for each kind."""
        exactly, nearly = self.repeated
        return [
            f"Personal data: {', '.join(f'{self.personal.get(kind, 0):,} {kind}' for kind in KINDS)}.",
            f"Repeated texts: {exactly:,} of {self.texts:,} word for word, {nearly:,} more nearly "
            f"(with an earlier text they share {ALIKE:.0%} of their sequences of {SHINGLE} words).",
        ]
