# One image for all: `--role trading|intel|jobs`, and the Redis that fly/redis.toml runs. docs/image.md
# Pinned by digest: python 3.13.15 and uv 0.13.0, as several public repositories record them. No
# registry answers where this was written, so neither was pulled here. `scripts/image` builds it.
ARG PYTHON_IMAGE=python:3.13-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.0@sha256:cdc6093146eb3ff6a40107b38f008b789e050e77ad87865e381d9917da55a168

FROM ${UV_IMAGE} AS uv

# What we depend on, as uv.lock says: a layer that only a new lock changes.
FROM ${PYTHON_IMAGE} AS dependencies
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/app/.venv
WORKDIR /src
COPY pyproject.toml uv.lock README.md ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --no-install-project \
    && find /app/.venv -depth -type d -name tests -path '*/site-packages/*' -exec rm -r {} + \
    && find /app/.venv -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' \) -delete \
    && find /app/.venv/bin -type f ! -name 'python*' -delete \
    && rm -f /app/.venv/.lock

# Our own code apart, so that a release moves two megabytes and not a hundred.
FROM dependencies AS own
COPY betatrader ./betatrader
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --no-editable \
    && mkdir /own
WORKDIR /app/.venv
RUN cp -a --parents bin/betatrader lib/python*/site-packages/betatrader \
        lib/python*/site-packages/betatrader-*.dist-info /own/

FROM ${PYTHON_IMAGE} AS runtime
# The official base ships its standard library without bytecode, and pip.
RUN library="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && rm -rf "$library"/site-packages/pip* "$library"/ensurepip /usr/local/bin/pip* \
    && python3 -m compileall -q -x '/(site-packages|dist-packages|test|idlelib|turtledemo)/' "$library" \
    && install -d -m 700 -o 10001 -g 10001 /data
COPY --from=dependencies /app/.venv /app/.venv
COPY --chmod=755 scripts/redis-server /app/redis-server
COPY --from=own /own /app/.venv
ARG VERSION=unknown
ARG GIT_REVISION=unknown
ARG CREATED=unknown
ARG PYTHON_IMAGE
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/tmp \
    GIT_REVISION=${GIT_REVISION} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1 \
    MALLOC_ARENA_MAX=2 \
    ORT_INTRA_OP_NUM_THREADS=1 \
    BETATRADER_HOME=/tmp/betatrader \
    BETATRADER_HEALTH__EVERYWHERE=true
LABEL org.opencontainers.image.title="betatrader" \
      org.opencontainers.image.description="An always-on trader for prediction markets and crypto spot" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
WORKDIR /tmp
USER 10001:10001
STOPSIGNAL SIGTERM
EXPOSE 8701 8702 8703 6379
ENTRYPOINT ["betatrader"]
