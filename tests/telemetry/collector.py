"""A small receiver of OTLP over HTTP, in the place of a collector.

What is sent is taken apart by `opentelemetry-proto`, made from the definitions that collectors are made from,
too. `test_real_collector.py` puts a real one before it.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What was received.

    Args:
        status: What every request is answered with.
        holds: Whether requests are held until `release` is set.
    """

    def __init__(self, status: int = 200, *, holds: bool = False) -> None:
        self.status = status
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.metrics: set[str] = set()
        self.url = ""
        self.came = threading.Event()
        """Set when a request has come, before it is answered."""
        self.release = threading.Event()
        if not holds:
            self.release.set()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a process here, and those that could lead it elsewhere left out."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url}

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def the(self, name: str) -> Span:
        (found,) = self.named(name)
        return found

    def take(self, path: str, body: bytes) -> bytes:
        """Take a request apart, and return what it is answered."""
        if path == "/v1/traces":
            traces = ExportTraceServiceRequest.FromString(body)
            for resource in traces.resource_spans:
                self.resources.append(values(resource.resource))
                for scope in resource.scope_spans:
                    self.spans.extend(scope.spans)
            return ExportTraceServiceResponse().SerializeToString()
        assert path == "/v1/metrics", path
        for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for one in metrics.scope_metrics:
                self.metrics.update(metric.name for metric in one.metrics)
        return ExportMetricsServiceResponse().SerializeToString()


def values(of: Any) -> dict[str, Any]:
    """Return attributes as a dict."""
    found: dict[str, Any] = {}
    for pair in of.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [one.string_value for one in value.values] if kind == "array_value" else value
    return found


@contextmanager
def collector(status: int = 200, *, holds: bool = False) -> Iterator[Collector]:
    """Run a receiver on a free port."""
    made = Collector(status, holds=holds)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            made.came.set()
            made.release.wait()
            answer = made.take(self.path, body) if made.status == 200 else b""
            try:
                self.send_response(made.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                pass  # whoever has asked has gone meanwhile

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        made.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
