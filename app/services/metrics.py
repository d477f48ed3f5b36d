"""Metrics of the service in Prometheus' format: requests, images, batches, stages, models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from yoloscope.app.services.admission import ConcurrencyLimiter
    from yoloscope.app.services.kept_heads import HeadsCache
    from yoloscope.app.services.model_store import ModelStore

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BATCH_SIZES: Final = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one running service; all names begin with ``yoloscope_``. Thread-safe."""

    def __init__(self, limiter: ConcurrencyLimiter, limit: int, store: ModelStore, kept: HeadsCache) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "yoloscope_requests",
            "Requests by their answer; 499: the client left.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.request_duration = Histogram(
            "yoloscope_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.rejected = Counter(
            "yoloscope_rejected", "Requests that were refused, by the reason.", ["reason"], registry=registry
        )
        self.canceled = Counter("yoloscope_cancelled", "Requests whose client left.", registry=registry)
        self.model_requests = Summary(
            "yoloscope_model_request_duration_seconds",
            "Requests to a model, outcome success or fail.",
            ["model", "outcome"],
            registry=registry,
        )
        self.stage_duration = Histogram(
            "yoloscope_stage_duration_seconds",
            "Stages of a request: decode, queue, infer, finish, encode.",
            ["model", "stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "yoloscope_batch_size",
            "Images that go through the network together.",
            ["model"],
            buckets=_BATCH_SIZES,
            registry=registry,
        )
        self.images = Counter("yoloscope_images", "Images that were inferred.", ["model"], registry=registry)
        self.detections = Counter("yoloscope_detections", "Detections in answers.", ["model"], registry=registry)
        self.executions = Counter(
            "yoloscope_inference_executions",
            "Runs of the network; images / executions is the mean batch.",
            ["model"],
            registry=registry,
        )
        self.last_inference = Gauge(
            "yoloscope_last_inference_timestamp_seconds", "When the network ran last.", ["model"], registry=registry
        )
        depth = Gauge("yoloscope_queue_depth", "Images at work, waiting ones included.", registry=registry)
        depth.set_function(lambda: limiter.held)
        Gauge("yoloscope_queue_limit", "Images that may be at work at once.", registry=registry).set(limit)
        build = Gauge("yoloscope_build_info", "The version of Yoloscope.", ["version"], registry=registry)
        build.labels(version("yoloscope")).set(1)
        registry.register(_Models(store))
        registry.register(_Kept(kept))

    @contextmanager
    def request(self, model: str) -> Iterator[None]:
        """Count and time the block as one request to a model."""
        start, outcome = time.perf_counter(), "fail"
        try:
            yield
            outcome = "success"
        finally:
            self.model_requests.labels(model, outcome).observe(time.perf_counter() - start)

    def executed(self, model: str, images: int) -> None:
        """Count one run of the network over a batch of images."""
        self.batch_size.labels(model).observe(images)
        self.images.labels(model).inc(images)
        self.executions.labels(model).inc()
        self.last_inference.labels(model).set_to_current_time()

    def staged(self, model: str, stages_ms: dict[str, float]) -> None:
        """Count the stages of one request, in milliseconds by name."""
        for name, milliseconds in stages_ms.items():
            self.stage_duration.labels(model, _STAGES.get(name, name)).observe(milliseconds / 1e3)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


_STAGES: Final = {"inference": "infer"}


class _Kept(Collector):
    """The images whose heads are kept, as they are when the metrics are read."""

    def __init__(self, kept: HeadsCache) -> None:
        self._kept = kept

    def collect(self) -> Iterator[Metric]:
        """Return their number, their bytes, and how often one was asked for."""
        images, size = self._kept.held()
        yield GaugeMetricFamily("yoloscope_kept_images", "Images whose heads are kept for scoring.", images)
        yield GaugeMetricFamily("yoloscope_kept_bytes", "Bytes of the heads that are kept.", size)
        lookups = CounterMetricFamily(
            "yoloscope_kept_lookups", "Ids of kept images in requests, outcome hit or miss.", labels=["outcome"]
        )
        for outcome, count in self._kept.lookups.items():
            lookups.add_metric([outcome], count)
        yield lookups


class _Models(Collector):
    """The models of a store, as they are when the metrics are read."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Return one sample of each kind per loaded model."""
        ready = GaugeMetricFamily("yoloscope_model_ready", "1: the model serves.", labels=["model", "version"])
        info = GaugeMetricFamily(
            "yoloscope_model_info",
            "The file of a model and where it runs.",
            labels=["model", "version", "sha256", "provider"],
        )
        load = GaugeMetricFamily(
            "yoloscope_model_load_duration_seconds",
            "What loading the model and running it once took.",
            labels=["model"],
        )
        for name, runtime, seconds in self._store.serving():
            ready.add_metric([name, runtime.version], 1)
            info.add_metric([name, runtime.version, runtime.sha256, runtime.provider], 1)
            load.add_metric([name], seconds)
        yield from (ready, info, load)
