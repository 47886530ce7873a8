"""Whether work that nobody asked for yet is welcome."""

from __future__ import annotations

import psutil


def on_battery() -> bool:
    """Whether the machine says that it runs on its battery; False where it says nothing."""
    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError, RuntimeError):  # not every system has sensors, or lets them be read
        return False
    return battery is not None and battery.power_plugged is False
