# syntax=docker/dockerfile:1
# One file, four images: `admin` (alert-bridge, manage.py), `gateway` (route-management), `client` (gateway-client alone: two
# packages, no Django) and `sample` (the client with the sample tenant's simulator). Each runs as user 10001 and needs no
# writable root. docs/compose.md and docs/kubernetes.md say how they are run.
FROM python:3.11.13-slim-bookworm AS python
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/venv/bin:$PATH
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin mission
# volumes that are made new take their owner from here
RUN install --directory --owner=mission --group=mission /run/tenant /var/spool/mission
WORKDIR /app

# What is compiled (mysqlclient) is compiled here and never in an image that runs
FROM python AS builder
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev libmariadb-dev pkg-config \
 && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/venv
COPY requirements/ requirements/
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

FROM builder AS build-admin
RUN pip install --require-hashes -r requirements/admin.txt
COPY . .
RUN pip install --no-deps .

FROM builder AS build-gateway
RUN pip install --require-hashes -r requirements/gateway.txt
COPY . .
RUN pip install --no-deps .

FROM builder AS build-client
RUN pip install --require-hashes -r requirements/client.txt
COPY . .
RUN pip install --no-deps .

FROM build-client AS build-sample
RUN pip install --require-hashes -r requirements/sample.txt

# The libraries of MySQL's client, without its compiler
FROM python AS database
RUN apt-get update && apt-get install --yes --no-install-recommends libmariadb3 && rm -rf /var/lib/apt/lists/*

FROM database AS admin
COPY --from=build-admin /opt/venv /opt/venv
COPY manage.py ./
USER 10001:10001
EXPOSE 8000 8100 8101 8102
CMD ["alert-bridge", "web"]

FROM database AS gateway
COPY --from=build-gateway /opt/venv /opt/venv
USER 10001:10001
EXPOSE 8001 8111 9811
CMD ["route-management", "web"]

FROM python AS client
COPY --from=build-client /opt/venv /opt/venv
USER 10001:10001
EXPOSE 9810
CMD ["gateway-client", "serve"]

FROM python AS sample
COPY --from=build-sample /opt/venv /opt/venv
COPY examples/ examples/
USER 10001:10001
CMD ["examples/opendss/story.sh"]
