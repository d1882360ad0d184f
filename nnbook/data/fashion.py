"""Fashion-MNIST: a part inside the package; in full from a folder, or downloaded once."""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as onp

from nnbook.data._mnist import read_packed
from nnbook.data.idx import Content, ImageSet, load_image_set, parse_idx, verify

__all__ = ["FASHION_CLASSES", "load_fashion_mnist", "load_small_fashion_mnist"]

#: What the labels 0 … 9 of Fashion-MNIST stand for.
FASHION_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

_FILES = {
    "train-images-idx3-ubyte": Content(
        47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte": Content(
        60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte": Content(
        7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte": Content(
        10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}
# The first examples of the training files, of which the last are for validation.
PART_FOLDER = Path(__file__).parent / "fashion_mnist"
PART_N_TRAINING = 12_000
_PART_N_VALIDATION = 2_000
_PART_FILES = {
    "train-images-idx3-ubyte": Content(
        9_408_016, "39fed60d923648a6a26c8891a4a29115b7c8277438b70da22b9c4ba97262f3b4"
    ),
    "train-labels-idx1-ubyte": Content(
        12_008, "d3ceaa7f344b00d0a41770262dfcc5d3093a9f5ea49aadeabb5631e7d67e4323"
    ),
    "t10k-images-idx3-ubyte": _FILES["t10k-images-idx3-ubyte"],
    "t10k-labels-idx1-ubyte": _FILES["t10k-labels-idx1-ubyte"],
}
_SOURCE = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_TIMEOUT = 30.0  # seconds without an answer


def load_small_fashion_mnist() -> ImageSet:
    """Load the part of Fashion-MNIST that ships with the package: 12,000 images, and the test set.

    The first 10,000 examples of the official training file are for training, the next 2,000 for
    validation, and the test set is complete: errors on it compare with published ones for nets
    trained on as many examples. For all 60,000 see `load_fashion_mnist`.

    Returns
    -------
    ImageSet
        ``x_train, y_train, x_val, y_val, x_test, y_test`` as of `load_mnist`, with 10,000, 2,000
        and 10,000 rows; the labels' names are in `FASHION_CLASSES`.

    Raises
    ------
    FileNotFoundError
        If a file of the package is missing.
    ValueError
        If a file is truncated or damaged; the message names it and says what was expected.

    References
    ----------
    Xiao, Rasul and Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms. Licence MIT, Zalando SE.

    Examples
    --------
    >>> x_train, y_train, x_val, y_val, x_test, y_test = load_small_fashion_mnist()
    >>> x_train.shape, FASHION_CLASSES[y_train[0]]
    ((10000, 784), 'ankle boot')
    """

    def read(name: str) -> bytes:
        return read_packed(PART_FOLDER, name, _PART_FILES[name])

    return load_image_set(_PART_FILES, read, _PART_N_VALIDATION)


def load_fashion_mnist(
    folder: str | os.PathLike[str] | None = None, download: bool = True
) -> ImageSet:
    """Load Fashion-MNIST: 70,000 images of clothes, drop-in for MNIST but harder.

    Parameters
    ----------
    folder : path, optional
        Where the four ``*-ubyte.gz`` files are, or are to be stored. Without it they are looked
        for in ``$NNBOOK_DATA/fashion-mnist`` (if that variable is set), in the folder of Debian's
        package dataset-fashion-mnist, and in ``nnbook/fashion-mnist`` under ``$XDG_CACHE_HOME``
        (``~/.cache`` if unset).
    download : bool
        Whether files that are missing may be downloaded (31 MB, once) from the official
        repository, github.com/zalandoresearch/fashion-mnist: into `folder`, else into
        ``$NNBOOK_DATA/fashion-mnist``, else into the cache. A file appears there only when it is
        complete and verified.

    Returns
    -------
    ImageSet
        ``x_train, y_train, x_val, y_val, x_test, y_test``, as of `load_mnist`; the labels' names
        are in `FASHION_CLASSES`.

    Raises
    ------
    FileNotFoundError
        If a file is missing and `download` is False.
    ConnectionError
        If a download fails; the message says what else can be done.
    ValueError
        If the content of a file is not the official one (by its SHA-256).

    References
    ----------
    Xiao, Rasul and Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms. Licence MIT, Zalando SE.
    """
    return load_image_set(_FILES, _reader(folder, download))


def official_content(
    folder: str | os.PathLike[str] | None = None, download: bool = True
) -> dict[str, onp.ndarray]:
    """Return what the official files hold, as unsigned bytes, by their names."""
    read = _reader(folder, download)
    return {name: parse_idx(read(name), name) for name in _FILES}


def _reader(folder: str | os.PathLike[str] | None, download: bool) -> Callable[[str], bytes]:
    """Find the official files, or get them; return what reads one, verified."""
    folders, target = _folders(folder)
    paths = {name: _locate(name, folders) for name in _FILES}
    missing = [name for name, path in paths.items() if path is None]
    if missing and not download:
        raise FileNotFoundError(
            f"Fashion-MNIST is not in {_listed(folders)}: {missing[0]}.gz is missing. "
            + _ways_out(target)
        )
    for name in missing:
        paths[name] = _download(name, target)

    def read(name: str) -> bytes:
        path = paths[name]
        assert path is not None  # located or downloaded above
        return _decompress(path.read_bytes(), name, str(path), f"Delete {path} and load again.")

    return read


def _folders(folder: str | os.PathLike[str] | None) -> tuple[list[Path], Path]:
    """Where to look, and where to download to."""
    if folder is not None:
        given = Path(folder).expanduser()
        return [given], given
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = cache / "nnbook" / "fashion-mnist"
    if os.environ.get("NNBOOK_DATA"):
        own = Path(os.environ["NNBOOK_DATA"]) / "fashion-mnist"
        return [own, _DEBIAN_FOLDER, cache], own
    return [_DEBIAN_FOLDER, cache], cache


def _locate(name: str, folders: Iterable[Path]) -> Path | None:
    paths = (folder / f"{name}.gz" for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def _listed(folders: Iterable[Path]) -> str:
    return " or ".join(str(folder) for folder in folders)


def _ways_out(target: Path) -> str:
    return (
        "Three ways out: (1) load it once with a connection and download=True; (2) on Debian or "
        "Ubuntu, install the package dataset-fashion-mnist; (3) copy the four *-ubyte.gz files of "
        f"github.com/zalandoresearch/fashion-mnist (data/fashion) into {target}, or pass the "
        "folder that holds them as folder=..."
    )


def _decompress(compressed: bytes, name: str, described: str, way_out: str) -> bytes:
    try:
        content = gzip.decompress(compressed)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{described} is truncated or damaged: its {len(compressed):,} bytes do not "
            f"decompress ({error}); expected {_FILES[name].size:,} bytes of content with the "
            f"SHA-256 {_FILES[name].sha256}. {way_out}"
        ) from error
    return verify(content, _FILES[name], described, way_out)


def _download(name: str, folder: Path) -> Path:
    """Download one file, verify it, and only then give it its name in `folder`."""
    address = f"{_SOURCE}/{name}.gz"
    try:
        compressed = _fetch(address, f"{name}.gz")
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):  # it holds the connection open
            error.close()
        raise ConnectionError(
            f"{address} could not be downloaded ({error}). {_ways_out(folder)}"
        ) from error
    _decompress(compressed, name, f"The download from {address}", _ways_out(folder))
    folder.mkdir(parents=True, exist_ok=True)
    # A name of its own, so that two processes may download at the same time.
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(compressed)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's files are private
        os.replace(temporary, folder / f"{name}.gz")
    except BaseException:
        os.unlink(temporary)
        raise
    return folder / f"{name}.gz"


def _fetch(address: str, description: str) -> bytes:
    parts = []
    with urlopen(address, timeout=_TIMEOUT) as response:
        size = response.headers.get("Content-Length")
        from tqdm import tqdm  # only where something is downloaded

        with tqdm(
            desc=description, total=int(size) if size else None, unit="B", unit_scale=True
        ) as bar:
            while part := response.read(1 << 16):
                parts.append(part)
                bar.update(len(part))
    return b"".join(parts)
