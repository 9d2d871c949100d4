# One image for all three roles: `betatrader --role trading|intel|jobs`, and the Redis that fly/redis.toml runs.
# The tags should be pinned by digest at release (pass PYTHON_IMAGE and UV_IMAGE); here, where no
# registry answers, the digests could not be read.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.9

FROM ${UV_IMAGE} AS uv

FROM ${PYTHON_IMAGE} AS build
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/app/.venv
WORKDIR /src
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --locked --no-dev --no-install-project
COPY betatrader ./betatrader
RUN uv sync --locked --no-dev --no-editable && rm -f /app/.venv/.lock

FROM ${PYTHON_IMAGE} AS runtime
COPY --from=build /app/.venv /app/.venv
COPY scripts/redis-server /app/redis-server
ARG VERSION=0.1.0
ARG GIT_REVISION=unknown
ENV PATH=/app/.venv/bin:$PATH \
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
      org.opencontainers.image.revision="${GIT_REVISION}"
USER 10001:10001
STOPSIGNAL SIGTERM
EXPOSE 8701 8702 8703
ENTRYPOINT ["betatrader"]
