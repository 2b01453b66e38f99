"""Each stage's configuration is the chain's, field by field; nothing is trained here."""

from __future__ import annotations

import tomllib
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from evolve.finetune import FINETUNE
from evolve.search import SEARCH
from evolve.space import SPACE
from mcuformer.chain import CHAIN, ChainConfig, stage_config, stages
from mcuformer.errors import ArtifactError, ConfigError, McuformerError
from mcuformer.execution import advise_on_space, check_prunings
from mcuformer.run.artifact import save_arrays
from mcuformer.run.entry import compose
from oplib.export import EXPORT
from supernet.recipe import Distillation
from supernet.train import TRAIN


@pytest.fixture(scope="module")
def config() -> ChainConfig:
    changes = ["threads=1", "train.epochs=70", "finetune.epochs=9", "export.source=search"]
    changes += ["budget.sram_bytes=5000"]
    return ChainConfig.parse(compose("mcuformer", changes, ChainConfig))


def test_stages_take_the_fields_of_their_names(config: ChainConfig) -> None:
    stages = {command: stage_config(command, config) for command in CHAIN}
    for command, settings in stages.items():
        assert type(settings) is command.config
        assert (settings.run_dir, settings.threads) == (config.run_dir, 1)
        assert settings.device == config.device
        if "budget" in command.config.model_fields:
            assert settings.target.identity() == config.target.identity(), command.name
    epochs = {command: stages[command].recipe.epochs for command in (SPACE, TRAIN, FINETUNE)}
    assert epochs == {SPACE: 70, TRAIN: 70, FINETUNE: 9}
    assert stages[EXPORT].source.name == "search"


def test_supernet_and_fine_tuning_start_from_networks_of_their_own(config: ChainConfig) -> None:
    """Without one, fine-tuning starts from the search's winner, whose weights are inherited."""
    started = config.model_copy(update={"initial": "zoo:digits"})
    assert stage_config(TRAIN, started).initial == "zoo:digits"
    assert stage_config(FINETUNE, started).initial is None
    again = config.model_copy(update={"finetune_initial": "earlier.safetensors"})
    assert stage_config(TRAIN, again).initial is None
    assert stage_config(FINETUNE, again).initial == "earlier.safetensors"


def test_the_teacher_of_a_new_run_may_be_trained_later(config: ChainConfig, tmp_path: Path) -> None:
    """Its own supernet, before anything is trained; another run's must be there."""
    recipe = config.finetune.model_copy(update={"distillation": Distillation(teacher="largest")})
    new = config.model_copy(update={"run_dir": str(tmp_path / "new"), "finetune": recipe})
    stage = FINETUNE.stage(stage_config(FINETUNE, new))
    assert tmp_path / "new" / "supernet.safetensors" in stage.inputs
    other = new.model_copy(update={"teacher_run": str(tmp_path / "other")})
    with pytest.raises(ArtifactError, match=r"other/supernet.json: no such file"):
        FINETUNE.stage(stage_config(FINETUNE, other))
    untaught = config.model_copy(update={"teacher_run": str(tmp_path / "other")})
    with pytest.raises(ConfigError, match="teacher_run: has no effect without a teacher"):
        FINETUNE.stage(stage_config(FINETUNE, untaught))


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ("zoo:digits", "finetune_initial: a network of the zoo is another one"),
        ("absent.safetensors", r"absent.safetensors: no such file"),
        ("pyproject.toml", r"pyproject.toml: damaged"),
        ("{run}/model.safetensors", "initial: fine-tuning would start from what it writes"),
    ],
)
def test_weights_that_cannot_be_trained_on_are_refused_at_once(
    initial: str, message: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    save_arrays(tmp_path / "model.safetensors", {"head.bias": np.zeros(10, np.float32)})
    line = [f"run_dir={tmp_path}", f"finetune_initial={initial.format(run=tmp_path)}"]

    def begin() -> None:
        config = ChainConfig.parse(compose("mcuformer", line, ChainConfig))
        FINETUNE.stage(stage_config(FINETUNE, config))

    with pytest.raises(McuformerError, match=message):
        begin()


def test_all_axes_take_a_joint_supernet_and_no_space_search(config: ChainConfig) -> None:
    assert stages(config) == CHAIN
    assert not stage_config(TRAIN, config).joint
    everything = config.model_copy(update={"axes": "all"})
    assert stages(everything) == tuple(command for command in CHAIN if command != SPACE)
    assert stage_config(TRAIN, everything).joint
    assert stage_config(SEARCH, everything).axes == "all"


def test_a_pruning_that_no_winner_could_have_is_refused_before_the_search() -> None:
    """Rank components: none in a dense space, some where a point has a rank ratio below 1."""
    pruning = ["pruning=feedback", "pruning.groups=[rank]", "pruning.share=0.1"]
    for ratios, refused in (("[0.5,1.0]", False), ("[1.0]", True)):
        changes = [*pruning, f"space.rank_ratio={ratios}"]
        config = ChainConfig.parse(compose("mcuformer", changes, ChainConfig))
        with pytest.raises(ConfigError, match=r"pruning\.groups") if refused else nullcontext():
            check_prunings(config)
    assert stage_config(FINETUNE, config).pruning == config.pruning


@pytest.mark.parametrize(
    ("widths", "told"),
    [("[32]", "space: 0 of 40 "), ("[128]", "space: 40 of 40 "), ("[32,128]", "")],
)
def test_a_space_that_does_not_suit_the_board_is_told(
    capsys: pytest.CaptureFixture[str], widths: str, told: str
) -> None:
    """Four blocks of width 128 have 4 * 2 * 128 * 256 weights in the MLP, twice 128 KB."""
    genes = {"depth": "[4]", "num_heads": "[1]", "mlp_ratio": "[2.0]", "embed_dim": widths}
    points = {"rank_ratio": "[1.0]", "patch_size": "[4]"}
    changes = [f"space.{name}={choices}" for name, choices in (genes | points).items()]
    advise_on_space(ChainConfig.parse(compose("mcuformer", changes, ChainConfig)))
    printed = capsys.readouterr().err
    assert printed.startswith(told)
    assert printed.count("\n") == bool(told)


def test_names_are_modules_and_configurations(root: Path) -> None:
    """The report is left out, because it has no command line of its own."""
    for command in CHAIN[:-1]:
        module = import_module(command.name)
        assert command in vars(module).values()
        assert (root / "conf" / f"{command.config_name}.yaml").is_file()


def test_the_console_script_is_the_module(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["mcuformer"].partition(":")
    assert module == "mcuformer.__main__"
    assert callable(getattr(import_module(module), function))
