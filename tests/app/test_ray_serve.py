"""The service on Ray Serve, where Ray is installed: ``make check-ray``."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import ROOT
from tests.e2e.conftest import start_service
from yoloscope.app.settings import Settings, load_settings
from yoloscope.models.errors import ConfigError, ServiceError

ray = pytest.importorskip("ray", reason="needs ray (extra ray): make check-ray")
api = pytest.importorskip("ray.serve._private.api")
schema = pytest.importorskip("ray.serve.schema")
ray_serve = pytest.importorskip("yoloscope.app.ray_serve")
PORT = 8643


def deployment(settings: Settings) -> Any:
    return ray_serve.bind(settings)._bound_deployment


def test_limits_of_the_service_are_those_of_ray() -> None:
    bound = deployment(load_settings(queue_limit=64, threads=2, ray_gpus=0.5, ray_min_replicas=2, ray_max_replicas=6))
    config = bound._deployment_config
    assert (config.max_ongoing_requests, config.max_queued_requests) == (32, 32)
    assert (config.backpressure_config.status_code, config.backpressure_config.retry_after_s) == (503, 1)
    scaling = config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 6, 4)
    assert bound.ray_actor_options == {"num_cpus": 2, "num_gpus": 0.5}
    assert deployment(load_settings(queue_limit=1))._deployment_config.max_queued_requests == 1


def test_settings_that_do_not_go_with_replicas() -> None:
    with pytest.raises(ConfigError, match="YOLOSCOPE_MODEL_CONTROL: expected none on Ray, got explicit"):
        ray_serve.bind(load_settings(model_control="explicit"))
    with pytest.raises(ConfigError, match=r"YOLOSCOPE_RAY_MAX_REPLICAS: expected at least .* got 4"):
        ray_serve.application({"ray_min_replicas": 5})


def test_a_replica_that_fits_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 4.0, "GPU": 1.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: machines)
    ray_serve._require_room(load_settings(threads=4))
    with pytest.raises(ConfigError, match=r"with 4 CPUs .* and 1 GPUs .*, got 4 CPUs and 0 GPUs$"):
        ray_serve._require_room(load_settings(threads=4, ray_gpus=1))


def test_a_cluster_that_is_not_there_and_a_port_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ServiceError, match=r"expected a Ray cluster at 127.0.0.1:1, got: .*refused"):
        ray_serve.serve_on_ray(load_settings(), print)
    with pytest.raises(ConfigError, match=r"--port: expected one .* with --ray, got 0"):
        ray_serve.serve_on_ray(load_settings(port=0), print)


def test_the_manifest_is_what_ray_serve_reads() -> None:
    manifest = yaml.safe_load((ROOT / "app" / "deploy" / "rayservice.yaml").read_text())
    config = schema.ServeDeploySchema.model_validate(yaml.safe_load(manifest["spec"]["serveConfigV2"]))
    (application,) = config.applications
    module, _, function = application.import_path.partition(":")
    assert module == ray_serve.__name__
    built = api.call_user_app_builder_with_args_if_necessary(getattr(ray_serve, function), application.args)
    assert built._bound_deployment.name == ray_serve.NAME
    assert (
        built._bound_deployment._deployment_config.autoscaling_config.max_replicas
        == application.args["ray_max_replicas"]
    )


def test_a_service_on_a_cluster_of_this_machine(tmp_path: Path) -> None:
    settings = {
        "MODEL": "builtin",
        "MODELS_DIR": str(tmp_path),
        "THREADS": "1",
        "RAY_MAX_REPLICAS": "1",
        "QUEUE_LIMIT": "2",
    }
    service = start_service(
        "--ray", "--port", str(PORT), **{f"YOLOSCOPE_{name}": value for name, value in settings.items()}
    )
    try:
        with httpx.Client(base_url=service.url, timeout=60) as http:
            image = (ROOT / "docs" / "images" / "blood.jpg").read_bytes()
            found = http.post("/v1/detect", content=image).json()
            assert {item["class_name"] for item in found["results"][0]["detections"]} == {"WBC", "RBC", "Platelets"}
            named = http.get("/health/live", headers={"X-Request-ID": "mine"})
            assert named.headers.get_list("x-request-id") == ["mine"]
            (own,) = http.get("/health/live").headers.get_list("x-request-id")
            assert own
            refused = http.get("/v1/audits")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert "YOLOSCOPE_DATABASE_URL" in json.loads(refused.text)["detail"]
            assert http.get("/health/ready").status_code == 200
    finally:
        assert service.stop() == 0
