"""Data: MNIST (shipped), Fashion-MNIST and toy sets; splits, preprocessing, batches, augmentation.

Functions take NumPy or MXNet arrays and return what they were given, on its device; the sets
themselves come as NumPy arrays. Nothing of the caller's is changed. Randomness comes from ``rng``,
a seed or a ``numpy.random.Generator``.
"""

from nnbook.data._mnist import load_mnist, verify_mnist
from nnbook.data.augmentation import elastic_deform, rotate, shift
from nnbook.data.batches import minibatches
from nnbook.data.deformation import Deformation, rms_displacement
from nnbook.data.fashion import FASHION_CLASSES, load_fashion_mnist, load_small_fashion_mnist
from nnbook.data.idx import ImageSet, parse_idx
from nnbook.data.inputs import as_array
from nnbook.data.mixing import mixup, smooth_labels
from nnbook.data.orders import class_balanced, error_weighted, shuffled
from nnbook.data.preparation import ahead, prepared
from nnbook.data.preprocessing import PCAWhiten, Standardize, ZCAWhiten
from nnbook.data.resampling import resample
from nnbook.data.splits import train_test_split
from nnbook.data.targets import decode_targets, encode_targets
from nnbook.data.toy import load_digits_8x8, moons, sines, spirals, two_gaussians, xor
from nnbook.data.validation import check_examples, check_labels
from nnbook.data.weights import example_weights

__all__ = [
    "FASHION_CLASSES",
    "Deformation",
    "ImageSet",
    "PCAWhiten",
    "Standardize",
    "ZCAWhiten",
    "ahead",
    "as_array",
    "check_examples",
    "check_labels",
    "class_balanced",
    "decode_targets",
    "elastic_deform",
    "encode_targets",
    "error_weighted",
    "example_weights",
    "load_digits_8x8",
    "load_fashion_mnist",
    "load_mnist",
    "load_small_fashion_mnist",
    "minibatches",
    "mixup",
    "moons",
    "parse_idx",
    "prepared",
    "resample",
    "rms_displacement",
    "rotate",
    "shift",
    "shuffled",
    "sines",
    "smooth_labels",
    "spirals",
    "train_test_split",
    "two_gaussians",
    "verify_mnist",
    "xor",
]
