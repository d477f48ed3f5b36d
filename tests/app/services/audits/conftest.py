"""Databases of jobs: SQLite and, where it can be installed, a real PostgreSQL server."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from tests.helpers.postgres import postgres_server
from yoloscope.app.services.audits.database import Database
from yoloscope.app.services.audits.tables import Base


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with ExitStack() as stack:
        yield stack.enter_context(postgres_server())


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'audits.sqlite'}"
        return
    found: str = request.getfixturevalue("postgres_url")
    yield found
    engine = create_engine(found.replace("postgresql:", "postgresql+psycopg:"))
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()
