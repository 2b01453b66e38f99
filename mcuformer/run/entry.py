"""Hydra's entry point: a command line becomes a typed value, and every fault becomes one line.

presets.py prepares what Hydra composes; no other module imports Hydra.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mcuformer import __version__
from mcuformer.errors import ConfigError, McuformerError, did_you_mean, of_system, one_line, shown
from mcuformer.fields import members, stray_key
from mcuformer.interrupt import INTERRUPTED, imports_done
from mcuformer.run.command_line import CommandLine, read_command_line, refuse
from mcuformer.run.default_options import register_resolvers
from mcuformer.run.help import help_text
from mcuformer.run.presets import staged
from mcuformer.run.progress import process_count, process_rank
from mcuformer.value import Value

if TYPE_CHECKING:
    from omegaconf import DictConfig

ConfigT = TypeVar("ConfigT", bound=Value)
SWEEP_FILE = "multirun.yaml"


def fail(error: BaseException | str, exit_code: int = 2) -> int:
    """Print one line to standard error and return the exit code.

    Of several processes, only the first prints a fault that all of them find.
    """
    if process_rank() > 0 and isinstance(error, McuformerError | str):
        return exit_code
    print(f"error: {one_line(error)}", file=sys.stderr)
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
        config_name: name of the primary configuration, for instance ``evolve_space``.
        model: type of the configuration.
        function: command, called with a valid configuration.
        arguments: command line without the program's name; None takes that of this process.
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
    try:
        imports_done()
        if process_count() > 1 and not distributed:
            raise ConfigError(
                "torchrun is for supernet.train, evolve.space and evolve.search; sweep this "
                "command with -m"
            )
        given = sys.argv[1:] if arguments is None else arguments
        if "--version" in given:
            print(f"mcuformer {__version__}")
            return 0
        line = read_command_line(given, model)
        if line.parsed.help:
            print(help_text(config_name, model))
        else:
            register_resolvers(line.files)
            with staged(config_name, model, line.files) as folder:
                _call_hydra(folder, config_name, model, function, line)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except KeyboardInterrupt:
        return fail("interrupted; run the same command again to continue", INTERRUPTED)
    except (McuformerError, OSError, HydraException, OmegaConfBaseException) as error:
        fault = _fault(error)
        return fail(fault, fault.exit_code)
    return 0


def _fault(error: Exception) -> McuformerError:
    """Return an error that a user can cause as a fault of one line."""
    from hydra.errors import HydraException

    if isinstance(error, McuformerError):
        return error
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return of_system(error)
    return ConfigError(_hydra_line(error))


def compose(config_name: str, overrides: Sequence[str], model: type[Value]) -> dict[str, Any]:
    """Return a composed configuration as plain containers, for tools that are not Hydra commands.

    Args:
        config_name: name of the primary configuration.
        overrides: arguments as on the command line, ``key=value``.
        model: type of the configuration.

    Raises:
        ConfigError: composition fails, or a key is unknown to the model.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    line = read_command_line(overrides, model)
    register_resolvers(line.files)
    try:
        with (
            staged(config_name, model, line.files) as folder,
            initialize_config_dir(folder, version_base="1.3"),
        ):
            config = hydra_compose(config_name, line.overrides)
        return plain(config, model)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_hydra_line(error)) from error


