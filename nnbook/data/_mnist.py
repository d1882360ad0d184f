"""MNIST in full, inside the package."""

from __future__ import annotations

import lzma
from pathlib import Path

from nnbook.data.idx import Content, ImageSet, load_image_set, verify

FOLDER = Path(__file__).parent / "mnist"

# The authors' files, uncompressed. The order is that of the arrays of an ImageSet.
FILES = {
    "train-images-idx3-ubyte": Content(
        47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte": Content(
        60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    ),
    "t10k-images-idx3-ubyte": Content(
        7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte": Content(
        10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    ),
}

_WAY_OUT = (
    "Install nnbook again (pip install --force-reinstall --no-deps nnbook, or, in a clone of the "
    "repository, git checkout -- {folder})."
)


def load_mnist() -> ImageSet:
    """Load MNIST: 70,000 handwritten digits, from the files that ship with the package.

    The training file's first 50,000 examples are for training, its last 10,000 for validation.
    The content of the files is verified by its SHA-256.

    Returns
    -------
    ImageSet
        ``x_train, y_train, x_val, y_val, x_test, y_test`` as NumPy arrays: float32 pixels in
        [0, 1], shapes (50000, 784), (10000, 784) and (10000, 784); int32 labels 0 … 9. The
        training and validation pixels are two parts of one array.

    Raises
    ------
    FileNotFoundError
        If a file of the package is missing.
    ValueError
        If a file is truncated or damaged; the message names it and says what was expected.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document
    recognition. The data are by Yann LeCun and Corinna Cortes, CC BY-SA 3.0.

    Examples
    --------
    >>> x_train, y_train, x_val, y_val, x_test, y_test = load_mnist()
    >>> x_train.shape, y_train[:5]
    ((50000, 784), array([5, 0, 4, 1, 9], dtype=int32))
    """
    return load_image_set(FILES, _read)


def verify_mnist() -> dict[str, str]:
    """Verify the MNIST files of the package.

    Returns
    -------
    dict
        From the name of each file to the SHA-256 of its uncompressed content.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is truncated or damaged.
    """
    for name in FILES:
        _read(name)
    return {name: content.sha256 for name, content in FILES.items()}


def _read(name: str) -> bytes:
    return read_packed(FOLDER, name, FILES[name])


def read_packed(folder: Path, name: str, expected: Content) -> bytes:
    """Decompress and verify a file of the package, `name`.xz in `folder`.

    Raises
    ------
    FileNotFoundError
        If the file is missing.
    ValueError
        If it is truncated or damaged.
    """
    path = folder / f"{name}.xz"
    way_out = _WAY_OUT.format(folder=f"nnbook/data/{folder.name}")
    try:
        compressed = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}, a file of the package, is missing. {way_out}") from None
    decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
    try:
        # Unlike lzma.decompress, this returns what a truncated file still holds.
        content = decompressor.decompress(compressed)
    except lzma.LZMAError as error:
        raise ValueError(
            f"{path} is damaged: its {len(compressed):,} bytes do not decompress ({error}); "
            f"expected {expected.size:,} bytes of content with the SHA-256 "
            f"{expected.sha256}. {way_out}"
        ) from error
    return verify(content, expected, str(path), way_out)
