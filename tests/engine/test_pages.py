import sys

import pytest
import torch

from fate.engine import pages
from fate.engine.pages import use_huge_pages


def huge_kilobytes():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("AnonHugePages"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked")
def test_large_memory_is_gathered_and_stays_what_it_was():
    numbers = torch.arange(1 << 23)
    before = huge_kilobytes()
    use_huge_pages()
    assert torch.equal(numbers, torch.arange(1 << 23))
    if huge_kilobytes() == before:
        pytest.skip("this system gives no huge pages")


def test_a_system_that_cannot_be_asked_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    use_huge_pages()
    monkeypatch.setattr(sys, "platform", "linux")

    def no_such_file():
        raise FileNotFoundError("/proc/self/maps")

    monkeypatch.setattr(pages, "_large_mappings", no_such_file)
    use_huge_pages()
