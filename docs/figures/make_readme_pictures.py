"""Take the README's pictures from finished pages: ``make_readme_pictures.py OUTPUT_DIR LABEL``.

``head.jpg`` is the head on the participant's page, ``group.jpg`` the template's surface on the group's page.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

from lxml import etree
from PIL import Image

HERE = Path(__file__).resolve().parent


def pictures(page: Path, where: str) -> list[Image.Image]:
    """Return the pictures of a page that an XPath finds."""
    root = etree.HTML(page.read_text(encoding="utf-8"))
    sources = [str(source) for source in root.xpath(where)]
    return [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in sources]


def beside(images: list[Image.Image]) -> Image.Image:
    """Put pictures side by side on white."""
    joined = Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)), "white")
    left = 0
    for image in images:
        joined.paste(image, (left, (joined.height - image.height) // 2))
        left += image.width
    return joined


if __name__ == "__main__":
    outputs = Path(sys.argv[1]) / "tmsprep"
    [head] = pictures(outputs / f"{sys.argv[2]}.html", "//img[@class='still']/@src")
    head.save(HERE / "head.jpg", quality=88)
    surfaces = pictures(outputs / "group.html", "//section[h2='Where the targets are']//img/@src")
    beside(surfaces).save(HERE / "group.jpg", quality=85)
