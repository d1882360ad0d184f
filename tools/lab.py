"""Open the book in JupyterLab, on a copy: ``python tools/lab.py [option of jupyter lab ...]``.

The pages are copied to ``_lab/``, where a reader may change, run and save them; the book itself
stays as it is. What was changed there is never overwritten: when a new edition has another version
of such a page, it comes beside it, as ``index-new.ipynb``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ROOT / "chapters"
LAB = ROOT / "_lab"
RECORD = ".copied.json"  # by file, the version that was copied last
LEFT_OUT = {"__pycache__", ".ipynb_checkpoints", "api"}


def copy(chapters: Path = CHAPTERS, lab: Path = LAB) -> list[Path]:
    """Bring the copy up to date and return the pages that came beside a changed one."""
    lab.mkdir(exist_ok=True)
    (lab / ".gitignore").write_text("*\n", encoding="utf-8")
    record = lab / RECORD
    copied = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    beside = []
    for source in sorted(path for path in chapters.rglob("*") if path.is_file()):
        name = source.relative_to(chapters)
        if LEFT_OUT & set(name.parts):
            continue
        new, last = version(source), copied.get(name.as_posix())
        target = lab / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or version(target) == last:
            if new != last or not target.exists():
                shutil.copyfile(source, target)
        elif new not in (last, version(target)):
            target = free_name(target)
            shutil.copyfile(source, target)
            beside.append(target)
        copied[name.as_posix()] = new
        record.write_text(json.dumps(copied, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return beside


def version(path: Path) -> str:
    """Return what tells two versions of a file apart."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def free_name(path: Path) -> Path:
    """Return a name beside a file that nothing has."""
    number = 1
    while True:
        suffix = "-new" if number == 1 else f"-new-{number}"
        free = path.with_name(f"{path.stem}{suffix}{path.suffix}")
        if not free.exists():
            return free
        number += 1


def main(options: list[str]) -> int:
    """Make the copy and start JupyterLab in it."""
    for path in copy():
        print(f"{path.relative_to(ROOT)} is a new version of a page that you have changed")
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # in a container
        options = ["--allow-root", *options]
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={LAB}", *options]
    return subprocess.run(command, cwd=LAB, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
