"""Database of audit jobs: SQLite in a file, or PostgreSQL by URL, opened when it is first needed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection as SqliteConnection
from typing import Final

from sqlalchemy import Connection, create_engine, event, func, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from yoloscope.app.services.audits.tables import SCHEMA_VERSION, Base, SchemaRow
from yoloscope.models.errors import ConfigError, StorageError

_SQLITE_WAIT_S: Final = 30.0
_POSTGRES_LOCK: Final = 7_236_001
"""Number of the advisory lock of ``wait_for_turn``."""
_WITHOUT_SHARDS: Final = 1
"""Version of the tables that lacks one of today's, and is else the same."""


class Database:
    """Transactions on the tables of audit jobs, which are created where there are none.

    ``url`` is SQLAlchemy's: ``sqlite:///path`` or ``postgresql://user:password@host/name``. Raises ConfigError for a
    URL that is none or a driver that is not installed, StorageError for a database that cannot be reached or was
    written by a newer version. Thread-safe.
    """

    def __init__(self, url: str) -> None:
        parsed = _parse(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._engine = create_engine(parsed, connect_args={"timeout": _SQLITE_WAIT_S})
            event.listen(self._engine, "connect", _set_up_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        else:
            self._engine = create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10})
        try:
            self._create_tables()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that ends with a commit; raises StorageError for what the database refuses.

        In SQLite it is the only one that writes, from its begin on.
        """
        with self._errors(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that only reads, and waits for none that writes."""
        with self._errors(), Session(self._engine.execution_options(reads_only=True)) as session, session.begin():
            yield session

    def now(self, session: Session) -> float:
        """Return the seconds since 1970 by the clock that all processes share."""
        if self.is_sqlite:
            return time.time()
        return float(session.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)

    def wait_for_turn(self, session: Session) -> None:
        """Let one process at a time add jobs or create tables, until its transaction ends."""
        if not self.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise StorageError(f"expected the database of audits to answer, got: {reason}") from error

    def _create_tables(self) -> None:
        with self.write() as session:
            self.wait_for_turn(session)
            Base.metadata.create_all(session.connection())
            found = session.scalar(select(SchemaRow))
            if found is None:
                session.add(SchemaRow(id=1, version=SCHEMA_VERSION))
            elif found.version == _WITHOUT_SHARDS:
                found.version = SCHEMA_VERSION
            elif found.version != SCHEMA_VERSION:
                raise StorageError(
                    f"expected a database of audits of version {SCHEMA_VERSION}, got version {found.version}: it "
                    "belongs to another version of Yoloscope; use that one, or name another database in "
                    "YOLOSCOPE_DATABASE_URL"
                )


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if backend == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if backend not in ("sqlite", "postgresql"):
            raise ConfigError(f"YOLOSCOPE_DATABASE_URL: expected sqlite:/// or postgresql://, got {backend}")
        parsed.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            f"YOLOSCOPE_DATABASE_URL: expected sqlite:///FILE or postgresql://..., got: {error}"
        ) from error
    except ImportError as error:
        raise ConfigError(
            f"YOLOSCOPE_DATABASE_URL: expected an installed driver (pip install 'yoloscope[postgres]'), got: {error}"
        ) from error
    return parsed


def _set_up_sqlite(connection: SqliteConnection, _record: object) -> None:
    """Have readers not wait for the writer, and leave the begin of transactions to ``_begin_sqlite``."""
    connection.isolation_level = None
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    first = () if mode == "wal" else ("auto_vacuum = FULL", "journal_mode = WAL")  # kept in the file; they wait for it
    for pragma in (*first, "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
