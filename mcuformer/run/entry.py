"""The Hydra door: command lines become typed values here, and every fault becomes one line.

No other module imports Hydra.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mcuformer.errors import ConfigError, McuformerError
from mcuformer.run.progress import process_count, process_rank
from mcuformer.value import Value

ConfigT = TypeVar("ConfigT", bound=Value)
INTERRUPTED = 130
HYDRA_FLAGS = [
    "-h",
    "--help",
    "--hydra-help",
    "--version",
    "-c",
    "--cfg",
    "--resolve",
    "-p",
    "--package",
    "-r",
    "--run",
    "-m",
    "--multirun",
    "-sc",
    "--shell-completion",
    "-cp",
    "--config-path",
    "-cn",
    "--config-name",
    "-cd",
    "--config-dir",
    "--experimental-rerun",
    "-i",
    "--info",
]


def conf_dir() -> Path:
    """Return the directory of the shipped configuration: the checkout's, or the wheel's."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / "base.yaml").is_file():
            return candidate
    raise ConfigError("the shipped configuration is missing; reinstall mcuformer", where=package)


def fail(error: BaseException | str, exit_code: int = 2) -> int:
    """Print one line to standard error and return the exit code.

    Of several processes only the first tells what all of them found.
    """
    if process_rank() > 0 and isinstance(error, McuformerError | str):
        return exit_code
    line = " ".join(str(error).split())
    print(f"error: {line}", file=sys.stderr)
    return exit_code


def run(
    config_name: str,
    model: type[ConfigT],
    function: Callable[[ConfigT], None],
    arguments: Sequence[str] | None = None,
    *,
    distributed: bool = False,
) -> int:
    """Compose `config_name` with the command line, validate it and call `function` with it.

    Args:
        config_name: the flat primary configuration, for instance ``evolve_space``.
        model: the typed configuration.
        function: the command; it receives a valid value.
        arguments: the command line without the program's name (default: this process's).
        distributed: whether torchrun may start the command several times.

    Returns:
        The exit code: 0, 2 for a fault of the input, 3 for an internal one, 130 for Ctrl-C.
    """
    try:
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException
    except ImportError:
        return fail("hydra-core is not installed; run `pip install hydra-core`")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with tempfile.TemporaryDirectory(prefix="mcuformer-conf-") as user_conf:
        try:
            if process_count() > 1 and not distributed:
                raise ConfigError("torchrun is for supernet.train; sweep this command with -m")
            command_line = stage_user_files(
                list(sys.argv[1:] if arguments is None else arguments), Path(user_conf)
            )
            _call_hydra(config_name, model, function, command_line)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(bool(end.code))
        except KeyboardInterrupt:
            return fail("interrupted; run the same command again to continue", INTERRUPTED)
        except McuformerError as error:
            return fail(error, error.exit_code)
        except (HydraException, OmegaConfBaseException) as error:
            return fail(_hydra_line(error))
    return 0


def compose(config_name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return a composed configuration as plain containers, for tools that are no Hydra commands.

    Raises:
        ConfigError: the configuration cannot be composed.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    with tempfile.TemporaryDirectory(prefix="mcuformer-conf-") as user_conf:
        try:
            staged = stage_user_files(list(overrides), Path(user_conf))
            with initialize_config_dir(str(conf_dir()), version_base="1.3"):
                config = hydra_compose(config_name, staged)
            container: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_hydra_line(error)) from error
    return dict(container)


def _call_hydra(
    config_name: str,
    model: type[ConfigT],
    function: Callable[[ConfigT], None],
    command_line: list[str],
) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import DictConfig, OmegaConf

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)
    def job(config: DictConfig) -> None:
        container: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        settings = HydraConfig.get()
        if settings.mode == RunMode.MULTIRUN and "run_dir" in container:
            container["run_dir"] = multirun_dir(
                container["run_dir"], settings.job.num, settings.overrides.task, swept
            )
        try:
            function(model.parse(container))
        except McuformerError as error:
            if settings.mode == RunMode.MULTIRUN:
                raise  # a launcher's worker must report it; Hydra then names the job
            raise SystemExit(fail(error, error.exit_code)) from error  # one line, no more

    swept = swept_keys(command_line) if {"-m", "--multirun"} & set(command_line) else set()
    saved, sys.argv = sys.argv, [sys.argv[0], *command_line]
    try:
        job()
    finally:
        sys.argv = saved


def swept_keys(command_line: Sequence[str]) -> set[str]:
    """Return the keys that the command line gives several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    overrides = [argument for argument in command_line if not argument.startswith("-")]
    parsed = OverridesParser.create().parse_overrides(overrides)
    return {override.key_or_group for override in parsed if override.is_sweep_override()}


def multirun_dir(run_dir: str, job_number: int, overrides: Sequence[str], swept: set[str]) -> str:
    """Return the directory of one job of a multirun, named after the swept values.

    >>> multirun_dir("runs/k", 0, ["seed=1", "space_search.k=3"], {"space_search.k"})
    'runs/k/space_search.k=3'
    """
    kept = [text for text in overrides if text.lstrip("+").partition("=")[0] in swept]
    name = re.sub(r"[^A-Za-z0-9=.,_+-]", "_", ",".join(kept)) or f"job{job_number}"
    return f"{run_dir}/{name}"


def stage_user_files(arguments: list[str], user_conf: Path) -> list[str]:
    """Make ``group=./file.yaml`` a choice of `group`, so that users need no checkout for their own.

    Args:
        arguments: the command line.
        user_conf: an empty directory that Hydra will search too.

    Returns:
        The command line that Hydra understands.

    Raises:
        ConfigError: an unknown flag, or a named file that does not exist.
    """
    for argument in arguments:
        if argument.startswith("-") and argument.split("=")[0] not in HYDRA_FLAGS:
            raise ConfigError(
                "unknown flag", got=argument, expected="key=value, -m for a sweep, or --help"
            )
    sweep = [argument for argument in arguments if argument in ("-m", "--multirun")]
    arguments = [*sweep, *(argument for argument in arguments if argument not in sweep)]
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    result, staged = [], False
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key.lstrip("+") not in groups or not value.endswith((".yaml", ".yml")):
            result.append(argument)
            continue
        names = []
        for file in value.split(","):
            path = Path(file).expanduser()
            if not path.is_file():
                raise ConfigError("no such file", where=key, got=file)
            name = f"user_{len(list(user_conf.rglob('*.yaml')))}_{path.stem}"
            target = user_conf / key.lstrip("+") / f"{name}.yaml"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
            names.append(name)
        result.append(f"{key}={','.join(names)}")
        staged = True
    return [*result, f"hydra.searchpath=[file://{user_conf}]"] if staged else result


def _hydra_line(error: BaseException) -> str:
    """Return the useful part of a Hydra or OmegaConf message on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = error.__cause__
    if cause is not None and str(cause) and str(cause).splitlines()[0] not in lines:
        lines.append(str(cause).splitlines()[0])
    kept = [
        line
        for line in lines
        if not line.startswith(
            (
                "Config search path",
                "Set the environment",
                "See https",
                "object_type",
                "To append to your",
                "provider=",
            )
        )
    ]
    return "; ".join(kept[:12])
