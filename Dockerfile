# CPU:  docker build --target cpu -t vireid:cpu .
# CUDA: docker build --target cuda -t vireid:cuda .     (run with --gpus all; the host needs only the driver)
#
# docker run --rm -v "$PWD/data:/data" -v "$PWD/runs:/runs" vireid:cpu prepare synthetic
#
# PyTorch's usual Linux wheel contains CUDA. For a small CPU image, name PyTorch's index of CPU wheels:
#   docker build --target cpu --build-arg TORCH_INDEX=<URL> -t vireid:cpu .
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY vireid_cli vireid_cli
COPY recipes recipes
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim AS base
ENV PYTHONUNBUFFERED=1 VIREID_DATA=/data VIREID_RUNS=/runs
RUN useradd --create-home --uid 1000 vireid && install -d -o vireid /data /runs
WORKDIR /home/vireid
ENTRYPOINT ["vireid"]
CMD ["--help"]

FROM base AS cuda
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir "$(ls /wheels/*.whl)[all]" && rm -r /wheels
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER vireid

FROM base AS cpu
ARG TORCH_INDEX=""
RUN if [ -n "$TORCH_INDEX" ]; then pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision; fi
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir "$(ls /wheels/*.whl)[all]" && rm -r /wheels
USER vireid
