"""TRL's trainers take a step on an export as it is."""

import datasets
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from fate.core.sampling import SettingsRanges
from fate.dataset import ExportOptions, export
from fate.engine import load
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.store import Store


@pytest.fixture(scope="module")
def exported(tiny_folders, tmp_path_factory):
    """Choices of a real model, exported in the way that training asks for."""
    folder = tmp_path_factory.mktemp("trainers")
    store = Store(folder / "fate.db")
    game = Playthrough(
        store, load(str(tiny_folders["llama"])), UniformPolicy(SettingsRanges()), store.new_story("Once upon a time")
    )
    for number in range(6):
        choice = list(game.offer())[-1].choice
        if number == 3:
            game.reroll(choice, 300)
        else:
            game.choose(choice, choice.candidates[number % 3], 300)
    export(store, folder / "out", ExportOptions(window=100))
    store.close()
    return folder / "out"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize(
    ("trainer", "config"), [("DPO", "pairs"), ("KTO", "unpaired"), ("Reward", "pairs"), ("SFT", "sft")]
)
def test_a_trainer_takes_a_step_on_an_export(exported, tiny_folders, tmp_path, trainer, config):
    import trl

    tokenizer = AutoTokenizer.from_pretrained(tiny_folders["llama"])
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    if trainer == "Reward":
        model = AutoModelForSequenceClassification.from_pretrained(tiny_folders["llama"], num_labels=1)
        model.config.pad_token_id = tokenizer.pad_token_id
    else:
        model = AutoModelForCausalLM.from_pretrained(tiny_folders["llama"])
    before = [p.clone() for p in model.parameters()]
    arguments = getattr(trl, f"{trainer}Config")(
        output_dir=str(tmp_path / "out"),
        max_steps=1,
        per_device_train_batch_size=2,
        max_length=600,
        learning_rate=0.1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    rows = datasets.load_dataset(str(exported), config, split="train")
    assert len(rows) >= 4
    getattr(trl, f"{trainer}Trainer")(
        model=model, args=arguments, train_dataset=rows, processing_class=tokenizer
    ).train()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
