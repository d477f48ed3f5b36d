"""The database of jobs: created once, refused where it is newer, and its errors in the tree."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text, update

from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.tables import SCHEMA_VERSION, SchemaRow, ShardRow
from yoloscope.models.errors import ConfigError, StorageError


def test_several_processes_may_create_the_tables_at_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda _: Database(url), range(4)))
    with opened[0].read() as session:
        assert [row.version for row in session.query(SchemaRow)] == [SCHEMA_VERSION]
    for database in opened:
        database.close()


def test_a_database_from_before_there_were_shards_gets_them(database: Database, url: str) -> None:
    with database.write() as session:
        session.execute(text("DROP TABLE yoloscope_shards"))
        session.execute(update(SchemaRow).values(version=1))
    Database(url).close()
    with database.read() as session:
        assert session.query(SchemaRow).one().version == SCHEMA_VERSION
        assert session.query(ShardRow).all() == []


def test_a_database_of_a_newer_version_is_refused(database: Database, url: str) -> None:
    with database.write() as session:
        session.execute(update(SchemaRow).values(version=SCHEMA_VERSION + 1))
    with pytest.raises(StorageError, match=f"of version {SCHEMA_VERSION}, got version {SCHEMA_VERSION + 1}"):
        Database(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "expected sqlite"),
        ("mysql://a@b/c", "expected sqlite:/// or postgresql://, got mysql"),
        ("foo://x", "expected sqlite"),
    ],
)
def test_an_unknown_url_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Database(url)


def test_a_database_that_cannot_be_reached_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open"):
        Database(f"sqlite:///{tmp_path / 'absent' / 'audits.sqlite'}")


def test_what_the_database_refuses_is_a_storage_error(database: Database) -> None:
    with pytest.raises(StorageError, match="expected the database of audits to answer"), database.read() as session:
        session.execute(text("SELECT * FROM absent"))


def test_readers_of_sqlite_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    with database.write() as writer:
        writer.execute(update(SchemaRow).values(version=7))
        with database.read() as reader:
            assert reader.query(SchemaRow).one().version == SCHEMA_VERSION
    database.close()
