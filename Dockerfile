# syntax=docker/dockerfile:1
# The sidecar needs no OPA program: the policy inside the bundle is compiled, and evaluated in process.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY authz authz
COPY bundles bundles
COPY policies policies
RUN python -m venv /opt/authz && /opt/authz/bin/pip install --no-cache-dir .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/authz --create-home authz
COPY --from=build /opt/authz /opt/authz
USER authz
WORKDIR /var/lib/authz
ENV PATH=/opt/authz/bin:$PATH AUTHZ_STATE=/var/lib/authz/state PYTHONDONTWRITEBYTECODE=1
VOLUME /var/lib/authz
EXPOSE 8080 8081
HEALTHCHECK --interval=5s --timeout=2s --start-period=5s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8081/healthz', timeout=1)"]
ENTRYPOINT ["authz"]
CMD ["serve", "--config", "/etc/authz/authz.toml"]
