"""Settings and configuration of an export."""

from __future__ import annotations

from typing import Any, ClassVar

from mcuformer.data.dataset import DataConfig
from mcuformer.limits import ImageCount, PathText, TestImageCount
from mcuformer.value import Value
from oplib.codegen.names import NetworkName
from oplib.codegen.weights_c import WeightsForm
from oplib.network.source import NetworkSource, SourceName
from oplib.network.timm_vit import TimmVit
from oplib.package.package import PackageKind
from oplib.quantize.calibrate import DEFAULT_QUANT, QuantSettings
from oplib.target.target import TargetSettings


class ExportSettings(Value):
    """Settings of an export.

    Args:
        calibration_images: number of images of the steering split that set the scales.
        check_images: number of images on which reference, host C and emulated chip are compared.
        source: the network to export: ``finetuned``, ``search`` (the search's winner with inherited
            weights) or ``qat`` (the network of evolve.qat with the scales it learned).
        quant: how scales and weights are chosen.
        report_images: number of images of the steering split in the report on every layer.
        onnx: whether to write ``model_float.onnx`` and ``model_int8.onnx`` as well.
        weights: ``binary``, which gcc and clang take in, or ``text``, C for other compilers.
        name: what the network is called in C: prefix of its functions, types and files.
        test_images: images of the steering split that the firmware has built in for its self-test,
            at most; fewer where the device's flash has no room for them.
        package: whether to write the network as a package as well, and for which system.
    """

    calibration_images: ImageCount = 256
    check_images: ImageCount = 16
    source: SourceName = "finetuned"
    quant: QuantSettings = DEFAULT_QUANT
    report_images: ImageCount = 32
    onnx: bool = False
    weights: WeightsForm = "binary"
    name: NetworkName = "model"
    test_images: TestImageCount = 10
    package: PackageKind | None = None


class ExportConfig(TargetSettings):
    """Configuration of an export.

    Args:
        data: the images for calibration and comparison.
        export: settings of the export.
        weights: the user's own safetensors in timm's names, with `vit`; null exports the run's.
        vit: the user's network in timm's vocabulary.
        network: integers to take as they are: ``zoo:NAME``, or another run's folder. Data,
            calibration and forms are then theirs. Null makes integers.
    """

    data: DataConfig
    export: ExportSettings
    weights: PathText | None = None
    vit: TimmVit | None = None
    network: PathText | None = None

    later: ClassVar[tuple[str, ...]] = ("network",)

    @property
    def source(self) -> NetworkSource:
        """The float network whose integers the export makes, if it does not take `network`."""
        return NetworkSource(name=self.export.source, weights=self.weights, vit=self.vit)

    def content(self) -> dict[str, Any]:
        """Return what results depend on; not on `data`, if the network's integers are there."""
        content = super().content()
        return content if self.network is None else {**content, "data": None}
