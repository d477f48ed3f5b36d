# TORCH_INDEX: where to take torch from. cpu: PyTorch's CPU builds, whose index uv knows; serving needs no other, and on CUDA
# another makes it faster. The address of an index: that one. Empty: the usual index, whose build for Linux brings CUDA along, some 3 GB.
# Targets: cpu (default), cuda and ray. Build: docker build -t yoloscope .  or  docker build --target cuda -t yoloscope:cuda .
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /build
ARG TORCH_INDEX=cpu
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY app app
COPY models models
COPY training training
COPY src src
RUN python3 -m venv /opt/yoloscope \
 && if [ "$TORCH_INDEX" = cpu ]; then \
      /opt/yoloscope/bin/pip install --no-cache-dir --quiet -c constraints.txt --no-deps --no-index torch 2>/dev/null \
      || { python3 -m venv /opt/uv \
        && /opt/uv/bin/pip install --no-cache-dir -c constraints.txt uv \
        && /opt/uv/bin/uv pip install --no-cache --python /opt/yoloscope/bin/python --no-deps --torch-backend cpu \
           -c constraints.txt torch; }; \
    else \
      /opt/yoloscope/bin/pip install --no-cache-dir -c constraints.txt \
        ${TORCH_INDEX:+--no-deps --index-url "$TORCH_INDEX"} torch; \
    fi \
 && /opt/yoloscope/bin/pip install --no-cache-dir -c constraints.txt .

# Without what only CUDA uses, and what only who builds on PyTorch's C++ does: some 480 MB.
FROM build AS build-cpu
RUN cd /opt/yoloscope/lib/python3.*/site-packages \
 && rm -rf onnxruntime/capi/libonnxruntime_providers_cuda.so onnxruntime/capi/libonnxruntime_providers_tensorrt.so \
      torch/include torch/test torch/bin/*[Tt]est* torch/bin/protoc*

FROM build AS build-cuda
RUN /opt/yoloscope/bin/pip install --no-cache-dir -c constraints.txt '.[cuda]'

FROM build AS build-ray
RUN /opt/yoloscope/bin/pip install --no-cache-dir -c constraints.txt '.[ray,postgres]'

FROM ${BASE_IMAGE} AS runtime
ENV PATH=/opt/yoloscope/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 \
    YOLOSCOPE_HOST=0.0.0.0 \
    YOLOSCOPE_PORT=8000 \
    YOLOSCOPE_MODELS_DIR=/models \
    YOLOSCOPE_AUDITS_DIR=/audits
RUN mkdir /models /audits && chown 10001:10001 /models /audits
VOLUME /models /audits
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# The start period covers the first start, which fetches and converts the default model.
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --retries=3 \
  CMD ["python3", "-m", "yoloscope.app.healthcheck"]
ENTRYPOINT ["yoloscope"]
CMD ["serve"]

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=build-cuda /opt/yoloscope /opt/yoloscope

# For app/deploy/rayservice.yaml: KubeRay starts ray itself, from a login shell, and asks by wget how it is.
FROM runtime AS ray
COPY --from=build-ray /opt/yoloscope /opt/yoloscope
USER root
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends wget && rm -rf /var/lib/apt/lists/* \
 && ln -s /opt/yoloscope/bin/ray /opt/yoloscope/bin/yoloscope /usr/local/bin/
USER 10001:10001
HEALTHCHECK NONE
ENTRYPOINT []
CMD ["yoloscope", "serve", "--ray"]

FROM runtime AS cpu
COPY --from=build-cpu /opt/yoloscope /opt/yoloscope
