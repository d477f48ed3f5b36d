"""Generated requests to every operation, by our own OpenAPI document and by that of the Open Inference Protocol.

schemathesis makes requests that fit the document and such that do not; no answer may be a 5xx or differ from what the
document says of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import schemathesis
import yaml
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from tests.benchmarks.report import heading
from tests.reliability.service import running

PROTOCOL = Path(__file__).with_name("open_inference_protocol.yaml")
_REFUSALS = [400, 401, 403, 404, 405, 406, 408, 409, 411, 413, 415, 422]
_CONFIG = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": _REFUSALS}}})
_EXCLUDED = [checks.positive_data_acceptance]
"""A generated body is rarely an image or a tensor that a model takes."""
_LONGEST_URL = 32 * 1024
_ALSO_EXCLUDED_OF_PROTOCOL = [checks.negative_data_rejection, checks.unsupported_method]
"""The protocol lets a server know more than its document does."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Send generated requests to every operation.")
    parser.add_argument("--examples", type=int, default=500, help="requests of each kind and operation (default 500)")
    parser.add_argument("--only", default="", help="operations whose path has this in it")
    parser.add_argument("--seed", type=int, default=0, help="(default 0)")
    arguments = parser.parse_args()
    print(heading(f"API fuzzing: {arguments.examples} examples a kind and operation", "schemathesis"), flush=True)
    failures = 0
    with running() as service:
        served = httpx.get(f"{service.url}/v1/models", timeout=120).json()["models"][0]
        paths = {"name": [served["name"], f"{served['name']}_detect", "none"], "version": [served["version"], "none"]}
        for title, document, excluded in (
            ("own document", httpx.get(f"{service.url}/openapi.json", timeout=120).json(), _EXCLUDED),
            ("Open Inference Protocol", yaml.safe_load(PROTOCOL.read_text()), _EXCLUDED + _ALSO_EXCLUDED_OF_PROTOCOL),
        ):
            print(title)
            _name_models(document, paths)
            schema = schemathesis.openapi.from_dict(document, config=_CONFIG)
            for operation in schema.get_all_operations():
                found = operation.ok()
                if arguments.only in found.path:
                    failures += fuzz(found, service.url, excluded, arguments)
        errors = [number for number, line in enumerate(service.log) if "Traceback" in line]
        for number in errors[:3]:
            print(*service.log[max(0, number - 1) : number + 40], sep="\n")
    print(f"operations that failed: {failures}; errors in the log: {len(errors)}")
    failures += len(errors)
    sys.exit(bool(failures))


def _name_models(node: Any, values: Mapping[str, list[str]]) -> None:
    """Give the path parameters of a document the names and versions that there are."""
    if isinstance(node, dict):
        if node.get("in") == "path" and node.get("name") in values:
            node["schema"] = {"type": "string", "enum": values[node["name"]]}
        for inner in node.values():
            _name_models(inner, values)
    elif isinstance(node, list):
        for inner in node:
            _name_models(inner, values)


def fuzz(operation: Any, url: str, excluded: list[Any], arguments: argparse.Namespace) -> int:
    """Send examples that fit and such that do not; print a line and return how many of the two kinds failed."""
    failed = 0
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        statuses: Counter[int] = Counter()
        start, fault = time.perf_counter(), ""
        try:
            _send(operation.as_strategy(generation_mode=mode), url, excluded, arguments, statuses)
        except Unsatisfiable:
            continue
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (whatever the checks raise is the finding)
            fault = "; ".join(str(part) for part in getattr(error, "exceptions", [error]))
        words = f"{operation.method.upper():6} {operation.path} {mode.value}"
        print(f"{words:75}{sum(statuses.values()):5} {dict(sorted(statuses.items()))}", end="")
        print(f" {time.perf_counter() - start:.1f} s{' FAILED: ' + fault[:1500] if fault else ''}", flush=True)
        failed += bool(fault)
    return failed


def _send(cases: Any, url: str, excluded: list[Any], arguments: argparse.Namespace, statuses: Counter[int]) -> None:
    """Send the cases of a strategy, count the statuses, and raise what the checks do."""

    @hypothesis.seed(arguments.seed)
    @hypothesis.settings(
        max_examples=arguments.examples,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=cases)
    def obeyed(case: Any) -> None:
        answer = case.call(base_url=url)
        statuses[answer.status_code] += 1
        if len(str(answer.request.url)) > _LONGEST_URL:
            return  # no head that HTTP servers take, whatever it asks for
        case.validate_response(answer, excluded_checks=excluded)

    obeyed()


if __name__ == "__main__":
    main()
