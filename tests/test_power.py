from types import SimpleNamespace

import psutil
import pytest

from fate.power import on_battery


@pytest.mark.parametrize(
    ("battery", "expected"),
    [
        (None, False),
        (SimpleNamespace(power_plugged=True), False),
        (SimpleNamespace(power_plugged=None), False),
        (SimpleNamespace(power_plugged=False), True),
    ],
)
def test_only_a_machine_that_says_so_runs_on_its_battery(monkeypatch, battery, expected):
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert on_battery() is expected


def test_a_machine_without_sensors_is_not_on_battery(monkeypatch):
    monkeypatch.delattr(psutil, "sensors_battery", raising=False)
    assert on_battery() is False
