"""Recognition of files that are no cfg, .weights or names file: Git LFS pointers, web pages, archives, swapped ones."""

from __future__ import annotations

from typing import Final

HEAD_BYTES: Final = 512
"""Bytes at the start of a file that ``describe_file`` wants to see."""

_PAGE: Final = "a web page (HTML): the download has failed, or needs a login or another link"
_SIGNATURES: Final = (
    (b"PK\x03\x04", "a zip archive, as PyTorch's .pt and .pth files are"),
    (b"\x80\x02", "a Python pickle, as old .pt and .pth files are"),
    (b"\x89hdf", "an HDF5 file, as Keras' .h5 files are"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"rar!", "a RAR archive"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"),
    *((mark, _PAGE) for mark in (b"<!doctype", b"<html", b"<head", b"<?xml")),
    (b"[net", "a cfg: the cfg comes first and the weights second"),
)
_PRINTABLE: Final = frozenset(b"\t\n\r\f\x1b") | frozenset(range(0x20, 0x100)) - {0x7F}


def describe_file(head: bytes) -> str | None:
    """Return what a file is by its first bytes, as "a web page (HTML)", or None where it may be a .weights file."""
    if not head:
        return "an empty file"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:32].lower()
    for signature, name in _SIGNATURES:
        if start.startswith(signature.lower()) or (signature == b"[net" and b"\n[net" in head):
            return name
    return "a text file" if is_text(head) else None


def is_text(head: bytes) -> bool:
    """Return whether the first bytes of a file hold nothing but text; the bytes of floats and headers do not."""
    return bool(head) and _PRINTABLE.issuperset(head)
