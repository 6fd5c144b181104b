"""A recording reverse proxy before an authorization server that can't be instrumented itself.

The server listens on a Unix socket in a folder that goes with this process; the front listens on the
loopback, and its URL is the issuer. Requests and answers pass byte for byte, except that each answer
ends its connection. A subclass of `Server` says how its software is started and administered.

Environment: PORT (0: the system chooses), EXIT_WITH_STDIN=1.
The ready line on stdout is one JSON object: {"ready":true,"issuer":…,"port":…}, and what the server adds.

GET /__ctl/…, answers in JSON:
  stats     token requests by grant type: received, in_flight, completed; outcomes ("refresh_token
            200"); requests; held
  answers   every answer of the token endpoint: [{grant, status, headers, body}], without tokens: only
            refusals have a body
  issued    every secret so far: [{kind, value}]
  hold      refreshes wait before the server sees them
  release   they go on
  and the server's own: its methods `do_…`
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
SECRET_FIELDS = (
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "registration_access_token",
    "device_code",
)
FORM_SECRETS = ("code_verifier", "client_secret")
READY_WITHIN = 50


class Server:
    """The software behind the front. `folder` is its own, `base` the front's URL."""

    token_path = "/token"
    metadata_path = "/.well-known/openid-configuration"

    def __init__(self, folder, base):
        self.folder, self.base = folder, base
        self.socket = os.path.join(folder, "socket")

    def command(self):
        """The arguments and the environment of its process."""
        raise NotImplementedError

    def ready(self):
        """What the ready line says beside the issuer and the port."""
        return {}

    def secrets(self):
        """Secrets that it has from the beginning: [(kind, value)]."""
        return []


def serve(make_server):
    with tempfile.TemporaryDirectory() as folder:
        front = Front((HOST, int(os.environ.get("PORT", "0"))), Handler)
        base = f"http://{HOST}:{front.server_port}"
        front.behind = server = make_server(folder, base)
        for kind, value in server.secrets():
            front.ledger.remember(kind, value)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        arguments, environment = server.command()
        # Its standard output is not ours to speak on: the ready line is.
        child = subprocess.Popen(arguments, env=environment, cwd=folder, stdout=sys.stderr)
        try:
            await_ready(server, child)
            if os.environ.get("EXIT_WITH_STDIN") == "1":
                threading.Thread(target=stop_with_stdin, args=(front,), daemon=True).start()
            ready = {"ready": True, "issuer": base, "port": front.server_port}
            print(json.dumps(ready | server.ready()), flush=True)
            front.serve_forever()
        finally:
            stop(child)


def await_ready(server, child):
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline:
        if child.poll() is not None:
            sys.exit(f"front: the server ended with {child.returncode} before it was ready")
        try:
            if ask(server, "GET", server.metadata_path, {}, b"").status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.05)
    stop(child)
    sys.exit("front: the server did not get ready")


def stop_with_stdin(front):
    sys.stdin.buffer.read()
    front.shutdown()


def stop(child):
    child.terminate()
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__(HOST, timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, response):
        self.status, self.reason = response.status, response.reason
        self.headers, self.body = response.getheaders(), response.read()

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), "")


def ask(server, method, path, headers, body):
    connection = UnixConnection(server.socket)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        names = {name.lower() for name, _ in headers.items()}
        for name, value in headers.items():
            if name.lower() != "connection":
                connection.putheader(name, value)
        if "host" not in names:
            connection.putheader("Host", urllib.parse.urlsplit(server.base).netloc)
        connection.putheader("Connection", "close")
        try:
            connection.endheaders(body)
        except BrokenPipeError:
            pass  # it has answered without a look at the body
        return Answer(connection.getresponse())
    finally:
        connection.close()


