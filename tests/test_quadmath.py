"""The stand-in for libquadmath, which MXNet's wheel needs and few systems have."""

import ctypes
import subprocess
import sys

import pytest

from nnbook.gluon import quadmath

LIBRARIES = [p for folder in quadmath._wheels() for p in folder.glob("libquadmath-*.so*")]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not LIBRARIES, reason="no wheel here brings a libquadmath"
)


def in_a_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_library_of_a_wheel_is_found_by_the_name_that_it_was_given():
    # A name that no system has. The loader is asked for it by name alone, as MXNet's library is.
    out = in_a_new_process("""
import ctypes
from nnbook.gluon import quadmath
name = "libstandin.so.7"
try:
    ctypes.CDLL(name)
except OSError:
    print("missing")
print(quadmath.stand_in(name=name).name)
ctypes.CDLL(name).sqrtq  # AttributeError if it were another library
print(quadmath.stand_in(name=name))
""")
    missing, path, again = out.splitlines()
    assert missing == "missing"
    assert path in {library.name for library in LIBRARIES}
    assert again == "None", "what loads needs no stand-in"


def test_what_cannot_stand_in_is_left_alone(tmp_path):
    absent = "libnnbook-has-no-such-library.so.0"
    assert quadmath.stand_in([tmp_path], name=absent) is None
    (tmp_path / "libquadmath-12345678.so.0").write_bytes(b"not a library\0" * 9)
    assert quadmath.stand_in([tmp_path], name=absent) is None
    own = tmp_path / "libquadmath-abcdef.so.0"
    own.write_bytes(own.name.encode() + b"\0")  # has its name, and is no library
    assert quadmath.stand_in([tmp_path], name="libnone.so.0") is None
    with pytest.raises(OSError, match=absent):
        ctypes.CDLL(absent)


def test_a_system_that_has_it_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(quadmath, "_loads", lambda name: True)
    assert quadmath.stand_in() is None
