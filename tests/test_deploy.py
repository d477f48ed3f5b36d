"""The manifests of app/deploy: each against its published schema, and what they name against the project."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from tests.conftest import ROOT
from yoloscope.app.main import create_app
from yoloscope.app.settings import Settings, load_settings

DEPLOY = ROOT / "app" / "deploy"
KUBERNETES = "1.36"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def validate(document: dict[str, Any]) -> None:
    """Check a document against the schema that Kubernetes publishes for its kind; an unknown field is an error."""
    validator = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate (extra dev)")
    validator.validate(document, KUBERNETES, strict=True)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


PodTemplate = dict[str, Any]
StartParams = dict[str, str]


class HeadGroup(Strict):
    """HeadGroupSpec of ray.io/v1; its template is a PodTemplateSpec of Kubernetes."""

    ray_start_params: StartParams = Field(alias="rayStartParams")
    template: PodTemplate
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] | None = Field(None, alias="serviceType")
    enable_ingress: bool | None = Field(None, alias="enableIngress")


class WorkerGroup(Strict):
    """WorkerGroupSpec of ray.io/v1."""

    group_name: str = Field(alias="groupName")
    replicas: int = Field(0, ge=0)
    min_replicas: int = Field(alias="minReplicas", ge=0)
    max_replicas: int = Field(alias="maxReplicas", ge=0)
    num_of_hosts: int = Field(1, alias="numOfHosts", ge=1)
    ray_start_params: StartParams = Field(alias="rayStartParams")
    template: PodTemplate


class RayCluster(Strict):
    """RayClusterSpec of ray.io/v1, as far as it is used here."""

    head: HeadGroup = Field(alias="headGroupSpec")
    workers: list[WorkerGroup] = Field(alias="workerGroupSpecs")
    ray_version: str = Field(alias="rayVersion")
    autoscaling: bool | None = Field(None, alias="enableInTreeAutoscaling")


class RayServiceSpec(Strict):
    """RayServiceSpec of ray.io/v1: what Ray Serve runs is a text of YAML."""

    serve_config: str = Field(alias="serveConfigV2")
    cluster: RayCluster = Field(alias="rayClusterConfig")


class RayService(Strict):
    api_version: Literal["ray.io/v1"] = Field(alias="apiVersion")
    kind: Literal["RayService"]
    metadata: dict[str, str]
    spec: RayServiceSpec


class ServeApplication(Strict):
    """An application of Ray Serve's ServeDeploySchema, as far as it is used here."""

    name: str
    route_prefix: str
    import_path: str
    args: dict[str, Any]


class ServeHttp(Strict):
    host: str
    port: int


class ServeConfig(Strict):
    proxy_location: Literal["EveryNode", "HeadOnly", "Disabled"]
    http_options: ServeHttp
    applications: list[ServeApplication]


def ray_service() -> RayServiceSpec:
    (document,) = documents("rayservice.yaml")
    return TypeAdapter(RayService).validate_python(document).spec


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in pod["containers"][0].get("env", [])}


def require_settings(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Load the settings of a manifest; a variable that is none of ours is an error."""
    known = {f"YOLOSCOPE_{name.upper()}" for name in Settings.model_fields}
    assert variables.keys() <= known
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_the_manifest_of_kubernetes_follows_its_schema() -> None:
    kinds = [document["kind"] for document in documents("kubernetes.yaml")]
    assert kinds == ["Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"]
    for document in documents("kubernetes.yaml"):
        validate(document)


def test_no_service_beside_a_pod_becomes_a_setting() -> None:
    """Kubernetes sets YOLOSCOPE_PORT=tcp://... in every pod beside a service named yoloscope, unless told not to."""
    cluster = ray_service().cluster
    templates = [cluster.head.template, *(group.template for group in cluster.workers)]
    pods = [documents("kubernetes.yaml")[0]["spec"]["template"], *templates]
    assert [pod["spec"]["enableServiceLinks"] for pod in pods] == [False] * len(pods)


def test_an_error_in_a_manifest_would_be_noticed() -> None:
    deployment = documents("kubernetes.yaml")[0]
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(Exception, match="readinesProbe"):
        validate(deployment)


def test_what_the_manifest_of_kubernetes_names_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment, service, scaler, budget = documents("kubernetes.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = require_settings(environment(pod), monkeypatch)
    assert pod["terminationGracePeriodSeconds"] > settings.drain_s + settings.shutdown_grace_s
    paths = create_app(settings).openapi()["paths"]
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert all("get" in paths[probe["path"]] for probe in probes)
    assert {probe["port"] for probe in probes} == {port["name"] for port in container["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (deployment["spec"]["selector"]["matchLabels"], budget["spec"]["selector"]["matchLabels"]):
        assert selector.items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert all(f"={path}" in dockerfile for path in mounted.values())


def test_the_manifest_of_ray_follows_its_schema() -> None:
    cluster = ray_service().cluster
    for template in (cluster.head.template, *(group.template for group in cluster.workers)):
        validate({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template})
    for group in cluster.workers:
        assert group.min_replicas <= group.replicas <= group.max_replicas


def test_what_the_manifest_of_ray_names_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ray_service()
    config = TypeAdapter(ServeConfig).validate_python(yaml.safe_load(spec.serve_config))
    (application,) = config.applications
    module, _, function = application.import_path.partition(":")
    source = (ROOT / (module.removeprefix("yoloscope.").replace(".", "/") + ".py")).read_text()
    assert f"def {function}(" in source
    require_settings(environment(spec.cluster.head.template["spec"]), monkeypatch)
    settings = load_settings(**application.args)
    assert settings.ray_min_replicas <= settings.ray_max_replicas
    for group in spec.cluster.workers:
        (container,) = group.template["spec"]["containers"]
        assert int(container["resources"]["limits"]["cpu"]) >= settings.threads
        assert {"name": "serve", "containerPort": config.http_options.port} in container["ports"]
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    assert f"ray=={spec.cluster.ray_version}" in pinned
    assert " AS ray\n" in (ROOT / "Dockerfile").read_text()
