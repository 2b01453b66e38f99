"""Packages live at the top level; `conf/` and `zoo/` ship inside the wheel, in `mcuformer`."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["mcuformer*", "supernet*", "evolve*", "oplib*"]),
        "mcuformer.conf",
        "mcuformer.zoo",
    ],
    package_dir={"mcuformer.conf": "conf", "mcuformer.zoo": "zoo"},
    package_data={
        "mcuformer": ["py.typed", "report/templates/*"],
        "mcuformer.conf": ["*.yaml", "*/*.yaml", "*/*/*.yaml"],
        "mcuformer.zoo": ["README.md", "*/*.json", "*/*.safetensors"],
        "oplib": ["runtime/**/*"],
    },
)
