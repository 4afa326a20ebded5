"""Asks a process' own port whether it is ready: what a container's health check runs, for images without curl.

`python -m runtime.probe 8100` exits 0 when http://127.0.0.1:8100/readyz answers 200, else 1 with what it said. A second
argument names another path.
"""

import http.client
import sys

_SECONDS = 4.0


def ask(port: int, path: str = "/readyz") -> str | None:
    """Return None when 200 came within 4 s, else one sentence."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        said = answer.read(2000).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"port {port} does not answer: {error}"
    finally:
        connection.close()
    return None if answer.status == 200 else f"{path} answered {answer.status}: {said}"


def main() -> int:
    if len(sys.argv) not in (2, 3) or not sys.argv[1].isdecimal():
        sys.stderr.write("usage: python -m runtime.probe PORT [PATH]\n")
        return 2
    trouble = ask(int(sys.argv[1]), *sys.argv[2:])
    if trouble:
        sys.stderr.write(trouble + "\n")
    return 1 if trouble else 0


if __name__ == "__main__":
    sys.exit(main())
