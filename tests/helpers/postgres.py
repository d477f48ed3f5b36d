"""A private PostgreSQL server in a temporary folder, from Debian's package (apt-get install postgresql)."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl: apt-get install postgresql")
    return Path(on_path).resolve().parent


@contextmanager
def postgres_server() -> Iterator[str]:
    """Start a server that listens on a socket alone, give its URL, and delete it at the end.

    PostgreSQL refuses to run as root, who has it run by another user.
    """
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))  # a path of a socket is short
    user = None
    if os.getuid() == 0:
        user = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))
        shutil.chown(folder, user)
    folder.chmod(0o755)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder, timeout=120)

    data = str(folder / "data")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c unix_socket_permissions=0777"
    try:
        run(str(programs / "initdb"), "-D", data, "-U", "audits", "-A", "trust", "--no-sync", "-E", "UTF8")
        run(str(programs / "pg_ctl"), "-D", data, "-l", str(folder / "log"), "-w", "-o", options, "start")
        try:
            yield f"postgresql://audits@/postgres?host={folder}"
        finally:
            run(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
