"""The requests to the API server: GET of pods, watches, usage, as raw bytes. Called by `watch.py` and `usage.py`.

The kubernetes client does what it does well: configuration, TLS, authentication and the GET. Its models cost 312 us a pod
(ours 8), one odd pod fails its whole list, and its watch hangs on a half-open connection for ever and never lists again.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from exporters.route_management.pods import decoding
from runtime.settings import SettingsError

Configure = Callable[[], client.Configuration]


class ApiError(Exception):
    """The API server did not give what was asked for: `Refused` or `Unreachable`."""


class Refused(ApiError):
    """It answered with an error."""

    def __init__(self, code: int, reason: str = "", message: str = "", retry_after: float = 0.0) -> None:
        super().__init__(f"{code} {reason}: {message}"[:500])
        self.code, self.reason, self.message, self.retry_after = code, reason, message, retry_after

    @property
    def expired(self) -> bool:
        """Is what was asked for too old (or, of a server that lags behind, too new): list again from the start?"""
        return self.code == 410 or self.reason in ("Expired", "Gone") or "Too large resource version" in self.message


class Unreachable(ApiError):
    """It could not be reached, or said nothing for too long."""

    def __init__(self, message: str, silent: bool = False) -> None:
        super().__init__(message[:500])
        self.silent = silent


def configuration(kubeconfig: Path | None) -> Configure:
    """Return how to reach the API server: by this file, else as a pod of the cluster. SettingsError when there is no way."""

    def configure() -> client.Configuration:
        made = client.Configuration()
        if kubeconfig is not None:
            config.load_kube_config(config_file=str(kubeconfig), client_configuration=made)
        else:
            config.load_incluster_config(client_configuration=made)
        made.retries = False  # urllib3 would try three times by itself, without a pause
        # a peer that vanished is noticed by the kernel too
        made.socket_options = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        ]
        return made

    try:
        configure()
    except (config.ConfigException, OSError) as error:
        where = f"--kubeconfig {kubeconfig}" if kubeconfig else "in no pod of a cluster, and no --kubeconfig is given"
        raise SettingsError(f"the API server can't be found: {where}: {error}") from error
    return configure


class Stream:
    """The lines of one watch, as they come."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        """Yield whole lines; what is left of a line when the stream ends is no event. Raises Unreachable."""
        rest = b""
        try:
            for chunk in self._response.stream(65_536):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line for line in lines if line.strip())
        except urllib3.exceptions.ReadTimeoutError as error:
            raise Unreachable("the watch went silent", silent=True) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"the watch broke off: {error.__class__.__name__}") from error

    def close(self) -> None:
        # a response that was not read to its end can't be used again
        with suppress(urllib3.exceptions.HTTPError, OSError):
            self._response.close()


class ApiServer:
    """One thread's way to the API server. `connect` and `read` are seconds until a connection or a silence counts as failed."""

    def __init__(self, configure: Configure, connect: float = 5.0, read: float = 120.0) -> None:
        self._configure, self._timeouts = configure, (connect, read)
        self._client = client.ApiClient(configure())

    def renew(self) -> None:
        """Read the configuration and its token again: what was valid is refused now."""
        with suppress(config.ConfigException, OSError):  # the old one is refused again, and the next try reads again
            fresh = client.ApiClient(self._configure())
            self._client, old = fresh, self._client
            old.close()

    def list_pods(self, namespace: str | None, limit: int | None, continue_: str) -> bytes:
        """Return one page of a list. Raises ApiError."""
        asked: dict[str, Any] = {}
        if limit:
            asked["limit"] = limit
        if continue_:
            asked["_continue"] = continue_
        return self._read(lambda: self._pods(namespace, **asked))

    def watch_pods(self, namespace: str | None, version: str, seconds: int) -> Stream:
        """Begin a watch. Raises ApiError."""
        return Stream(
            self._ask(
                lambda: self._pods(
                    namespace,
                    watch=True,
                    resource_version=version,
                    allow_watch_bookmarks=True,
                    timeout_seconds=seconds,
                )
            )
        )

    def pod_metrics(self, namespace: str | None, continue_: str) -> bytes:
        """Return one page of the pods' usage out of metrics.k8s.io. Raises ApiError."""
        api = client.CustomObjectsApi(self._client)
        asked: dict[str, Any] = {"_preload_content": False, "_request_timeout": self._timeouts}
        if continue_:
            asked["_continue"] = continue_
        if namespace is None:
            return self._read(lambda: api.list_cluster_custom_object("metrics.k8s.io", "v1beta1", "pods", **asked))
        return self._read(
            lambda: api.list_namespaced_custom_object("metrics.k8s.io", "v1beta1", namespace, "pods", **asked)
        )

    def _pods(self, namespace: str | None, **asked: Any) -> Any:
        api = client.CoreV1Api(self._client)
        asked |= {"_preload_content": False, "_request_timeout": self._timeouts}
        if namespace is None:
            return api.list_pod_for_all_namespaces(**asked)
        return api.list_namespaced_pod(namespace, **asked)

    def _read(self, request: Callable[[], Any]) -> bytes:
        response = self._ask(request)
        try:
            return bytes(response.data)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise Unreachable("the API server went silent", silent=True) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"the answer broke off: {error.__class__.__name__}") from error
        finally:
            response.release_conn()

    def _ask(self, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except ApiException as error:
            if not error.status:  # the client's word for a failed TLS handshake
                raise Unreachable(f"no TLS connection: {str(error.reason).splitlines()[0]}") from error
            raise _refused(error) from error
        except urllib3.exceptions.ReadTimeoutError as error:
            raise Unreachable("the API server does not answer", silent=True) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"no connection: {error.__class__.__name__}") from error


def _refused(error: ApiException) -> Refused:
    said = decoding.status(error.body)
    wait = (error.headers or {}).get("Retry-After", "")
    seconds = float(wait) if wait.isdecimal() else 0.0
    return Refused(int(error.status), said.reason or str(error.reason or ""), said.message, seconds)
