"""What the files of a data set tell of its configuration, before the configuration is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcuformer.data.folder_reader import list_picture_folder
from mcuformer.data.images import is_folder, is_regular_file, missing
from mcuformer.data.npz_reader import npz_form
from mcuformer.errors import DataError
from mcuformer.run.progress import say


def infer(content: Mapping[str, Any]) -> dict[str, int]:
    """Return `num_classes` and `img_size` where a data set's configuration leaves them null.

    Only names and headers of files are read, and the labels of an ``npz``.

    Args:
        content: configuration of the data set, not validated; without its missing values.

    Returns:
        The values by key; empty for a format whose files do not tell them, or without `root`.

    Raises:
        DataError: the data are missing or damaged.
    """
    kind, root = content.get("format"), content.get("root")
    if kind not in ("image_folder", "npz") or not isinstance(root, str):
        return {}
    wanted = [key for key in ("num_classes", "img_size") if content.get(key) is None]
    source = str(content.get("source", ""))
    try:
        path = Path(root).expanduser()
    except RuntimeError as error:
        raise DataError(str(error), where="data.root", got=root) from error
    if kind == "npz":
        if not is_regular_file(path):
            raise missing("a .npz file of the data", path, ("a .npz file",), source)
        known = dict(zip(("num_classes", "img_size"), npz_form(path), strict=True))
        found = {key: known[key] for key in wanted}
    else:
        if not is_folder(path):
            raise missing("a folder of the data", path, ("a folder",), source)
        folder, found = list_picture_folder(path, source), {}
        if "num_classes" in wanted:
            found["num_classes"] = len(folder.class_names)
        if "img_size" in wanted:
            found["img_size"] = folder.picture_side()
    say(f"data: {', '.join(f'{key}={value}' for key, value in found.items())}, from {path}")
    return found