class Ledger:
    """What the tests ask about. Requests run on threads of their own: one lock for all of it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.received, self.completed = Counter(), Counter()
        self.outcomes, self.requests = Counter(), Counter()
        self.issued, self.answers = {}, []
        self.held, self.gate = 0, threading.Event()
        self.gate.set()

    def remember(self, kind, value):
        if isinstance(value, str) and value:
            self.issued[value] = {"kind": kind, "value": value}

    def note_request(self, method, path, query, form, grant):
        with self.lock:
            self.requests[f"{method} {path}"] += 1
            self.received.update([grant] if grant else [])
            self.remember("state", query.get("state"))
            for field in FORM_SECRETS:
                self.remember(field, form.get(field))

    def wait_at_gate(self):
        if self.gate.is_set():
            return
        with self.lock:
            self.held += 1
        self.gate.wait()
        with self.lock:
            self.held -= 1

    def note_answer(self, grant, answer):
        location = urllib.parse.urlsplit(answer.header("location"))
        fields = fields_of(answer)
        with self.lock:
            self.remember("code", dict(urllib.parse.parse_qsl(location.query)).get("code"))
            for field in SECRET_FIELDS:
                self.remember(field, fields.get(field))
            if grant:
                self.note_token_answer(grant, answer)

    def note_token_answer(self, grant, answer):
        self.completed[grant] += 1
        self.outcomes[f"{grant} {answer.status}"] += 1
        body = answer.body.decode("utf-8", "replace") if answer.status >= 400 else None
        kept = {"grant": grant, "status": answer.status, "headers": answer.headers, "body": body}
        self.answers.append(kept)

    def stats(self):
        return {
            "received": self.received,
            "in_flight": self.received - self.completed,
            "completed": self.completed,
            "outcomes": self.outcomes,
            "requests": self.requests,
            "held": self.held,
        }


def fields_of(answer):
    try:
        fields = json.loads(answer.body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


class Front(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ledger, self.behind = Ledger(), None

    def control(self, operation, query):
        name = "do_" + operation.replace("-", "_")
        method = getattr(self, name, None) or getattr(self.behind, name, None)
        if method is None:
            return None
        with self.ledger.lock:
            result = method(query)
        return {"ok": True} if result is None else result

    def do_stats(self, _):
        return self.ledger.stats()

    def do_answers(self, _):
        return self.ledger.answers

    def do_issued(self, _):
        return list(self.ledger.issued.values())

    def do_hold(self, _):
        self.ledger.gate.clear()

    def do_release(self, _):
        self.ledger.gate.set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(query))
        if path.startswith("/__ctl/"):
            self.control(path.removeprefix("/__ctl/"), query)
        else:
            self.hand_on(path, query)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def control(self, operation, query):
        result = self.server.control(operation, query)
        body = json.dumps({"error": "no such operation"} if result is None else result).encode()
        self.begin(404 if result is None else 200, None)
        self.finish_with([("Content-Type", "application/json"), ("Content-Length", len(body))], body)

    def hand_on(self, path, query):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
        server, ledger = self.server.behind, self.server.ledger
        grant = form.get("grant_type", "none") if path == server.token_path else None
        ledger.note_request(self.command, path, query, form, grant)
        if grant == "refresh_token":
            ledger.wait_at_gate()
        try:
            answer = ask(server, self.command, self.path, self.headers, body)
        except (OSError, http.client.HTTPException) as error:
            self.log_error("%s %s: %s", self.command, path, error)
            self.close_connection = True  # nobody waits for an answer that does not come
            return
        ledger.note_answer(grant, answer)
        self.begin(answer.status, answer.reason)
        self.finish_with(own_headers(answer), answer.body)

    def begin(self, status, reason):
        self.send_response_only(status, reason)
        self.close_connection = True

    def finish_with(self, headers, body):
        for name, value in headers:
            self.send_header(name, str(value))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass

    def log_error(self, format, *arguments):
        print("front: " + format % arguments, file=sys.stderr, flush=True)


def own_headers(answer):
    """Without what belongs to the connection to the server; a body in chunks has got its length."""
    hop = ("connection", "keep-alive", "transfer-encoding")
    headers = [(name, value) for name, value in answer.headers if name.lower() not in hop]
    if not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("Content-Length", len(answer.body)))
    return headers
