"""Packages live at the top level; `conf/` ships inside the wheel as `mcuformer.conf`."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["mcuformer*", "supernet*", "evolve*", "oplib*"]),
        "mcuformer.conf",
    ],
    package_dir={"mcuformer.conf": "conf"},
    package_data={
        "mcuformer": ["py.typed", "report/templates/*"],
        "mcuformer.conf": ["*.yaml", "*/*.yaml", "*/*/*.yaml"],
        "oplib": ["runtime/**/*"],
    },
)
