# syntax=docker/dockerfile:1
# The one-machine host as a container. It is the image of a worker with another command:
#   docker build --file worker_runtime/Dockerfile --tag levante-worker .
#   docker build --file infra/host.Dockerfile --tag levante-host .
ARG WORKER_IMAGE=levante-worker
FROM ${WORKER_IMAGE}
USER 0:0
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
USER 10001:10001
# One container at a time may have the volume, and it must be a local disk: SQLite's locks do not work on NFS.
VOLUME /data
EXPOSE 8700
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8700/v1/health', timeout=4)"]
ENTRYPOINT ["levante", "dev", "--data", "/data", "--host", "0.0.0.0"]
CMD ["--log-level", "info"]
