"""A hundred zips that would do harm or cannot be used: each is refused in words, and nothing is written for it."""

import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.audits import yolo_files, zip_of
from yoloscope.app.services.audits.archive import ArchiveLimits, check_archive, unpack_archive
from yoloscope.models.errors import ArchiveError, MediaTypeError, RequestTooLargeError, StorageError, YoloscopeError

LIMITS = ArchiveLimits(max_files=50, max_unpacked_bytes=8_000_000)
FILES = yolo_files(2)
GOOD = zip_of(FILES)

Case = tuple[str, bytes, type[YoloscopeError], str]


def entry(name: str, change: Callable[[zipfile.ZipInfo], None], data: bytes = b"x") -> bytes:
    """A data set with one more file, whose entry was changed before it was written."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for good, content in FILES:
            archive.writestr(good, content)
        info = zipfile.ZipInfo(name)
        change(info)
        archive.writestr(info, data)
    return memory.getvalue()


def named(name: str) -> bytes:
    return zip_of([*FILES, (name, b"x")])


def with_mode(mode: int) -> bytes:
    def change(info: zipfile.ZipInfo) -> None:
        info.create_system = 3
        info.external_attr = mode << 16

    return entry("extra.txt", change)


def patched(old: bytes, new: bytes, data: bytes = GOOD) -> bytes:
    """The zip with other bytes of the same length everywhere."""
    assert len(old) == len(new)
    assert old in data
    return data.replace(old, new)


def central(data: bytes, offset: int, value: bytes, index: int = 0) -> bytes:
    """The zip with other bytes in one entry of the central directory."""
    at = -1
    for _ in range(index + 1):
        at = data.index(b"PK\x01\x02", at + 1)
    return data[: at + offset] + value + data[at + offset + len(value) :]


def _paths() -> list[Case]:
    leading = (
        "../a.txt",
        "a/../../b.txt",
        "..",
        "a/..",
        "..\\a.txt",
        "a\\..\\..\\b",
        "./../x",
        "images/../../x",
        "a/./../b",
    )
    absolute = ("/etc/passwd", "//host/share", "\\windows\\x", "C:\\x.txt", "C:/x.txt", "c:x.txt", "\\\\host\\share\\x")
    control = ("a\nb.txt", "a\tb", "a\x1bb", "a\x7fb", "images/\x01.png", "a\rb", "\x08.txt", "a\x9fb")
    deep = ("/".join("abcdefghijklmnopq"), "a/" * 40 + "b", "x/" * 200 + "y")
    long = ("a" * 256, "b/" + "ä" * 128, "c" * 1000 + "/d")
    empty = (".", "./.", "/", "//")
    return [
        *((f"leads out {name!r}", named(name), ArchiveError, "leads out") for name in leading),
        *((f"absolute {name!r}", named(name), ArchiveError, "absolute path") for name in absolute),
        *((f"control {name!r}", named(name), ArchiveError, "printable") for name in control),
        *((f"deep {len(name)}", named(name), ArchiveError, "at most 16 folders") for name in deep),
        *((f"long {len(name)}", named(name), ArchiveError, "at most 255 bytes") for name in long),
        *((f"empty {name!r}", named(name), ArchiveError, "names|absolute") for name in empty if not name.endswith("/")),
        ("NUL", patched(b"images/000.png", b"images/000\0png"), ArchiveError, "printable"),
        ("Latin-1", patched(b"images/000.png", b"images/\xe4\xf6\xfc.png"), ArchiveError, "names in UTF-8"),
        ("Shift JIS", patched(b"images/000.png", b"images/\x83\x65\x83.png"), ArchiveError, "names in UTF-8"),
        ("bad UTF-8 by its flag", _bad_utf8(), ArchiveError, "whole zip|UTF-8"),
    ]


def _bad_utf8() -> bytes:
    return patched("images/äöü.png".encode(), b"images/\xff\xfe\xff\xff\xff\xff.png", named("images/äöü.png"))


def _kinds() -> list[Case]:
    links = (stat.S_IFLNK | 0o777, stat.S_IFLNK)
    devices = (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR)
    methods = (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    return [
        *((f"link {mode:o}", with_mode(mode), ArchiveError, "got the link") for mode in links),
        *((f"device {mode:o}", with_mode(mode), ArchiveError, "a device, a pipe") for mode in devices),
        *((f"method {m}", zip_of(FILES, m), ArchiveError, "stored or deflated") for m in methods),
        *(
            (f"method {m}", central(GOOD, 10, struct.pack("<H", m)), ArchiveError, "stored or deflated")
            for m in (1, 6, 9, 93, 95, 98, 99, 255)
        ),
        *(
            (f"encrypted {bits:#x}", central(GOOD, 8, struct.pack("<H", bits)), ArchiveError, "password")
            for bits in (0x1, 0x41, 0x801)
        ),
        ("same name twice", _twice("labels/000.txt"), ArchiveError, "got 'labels/000.txt' twice"),
        ("same path twice", _twice("./labels//000.txt"), ArchiveError, "got 'labels/000.txt' twice"),
        ("same path by backslash", _twice("labels\\000.txt"), ArchiveError, "got 'labels/000.txt' twice"),
        ("a file as a folder", named("labels/000.txt/x"), ArchiveError, "got 'labels/000.txt' as both"),
    ]


def _twice(name: str) -> bytes:
    other = "z" * len(name)
    return patched(other.encode(), name.encode(), named(other))


def _sizes() -> list[Case]:
    zeros = bytes(3_000_000)
    many = zip_of([*FILES, *((f"n/{number}.txt", b"") for number in range(50))])
    huge = zip_of([*FILES, *((f"n/{number}.txt", b"") for number in range(600))])
    big = zip_of([*FILES, *((f"big{number}.txt", random.Random(number).randbytes(3_000_000)) for number in range(3))])
    claims = central(GOOD, 24, struct.pack("<L", 600_000_000))
    bomb = zip_of([*FILES, ("zeros.txt", zeros)], zipfile.ZIP_DEFLATED)
    return [
        ("too many files", many, RequestTooLargeError, "at most 50 files in the zip, got 55"),
        ("a list of files that is too long", huge, RequestTooLargeError, "got a list of"),
        ("too many bytes", big, RequestTooLargeError, "8000000 bytes unpacked, got 9"),
        ("one file that is too large", claims, RequestTooLargeError, "files of at most 536870912 bytes"),
        ("a bomb", bomb, ArchiveError, "compressed to 1/200"),
        ("a bomb that claims to be small", _lying(bomb, 1000), ArchiveError, "fails"),
        ("a file shorter than claimed", central(GOOD, 24, struct.pack("<L", 60)), ArchiveError, "fails|bytes in"),
        ("files that overlap", _overlapping(), ArchiveError, "inside another"),
        ("an end of zip64 that is none", _beyond_zip32(0), RequestTooLargeError, "got a list of"),
        ("an end of zip64 behind the file", _beyond_zip32(2**40), ArchiveError, "end points out of it"),
        ("files that are one", central(GOOD, 42, struct.pack("<L", 0), 1), ArchiveError, "inside another"),
    ]


def _beyond_zip32(record_at: int) -> bytes:
    """The zip with an end that refers to one of zip64 for all of its numbers."""
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, record_at, 1)
    return GOOD[:-22] + locator + b"PK\x05\x06" + b"\xff" * 16 + b"\0\0"


def _lying(data: bytes, size: int) -> bytes:
    return central(data, 24, struct.pack("<L", size), len(FILES))


def _overlapping() -> bytes:
    data = zip_of([*FILES, ("a.txt", b"A" * 400), ("b.txt", b"B" * 400)])
    return central(data, 20, struct.pack("<L", 900), len(FILES))


def _broken() -> list[Case]:
    cuts = [len(GOOD) * part // 12 for part in range(1, 12)]
    body = GOOD.index(b"PK\x01\x02")
    flips = [random.Random(seed).randrange(FILES[0][1].__len__()) + 30 + len(FILES[0][0]) for seed in range(4)]
    return [
        *((f"cut at {cut}", GOOD[:cut], ArchiveError, "cut off") for cut in cuts),
        *((f"flipped at {at}", _flipped(at), ArchiveError, "fails: Bad CRC-32") for at in flips),
        ("without a begin", b"PK\x03\x04" + GOOD[body:], ArchiveError, "inside another"),
        ("a directory of zeros", GOOD[:body] + bytes(len(GOOD) - body - 22) + GOOD[-22:], ArchiveError, "whole zip"),
        ("a header that is none", central(GOOD, 42, struct.pack("<L", 7)), ArchiveError, "whole zip|inside another"),
        ("a tail alone", GOOD[:4] + GOOD[-22:], ArchiveError, "whole zip"),
        ("a name unlike its header", _other_name(), ArchiveError, "fails"),
        ("nothing", b"", MediaTypeError, "begins otherwise"),
        ("a JPEG", b"\xff\xd8\xff\xe0" + bytes(100), MediaTypeError, "begins otherwise"),
        ("a gzip", b"\x1f\x8b\x08\x00" + bytes(100), MediaTypeError, "begins otherwise"),
        ("a RAR", b"Rar!\x1a\x07" + bytes(100), MediaTypeError, "begins otherwise"),
        ("a 7z", b"7z\xbc\xaf\x27\x1c" + bytes(100), MediaTypeError, "begins otherwise"),
        ("a program before a zip", b"MZ" + bytes(100) + GOOD, MediaTypeError, "begins otherwise"),
        ("an image before a zip", FILES[0][1] + GOOD, MediaTypeError, "begins otherwise"),
        ("an end in its comment", _end_in_comment(), ArchiveError, "without images"),
        ("a page", b"<html></html>", MediaTypeError, "begins otherwise"),
        ("no files", zip_of([]), ArchiveError, "without images"),
        ("folders alone", zip_of([("a/", b""), ("b/", b"")]), ArchiveError, "without images"),
        ("images alone", zip_of([f for f in FILES if f[0].endswith(".png")]), ArchiveError, "without labels"),
        ("labels alone", zip_of([f for f in FILES if f[0].endswith(".txt")]), ArchiveError, "without images"),
        ("a zip in a zip", zip_of([("data.zip", GOOD)]), ArchiveError, "without images"),
    ]


def _end_in_comment() -> bytes:
    """The zip with a comment that is the end of an empty one."""
    comment = b"PK\x05\x06" + bytes(18)
    return GOOD[:-2] + struct.pack("<H", len(comment)) + comment


def _flipped(at: int) -> bytes:
    return GOOD[:at] + bytes([GOOD[at] ^ 0x10]) + GOOD[at + 1 :]


def _other_name() -> bytes:
    at = GOOD.index(b"classes.txt")
    return GOOD[:at] + b"clasaes.txt" + GOOD[at + 11 :]


HOSTILE = [*_paths(), *_kinds(), *_sizes(), *_broken()]


def test_there_are_a_hundred_and_they_differ() -> None:
    assert len(HOSTILE) >= 100
    assert len({data for _, data, _, _ in HOSTILE}) == len(HOSTILE)


@pytest.mark.parametrize(
    ("data", "error", "message"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
def test_a_hostile_zip_is_refused_in_words(
    tmp_path: Path, data: bytes, error: type[YoloscopeError], message: str
) -> None:
    with pytest.raises(error, match=message) as found:
        check_archive(io.BytesIO(data), LIMITS)
    assert str(found.value).startswith("expected ")
    assert len(str(found.value)) < 500
    if not str(found.value).startswith("expected a zip of a data set"):
        with pytest.raises(error):
            unpack_archive(io.BytesIO(data), tmp_path / "inner" / "data", LIMITS)
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")} <= {"inner"}


def test_a_good_zip_is_unpacked_to_the_byte(tmp_path: Path) -> None:
    files = [*FILES, ("bilder/grün/ä.txt", b"1"), ("a\\b.txt", b"2"), ("./c//d.txt", b"3")]
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        data = io.BytesIO(zip_of([("empty/", b""), *files], compression))
        check_archive(data, LIMITS)
        folder = tmp_path / str(compression)
        unpack_archive(data, folder, LIMITS)
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert found == {**dict(files[:-2]), "a/b.txt": b"2", "c/d.txt": b"3"}


def test_names_in_utf_8_without_its_flag_are_read(tmp_path: Path) -> None:
    data = named("images/äöü.png")
    flag = data.index(b"PK\x03\x04", data.rindex(b"PK\x03\x04")) + 6
    plain = bytearray(data)
    plain[flag : flag + 2] = b"\0\0"
    at = data.rindex(b"PK\x01\x02") + 8
    plain[at : at + 2] = b"\0\0"
    unpack_archive(io.BytesIO(bytes(plain)), tmp_path / "data", LIMITS)
    assert (tmp_path / "data" / "images" / "äöü.png").read_bytes() == b"x"


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="room to unpack"):
        unpack_archive(io.BytesIO(GOOD), tmp_path / "file" / "data", LIMITS)
