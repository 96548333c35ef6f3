"""HTTP without a proxy: whatever goes wrong on the way is an `OSError`."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from serving.cluster.direct_http import opened
from serving.cluster.ports import free_port

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"


@contextmanager
def answering(content: bytes) -> Iterator[str]:
    """A server that answers one connection with `content` and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(content)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_an_answer_is_read_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with answering(HEAD + b"4321") as url, opened(url, timeout_s=5) as answer:
        assert answer.read() == b"4321"


@pytest.mark.parametrize(
    "content", [b"", b"SSH-2.0\r\n\r\n", HEAD + b"43"], ids=["closed", "not HTTP", "cut in the body"]
)
def test_what_is_no_answer_is_an_oserror(content: bytes) -> None:
    with answering(content) as url, pytest.raises(OSError), opened(url, timeout_s=5) as answer:  # noqa: PT011
        answer.read()


def test_nothing_listens() -> None:
    with pytest.raises(OSError, match="refused"), opened(f"http://127.0.0.1:{free_port()}", timeout_s=5):
        pass
