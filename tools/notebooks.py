"""Execute the book's notebooks in place: ``python tools/notebooks.py [notebook ...]``.

The outputs are committed, so what is noise in them is removed: widget views and their state
(without a kernel a reader would see "model not found"), timing metadata, the kernel's version; and
figures are stored with as many colours as they need.
The run time of each notebook, the versions and the machine go to ``chapters/status.json``, from
which the site's status page is made.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import io
import json
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
STATUS = CHAPTERS / "status.json"

# What changes the last bits of a result between processors. Committed outputs are made, and
# compared by the tests, with these set; benchmarks are not.
PINS = {"OMP_NUM_THREADS": "1"}
if platform.machine() in ("x86_64", "AMD64"):
    PINS |= {"DNNL_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "HASWELL"}
# What a kernel that makes or checks committed outputs is started with.
KERNEL_SETTINGS = PINS | {"NNBOOK_PROGRESS": "0"}

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
VERSIONS = ("numpy", "mxnet", "matplotlib", "scipy", "nnbook")


def find(chapters: Path = CHAPTERS) -> list[Path]:
    """Return every notebook of the book, in order of its path."""
    return sorted(p for p in chapters.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def execute(paths: list[Path], *, status: Path = STATUS, timeout: int = 900) -> None:
    """Execute notebooks in place; one that fails is left as it was, and the error is raised."""
    import nbformat
    from nbclient import NotebookClient

    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        began = time.perf_counter()
        client = NotebookClient(
            notebook,
            timeout=timeout,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
        )
        client.execute(env=os.environ | KERNEL_SETTINGS)
        seconds = time.perf_counter() - began
        if wrong := problems(notebook):
            raise RuntimeError(f"{path} cannot be committed:\n" + "\n".join(wrong))
        clean(notebook)
        shrink(notebook)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)
        _record(path, seconds, status)
        print(f"{path}: {seconds:.1f} s", flush=True)


def clean(notebook: Any) -> Any:
    """Remove from a notebook what is noise or cannot work without a kernel; returns it."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.kernelspec = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            output.get("data", {}).pop(WIDGET_VIEW, None)
        cell.outputs = _merged([o for o in cell.outputs if o.get("data") != {}])
    return notebook


def shrink(notebook: Any) -> Any:
    """Store the figures of a notebook with as many colours as they need; returns it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = smaller(data["image/png"])
    return notebook


def smaller(png: str) -> str:
    """Return a figure, in base64, with a palette of 256 colours, where the eye sees no difference.

    That takes a third of the room. A figure in which one pixel in a thousand moves by more than
    12 of 255 levels, such as a photograph, is returned as it is; so is one that is transparent or
    has a palette.
    """
    import numpy as onp
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(png)))
    if image.mode == "P" or image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        return png
    plain = image.convert("RGB")
    few = plain.quantize(256, dither=Image.Dither.NONE)
    moved = onp.abs(onp.asarray(few.convert("RGB"), "int16") - onp.asarray(plain, "int16"))
    buffer = io.BytesIO()
    few.save(buffer, format="png", optimize=True)
    text = base64.encodebytes(buffer.getvalue()).decode()
    return png if onp.quantile(moved, 0.999) > 12 or len(text) >= len(png) else text


def _merged(outputs: list[Any]) -> list[Any]:
    """Join what neighbouring outputs printed: how it arrived in pieces is chance."""
    merged: list[Any] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" == last.get("output_type") and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def problems(notebook: Any) -> list[str]:
    """Return what in the outputs has no place on a page: warnings, progress bars, bare widgets."""
    wrong = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if output.get("name") == "stderr":
                wrong.append(f"cell {number} wrote to stderr: {output.text.strip()[-300:]}")
            if WIDGET_VIEW in data and "text/html" not in data:
                shown = data.get("text/plain", "")[:80]
                wrong.append(f"cell {number} shows a widget that needs a kernel: {shown}")
    return wrong


def machine() -> str:
    """Return the processor and the number of cores available, in words."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, {platform.system()}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that make the numbers."""
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _record(path: Path, seconds: float, status: Path) -> None:
    resolved = path.resolve()
    if not resolved.is_relative_to(status.resolve().parent):
        return  # not a notebook of the book
    records = json.loads(status.read_text()) if status.exists() else {}
    name = resolved.relative_to(status.resolve().parent).with_suffix("").as_posix()
    records[name] = {
        "seconds": round(seconds, 1),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
    }
    status.write_text(json.dumps(records, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Execute the notebooks named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of chapters/")
    parser.add_argument("--timeout", type=int, default=900, help="seconds a cell may take")
    options = parser.parse_args(arguments)
    execute(options.notebooks or find(), timeout=options.timeout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
