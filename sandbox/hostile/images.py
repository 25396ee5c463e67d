"""Pictures that harm whoever opens them. They are made inside, and opened outside as an environment would."""

from __future__ import annotations

import resource

from .attack import CONTRACT, Attack, Seen, complaint
from .pictures import NoPictureError, open_picture

MEMORY = 400 << 20  # bytes that opening all pictures of an attack may add to this process


def not_opened(seen: Seen) -> str:
    """Every picture came out, and none could be opened, nor took much memory in the attempt."""
    if not seen.attack.files:
        return complaint(seen.attack) or "nothing was handed out, so nothing was shown"
    before = _peak()
    for name, content in sorted(seen.attack.files.items()):
        try:
            size = open_picture(content)
        except NoPictureError:
            continue
        return f"{name} was opened, as {size[0]} x {size[1]} pixels"
    taken = _peak() - before
    return f"opening the pictures took {taken >> 20} MiB" if taken > MEMORY else complaint(seen.attack)


def opened_small(seen: Seen) -> str:
    """The picture may be opened, but costs no more than its pixels."""
    before = _peak()
    for content in seen.attack.files.values():
        try:
            open_picture(content)
        except NoPictureError:
            continue
    taken = _peak() - before
    return f"opening the pictures took {taken >> 20} MiB" if taken > MEMORY else complaint(seen.attack)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_PNG = """
import zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
def png(width, height, depth=1, kind=0, data=b"", extra=b""):
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
def zeros(total):
    packer, out, block = zlib.compressobj(9), [], bytes(1 << 20)
    while total > 0:
        out.append(packer.compress(block[:total]))
        total -= len(block)
    return b"".join(out) + packer.flush()
"""

ATTACKS = (
    Attack(
        "images.bomb",
        "a true PNG of 900 megapixels in a hundred kilobytes",
        _PNG + "open('bomb.png', 'wb').write(png(30000, 30000, data=zeros(30000 * 3751)))",
        held=not_opened,
        needs=CONTRACT,
    ),
    Attack(
        "images.claims",
        "headers that claim the largest pictures of each format",
        _PNG
        + """
open("a.png", "wb").write(png(2**31 - 1, 2**31 - 1, 16, 6))
open("b.png", "wb").write(png(2**31 - 1, 1, 16, 6))
open("c.jpg", "wb").write(bytes.fromhex("ffd8ffc000110800000000") [:7] + struct.pack(">HH", 65535, 65535)
    + bytes.fromhex("03011100021101031101ffd9"))
vp8l = struct.pack("<I", (16383) | (16383 << 14))
open("d.webp", "wb").write(b"RIFF" + struct.pack("<I", 4 + 8 + 6) + b"WEBPVP8L" + struct.pack("<I", 5) + b"/" + vp8l
    + b"\\0")
vp8x = struct.pack("<I", 2) + (2**24 - 1).to_bytes(3, "little") + (2**8 - 1).to_bytes(3, "little")
open("e.webp", "wb").write(b"RIFF" + struct.pack("<I", 4 + 8 + 10) + b"WEBPVP8X" + struct.pack("<I", 10) + vp8x)
""",
        held=not_opened,
        needs=CONTRACT,
    ),
    Attack(
        "images.text-bomb",
        "a small PNG with gigabytes of compressed text and colour profile",
        _PNG
        + """
text = zeros(100 << 20)
extra = chunk(b"zTXt", b"Comment\\0\\0" + text) + chunk(b"iCCP", b"p\\0\\0" + text)
extra += chunk(b"iTXt", b"k\\0\\1\\0\\0\\0" + text)
open("text.png", "wb").write(png(8, 8, data=zlib.compress(bytes(16)), extra=extra))
""",
        held=opened_small,
        needs=CONTRACT,
    ),
    Attack(
        "images.overlong",
        "a small PNG whose data go on for gigabytes",
        _PNG + "open('long.png', 'wb').write(png(8, 8, data=zeros(300 << 20)))",
        held=opened_small,
        needs=CONTRACT,
    ),
    Attack(
        "images.frames",
        "an animation of very many frames",
        """
from PIL import Image
frames = [Image.new("RGB", (256, 256), (n, n, n)) for n in range(120)]
frames[0].save("many.png", save_all=True, append_images=frames[1:])
frames[0].save("many.webp", save_all=True, append_images=frames[1:])
""",
        held=opened_small,
        needs=CONTRACT,
    ),
    Attack(
        "images.confusion",
        "files of other formats under a picture's name",
        """
from PIL import Image
image = Image.new("RGB", (16, 16))
for n, kind in enumerate(("TIFF", "GIF", "BMP", "PPM", "ICO", "PCX", "TGA", "SGI", "PDF", "EPS")):
    try:
        image.save(f"{kind.lower()}.png", format=kind)
    except (OSError, KeyError, ValueError) as error:
        say("not made:", kind, error)
open("ghost.png", "w").write("%!PS-Adobe-3.0 EPSF-3.0\\n%%BoundingBox: 0 0 9 9\\n%%EndComments\\n(/etc/passwd) file")
open("vector.png", "w").write('<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')
open("magick.png", "w").write('push graphic-context\\nfill "url(https://192.0.2.1/x.png)"\\npop graphic-context\\n')
""",
        held=not_opened,
        needs=CONTRACT,
    ),
    Attack(
        "images.pickle",
        "objects that act when they are loaded, under the names of pictures and arrays",
        """
import pickle, io, zipfile
import numpy
class Act:
    def __reduce__(self):
        return (os.mkdir, (target()["pickled"],))
payload = pickle.dumps(Act())
open("out.png", "wb").write(payload)
open("out.pkl", "wb").write(payload)
head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
head += b" " * (63 - (10 + len(head)) % 64) + b"\\n"
open("out.npy", "wb").write(b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(head)) + head + payload)
with zipfile.ZipFile("out.pt", "w") as file:
    file.writestr("archive/data.pkl", payload)
os.write(1, payload + b"\\n")
os.write(2, payload)
""",
        held=not_opened,
        needs=CONTRACT,
    ),
    Attack(
        "images.broken",
        "pictures cut off, with bytes turned, or made of noise behind a true beginning",
        _PNG
        + """
from PIL import Image
import io, numpy
buffer = io.BytesIO()
noise = numpy.random.randint(0, 255, (64, 64, 3), dtype=numpy.uint8)
for kind in ("PNG", "JPEG", "WEBP"):
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format=kind)
    whole = buffer.getvalue()
    open(f"cut-{kind}", "wb").write(whole[: len(whole) // 2])
    open(f"head-{kind}", "wb").write(whole[:40] + os.urandom(2000))
open("negative.png", "wb").write(png(2**32 - 1, 2**32 - 1))
open("nothing.png", "wb").write(png(0, 0))
open("empty.png", "wb").write(b"")
""",
        held=not_opened,
        needs=CONTRACT,
    ),
)
