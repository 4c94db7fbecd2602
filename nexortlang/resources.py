"""Where the data files are: grammar/ and stdlib/.

In: a folder and a file name. Out: the path of the file. A wheel carries the folders in nexortlang/_data; a checkout and an editable
install have them beside the package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(folder: str, name: str) -> Path:
    """The path of `folder/name`, which need not exist. Raises FileNotFoundError when the whole folder is missing."""
    for base in (_PACKAGE / "_data", _PACKAGE.parent):
        if (base / folder).is_dir():
            return base / folder / name
    raise FileNotFoundError(f"this installation of nexort lacks its folder {folder}/")
