"""Settings of the service and the commands: environment variables ``YOLOSCOPE_...`` and their defaults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from yoloscope.app.service_links import drop_service_links
from yoloscope.app.supervisor import HANG_TIMEOUT_S
from yoloscope.models.cpu import available_cpus
from yoloscope.models.errors import ConfigError
from yoloscope.models.images import ImageLimits

AUDITS_FILE = "audits.sqlite"
MEBIBYTE = 1024 * 1024
PIXEL_CEILING = 89_478_485
"""Pillow's own bound (``Image.MAX_IMAGE_PIXELS``), beyond which it refuses an image whatever the settings say."""


def _default_models_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "yoloscope" / "models"


def _default_audits_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "yoloscope" / "audits"


def _in_lower_case(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


LogLevel: TypeAlias = Literal["critical", "error", "warning", "info", "debug"]
_ORIGIN: Final = r"(\*|null|[a-z][a-z0-9+.-]*://[^/\s,A-Z]+)"
_ALIKE: Final = 0.85
"""Similarity from which a name is another one misspelled; what Kubernetes sets for services is below."""
_WORDS: Final = {
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "bool_parsing": "true or false",
}


class Settings(BaseSettings):
    """Settings of an operator; each field is the variable ``YOLOSCOPE_<FIELD>``, explained in docs/service.md."""

    model_config = SettingsConfigDict(env_prefix="YOLOSCOPE_", frozen=True, extra="forbid", allow_inf_nan=False)

    models_dir: Path = Field(default_factory=_default_models_dir)
    weights: Path | None = None
    model: str | None = Field(default=None, min_length=1, description="the name or path of a model")
    provider: Literal["auto", "cuda", "cpu"] = "auto"
    threads: int = Field(default_factory=available_cpus, ge=1, le=1024)
    precision: Literal["auto", "fp32", "int8", "bf16"] = "fp32"
    max_ap_drop: float = Field(default=0.005, ge=0, le=1)
    calibration_data: Path | None = None

    host: str = Field(default="127.0.0.1", min_length=1, description="an address (0.0.0.0: all)")
    port: int = Field(default=8000, ge=0, le=65535)
    root_path: str = Field(
        default="", pattern=r"^(/[^?#\s]*[^?#\s/])?$", description="a path as /yolo, without a slash at its end"
    )
    cors_origins: str = Field(
        default="",
        pattern=rf"^\s*({_ORIGIN}(\s*,\s*{_ORIGIN})*\s*,?)?\s*$",
        description="origins as https://example.com (lower case, no slash at the end), separated by commas, or *",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_in_lower_case)] = "info"

    api_keys: str = Field(
        default="",
        pattern=r"^([0-9a-fA-F]{64}(\s*,\s*[0-9a-fA-F]{64})*)?$",
        description="the SHA-256 of each key, 64 hexadecimal digits, separated by commas",
        repr=False,
    )
    max_requests_per_key: int = Field(default=0, ge=0)
    model_control: Literal["none", "explicit"] = "none"
    label_studio_url: str = Field(
        default="", pattern=r"^(https?://[^\s?#]+)?$", description="an address as http://127.0.0.1:8080"
    )
    label_studio_token: str = Field(default="", repr=False)

    max_bytes: int = Field(default=16 * MEBIBYTE, ge=1)
    max_pixels: int = Field(default=40_000_000, ge=1, le=PIXEL_CEILING)
    max_side: int = Field(default=16_384, ge=1, le=65_535)
    max_decode_s: float = Field(default=0.8, gt=0)
    max_images: int = Field(default=32, ge=1, le=1024)
    max_body_bytes: int = Field(default=64 * MEBIBYTE, ge=1)
    max_bytes_at_once: int = Field(default=512 * MEBIBYTE, ge=1)
    max_batch: int = Field(default=8, ge=1, le=256)
    queue_limit: int = Field(default=64, ge=1)
    max_connections: int = Field(default=512, ge=1)
    max_answer_bytes: int = Field(default=64 * MEBIBYTE, ge=1)
    max_kept_images: int = Field(default=256, ge=0)
    max_kept_bytes: int = Field(default=64 * MEBIBYTE, ge=0)
    keep_s: float = Field(default=600.0, gt=0)

    database_url: str = Field(default="", repr=False)
    audits_dir: Path = Field(default_factory=_default_audits_dir)
    max_audit_bytes: int = Field(default=2048 * MEBIBYTE, ge=1)
    max_audit_unpacked_bytes: int = Field(default=8192 * MEBIBYTE, ge=1)
    max_audit_files: int = Field(default=200_000, ge=1)
    max_open_audits: int = Field(default=16, ge=1)
    audit_upload_timeout_s: float = Field(default=3600.0, gt=0)
    audit_lease_s: float = Field(default=15.0, ge=1)
    audit_threads: int = Field(default=1, ge=1, le=1024)

    ray_min_replicas: int = Field(default=1, ge=1)
    ray_max_replicas: int = Field(default=4, ge=1)
    ray_gpus: float = Field(default=0.0, ge=0)

    body_timeout_s: float = Field(default=15.0, gt=0)
    queue_timeout_s: float = Field(default=60.0, gt=0)
    upload_timeout_s: float = Field(default=300.0, gt=0)
    write_timeout_s: float = Field(default=30.0, gt=0)
    keep_alive_s: int = Field(default=5, ge=0)
    drain_s: float = Field(default=0.0, ge=0, le=86_400)
    shutdown_grace_s: int = Field(default=25, ge=0)
    supervise: bool = True
    hang_timeout_s: float = Field(default=HANG_TIMEOUT_S, ge=0)

    @property
    def cors_origin_list(self) -> list[str]:
        """The origins whose pages may call the service, ``*`` for all."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    @property
    def api_key_digests(self) -> tuple[str, ...]:
        """The SHA-256 of each API key, in hexadecimal."""
        return tuple(digest.strip() for digest in self.api_keys.split(",") if digest.strip())

    @property
    def image_limits(self) -> ImageLimits:
        """The limits on one image."""
        return ImageLimits(self.max_bytes, self.max_pixels, self.max_side, self.max_decode_s)

    @property
    def audits_url(self) -> str:
        """The database of audits: the one that is named, else a file of SQLite in the folder of audits."""
        return self.database_url or f"sqlite:///{self.audits_dir / AUDITS_FILE}"


@cache
def _environment_names() -> dict[str, str]:
    return {name: f"YOLOSCOPE_{name.upper()}" for name in Settings.model_fields}


def misspelled(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each variable of an environment that is nearly the name of a setting, and that name where it is not set."""
    known = _environment_names().values()
    for name in sorted(environment):
        if name.startswith("YOLOSCOPE_") and name not in known:
            meant = get_close_matches(name, known, 1, _ALIKE)
            if meant and meant[0] not in environment:
                yield name, meant[0]


def load_settings(**overrides: object) -> Settings:
    """Return the settings of the environment, with the given ones (those not None) on top.

    Raises ConfigError naming the variable, what was expected and, unless it is a secret, what came.
    """
    drop_service_links(os.environ)
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "settings"
        name = field if field in given else _environment_names().get(field, field)
        raise ConfigError(f"{name}: expected {_expected(field, first)}, got {_shown(field, first)}") from error


def _expected(field: str, error: ErrorDetails) -> str:
    """Return in words what a setting takes: its description where that is more than pydantic's words."""
    described = Settings.model_fields[field].description if field in Settings.model_fields else None
    if described and error["type"].startswith("string_"):
        return described
    words = _WORDS.get(error["type"], error["msg"].removeprefix("Input should be "))
    return f"a number {words}" if words.startswith(("greater", "less")) else words


def _shown(field: str, error: ErrorDetails) -> str:
    """Return what came for a setting; of a secret only that it was another value."""
    known = Settings.model_fields.get(field)
    return repr(error.get("input")) if known is None or known.repr else "another value"