def _call_hydra(
    folder: str,
    config_name: str,
    model: type[ConfigT],
    function: Callable[[ConfigT], None],
    line: CommandLine,
) -> None:
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    @hydra.main(version_base="1.3", config_path=folder, config_name=config_name)
    def job(config: DictConfig) -> None:
        settings = HydraConfig.get()
        if settings.mode == RunMode.RUN:
            shutil.rmtree(folder)  # composed already; nothing remains however the job ends
        try:
            container = plain(config, model)
            if settings.mode == RunMode.MULTIRUN and "run_dir" in container:
                own = settings.sweeper.get("params") or {}  # an experiment's own sweep
                swept = swept_keys([*(f"{key}={own[key]}" for key in own), *line.overrides])
                container["run_dir"] = multirun_dir(
                    container["run_dir"], settings.job.num, settings.overrides.task, swept
                )
            function(model.parse(container))
        except (McuformerError, OSError, OmegaConfBaseException) as error:
            if settings.mode == RunMode.MULTIRUN:
                remove_unused(Path(settings.sweep.dir))
                raise  # a launcher's worker must report it; Hydra then names the job
            fault = _fault(error)
            raise SystemExit(fail(fault, fault.exit_code)) from error  # no traceback

    saved, sys.argv = sys.argv, [sys.argv[0], *line.overrides, *line.flags]
    try:
        job()
    finally:
        sys.argv = saved


def remove_unused(sweep_dir: Path) -> None:
    """Remove the folder of a sweep in which nothing ran: it holds what Hydra wrote beforehand."""
    if {path.name for path in sweep_dir.iterdir()} <= {SWEEP_FILE}:
        (sweep_dir / SWEEP_FILE).unlink(missing_ok=True)
        sweep_dir.rmdir()


def plain(config: DictConfig, model: type[Value]) -> dict[str, Any]:
    """Return a composed configuration as plain containers.

    Raises:
        ConfigError: a key is unknown to the model. Unknown keys are reported before missing ones,
            because a missing key may be present, misspelt.
    """
    from omegaconf import OmegaConf

    unresolved: Any = OmegaConf.to_container(config)
    refuse(stray_key(model, unresolved))
    _infer(config, model)
    container: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return dict(container)


def _infer(config: DictConfig, model: type[Value]) -> None:
    """Fill in the values that files tell and the configuration leaves null."""
    from omegaconf import DictConfig, OmegaConf

    for name, info in model.model_fields.items():
        node = config.get(name)
        for value in members(info.annotation):
            if not (issubclass(value, Value) and value.inferable and isinstance(node, DictConfig)):
                continue
            content = {str(key): node[key] for key in node if not OmegaConf.is_missing(node, key)}
            if any(content.get(key) is None for key in value.inferable):
                for key, found in value.inferred(content).items():
                    OmegaConf.update(node, key, found)


def swept_keys(overrides: Sequence[str]) -> set[str]:
    """Return the keys that are swept: overrides give them several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return {override.key_or_group for override in parsed if override.is_sweep_override()}


def multirun_dir(run_dir: str, job_number: int, overrides: Sequence[str], swept: set[str]) -> str:
    """Return the directory of one job of a multirun, named after the swept values.

    >>> multirun_dir("runs/k", 0, ["seed=1", "++space_search.k=3"], {"space_search.k"})
    'runs/k/space_search.k=3'
    """
    texts = [text.lstrip("+") for text in overrides]
    kept = [text for text in texts if text.partition("=")[0] in swept]
    name = re.sub(r"[^A-Za-z0-9=.,_+-]", "_", ",".join(kept)) or f"job{job_number}"
    return f"{run_dir}/{name}"


def _hydra_line(error: BaseException) -> str:
    """Return the useful part of a Hydra or OmegaConf message on one line."""
    from hydra.errors import MissingConfigException, OverrideParseException
    from omegaconf import MissingMandatoryValue

    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}: missing; give {error.full_key}=..."
    if isinstance(error, OverrideParseException):
        text = error.override.removeprefix("++")
        key = text.partition("=")[0]
        return f"{shown(text)}: not readable; put a text into quotes: \"{shown(key)}='...'\""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = error.__cause__
    if cause is not None and str(cause) and str(cause).splitlines()[0] not in lines:
        lines.append(str(cause).splitlines()[0])
    noise = ("Config search path", "Set the environment", "See https", "object_type", "provider=")
    text = "; ".join([line for line in lines if not line.startswith(noise)][:12])
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        text += did_you_mean(error.missing_cfg_file.rpartition("/")[2], error.options or ())
    return text
