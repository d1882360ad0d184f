"""Data: MNIST (shipped), Fashion-MNIST and toy sets; splits, preprocessing, batches, augmentation.

Functions take NumPy or MXNet arrays and return what they were given, on its device; the sets
themselves come as NumPy arrays. Nothing of the caller's is changed. Randomness comes from ``rng``,
a seed or a ``numpy.random.Generator``.
"""

from nnbook.data._mnist import load_mnist, verify_mnist
from nnbook.data.augmentation import elastic_deform, rotate, shift
from nnbook.data.batches import minibatches
from nnbook.data.fashion import FASHION_CLASSES, load_fashion_mnist, load_small_fashion_mnist
from nnbook.data.idx import ImageSet, parse_idx
from nnbook.data.orders import class_balanced, error_weighted, shuffled
from nnbook.data.preprocessing import PCAWhiten, Standardize, ZCAWhiten
from nnbook.data.splits import train_test_split
from nnbook.data.targets import decode_targets, encode_targets
from nnbook.data.toy import load_digits_8x8, moons, sines, spirals, two_gaussians, xor
from nnbook.data.validation import check_examples, check_labels

__all__ = [
    "FASHION_CLASSES",
    "ImageSet",
    "PCAWhiten",
    "Standardize",
    "ZCAWhiten",
    "check_examples",
    "check_labels",
    "class_balanced",
    "decode_targets",
    "elastic_deform",
    "encode_targets",
    "error_weighted",
    "load_digits_8x8",
    "load_fashion_mnist",
    "load_mnist",
    "load_small_fashion_mnist",
    "minibatches",
    "moons",
    "parse_idx",
    "rotate",
    "shift",
    "shuffled",
    "sines",
    "spirals",
    "train_test_split",
    "two_gaussians",
    "verify_mnist",
    "xor",
]
