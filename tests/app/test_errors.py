"""The table from exceptions to HTTP is complete, and every error is problem details."""

import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from tests.app.client import Client
from yoloscope.app.errors import TABLE, kind_of, validation_faults
from yoloscope.app.main import create_app
from yoloscope.app.schemas.problem import Problem
from yoloscope.app.settings import Settings
from yoloscope.models import errors
from yoloscope.models.errors import LabelError, LabelProblem, YoloscopeError


def tree(root: type[YoloscopeError]) -> set[type[YoloscopeError]]:
    return {root, *(leaf for child in root.__subclasses__() for leaf in tree(child))}


def declared() -> set[type[YoloscopeError]]:
    return {kind for kind in tree(YoloscopeError) if kind.__module__ == errors.__name__}


def test_every_error_of_the_tree_has_an_entry() -> None:
    assert declared() == set(TABLE)


def test_every_kind_has_one_title_and_one_status() -> None:
    by_name = {kind.name: kind for kind in TABLE.values()}
    assert all(by_name[kind.name] == kind for kind in TABLE.values())


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    missing = [kind.__name__ for kind in declared() if kind.__name__ not in errors.__doc__]
    assert not missing


def test_an_error_of_another_module_takes_the_entry_of_its_base() -> None:
    class OwnError(errors.ImageDecodeError):
        pass

    assert kind_of(OwnError("x")) is TABLE[errors.ImageDecodeError]


@pytest.fixture
def failing(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.mark.parametrize("kind", sorted(declared(), key=str))
def test_every_error_is_answered_as_a_problem(failing: FastAPI, kind: type[YoloscopeError]) -> None:
    @failing.get("/fail")
    async def fail() -> None:
        raise kind("what was expected and what came")

    with Client(failing) as client:
        response = client.get("/fail")
    problem = Problem.model_validate_json(response.content)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, problem.status) == (TABLE[kind].status,) * 2
    assert ("what was expected" in problem.detail) == (problem.status != 500)
    assert ("retry-after" in response.headers) == (
        TABLE[kind].name in {"service", "busy", "storage", "not-ready", "deadline", "too-many-requests"}
    )


def test_unforeseen_errors_tell_nothing(failing: FastAPI) -> None:
    @failing.get("/fail")
    async def fail() -> None:
        raise ZeroDivisionError("secret")

    with Client(failing) as client:
        response = client.get("/fail")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


def test_label_problems_become_pointers(failing: FastAPI) -> None:
    @failing.get("/fail")
    async def fail() -> None:
        raise LabelError("one is wrong", (LabelProblem("/objects/3/box", "expected x2 > x1"),))

    with Client(failing) as client:
        document = client.get("/fail").json()
    assert document["errors"] == [{"pointer": "/objects/3/box", "detail": "expected x2 > x1"}]


def test_http_exceptions_keep_their_headers(client: Client) -> None:
    response = client.request("DELETE", "/v1/models")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET"
    assert response.json()["type"] == "about:blank"
    assert client.get("/v1/detect/").status_code == 404


def test_own_details_of_http_exceptions_are_told(failing: FastAPI) -> None:
    @failing.get("/fail")
    async def fail() -> None:
        raise HTTPException(409, "it exists")

    with Client(failing) as client:
        assert client.get("/fail").json() == {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": "it exists",
        }


def test_memory_addresses_are_left_out(failing: FastAPI) -> None:
    @failing.get("/fail")
    async def fail() -> None:
        raise errors.ImageDecodeError("cannot identify <_io.BytesIO object at 0x7f1c2b3d4e50>", "/image")

    with Client(failing) as client:
        document = client.get("/fail").json()
    assert document["detail"] == "cannot identify <_io.BytesIO object>"
    assert document["errors"] == [{"pointer": "/image", "detail": "cannot identify <_io.BytesIO object>"}]


def test_pointers_are_escaped() -> None:
    (fault,) = validation_faults([{"loc": ("body", "a/b", "c~d", 0), "msg": "no"}], skip=1)
    assert fault.pointer == "/a~1b/c~0d/0"
