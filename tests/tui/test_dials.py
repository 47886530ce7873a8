import pytest

from fate.core.sampling import SamplerSettings
from fate.tui.widgets.dials import Dials


@pytest.mark.parametrize(
    ("selected", "name", "was", "up", "down"),
    [
        (0, "temperature", 0.7463, 0.8, 0.7),
        (1, "top_k", 77, 80, 70),
        (1, "top_k", 7, 10, 1),
        (2, "typical_p", 0.9512, 1.0, 0.95),
        (3, "muse_damp", 0.9922, 1.0, 0.9),
    ],
)
def test_a_turn_leads_to_round_values_there_and_back_and_to_the_ends(selected, name, was, up, down, monkeypatch):
    monkeypatch.setattr(Dials, "update", lambda *_: None)  # there is no screen
    dials = Dials(SamplerSettings(**{name: was}))
    dials.select(selected)
    values = []
    for by in (1, -1, -1):
        assert dials.turn(by)
        values.append(getattr(dials.settings, name))
    assert values == [up, was, down]
    while dials.turn(1):
        pass
    assert getattr(dials.settings, name) == {"temperature": 3.0, "top_k": 500, "typical_p": 1.0, "muse_damp": 2.0}[name]
    while dials.turn(-1):
        pass
    assert getattr(dials.settings, name) == {"temperature": 0.1, "top_k": 1, "typical_p": 0.05, "muse_damp": 0.0}[name]
    dials.reset()
    assert dials.settings == SamplerSettings(**{name: was})
