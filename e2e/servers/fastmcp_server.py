"""A real OAuth-protected MCP server for the tests: FastMCP with its own in-memory authorization
server, configured and nothing more, behind an ASGI front that counts and records.

Strict in its own way: an access token shown after its end takes the refresh token with it, and a
refresh kills the old access token at once. Lifetimes are cut to whole seconds: a token said to
live 5 s lives between 4 and 5.

Environment: PORT (0: the system chooses), BASE (its URL, if it is behind a front), AT_TTL, RT_TTL (seconds), REQUIRED (the scopes that every
call needs, parted by commas; read), TRANSPORT (sse: the HTTP+SSE transport of 2024-11-05, under /sse), EXIT_WITH_STDIN=1.
The ready line on stdout is one JSON object: {"ready":true,"issuer":…,"port":…,"mcp":…}.

GET /__ctl/…, answers in JSON:
  stats          token requests by grant type: received, in_flight, completed; outcomes ("refresh_token
                 200"); requests; tool_calls
  issued         every secret so far: [{kind, value}]
  presented      every access token shown to /mcp: [{at, token, state, refused}], state being valid,
                 expired, replaced (by a refresh, or revoked) or unknown
  revoke         drops all tokens
  early401?n=    the next n valid tokens get the server's own 401
  drop-sessions  forgets all MCP sessions
  set?at=&rt=    lifetimes of what is issued from now on
"""

import asyncio
import collections
import json
import logging
import os
import socket
import sys
import threading
import time
import urllib.parse

import fastmcp.server.auth.providers.in_memory as in_memory
import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth.auth import ClientRegistrationOptions, RevocationOptions

HOST = "127.0.0.1"
SECRET_FIELDS = (
    "access_token",
    "refresh_token",
    "client_secret",
    "registration_access_token",
)


def main():
    in_memory.DEFAULT_ACCESS_TOKEN_EXPIRY_SECONDS = int(os.environ.get("AT_TTL", "5"))
    in_memory.DEFAULT_REFRESH_TOKEN_EXPIRY_SECONDS = int(os.environ.get("RT_TTL", "3600"))
    # The base URL must name the port, so the socket comes first and the server second.
    listener = socket.create_server((HOST, int(os.environ.get("PORT", "0"))))
    port = listener.getsockname()[1]
    base = os.environ.get("BASE") or f"http://{HOST}:{port}"
    ledger = Ledger()
    provider = make_provider(base, ledger)
    transport = os.environ.get("TRANSPORT", "http")
    app = Front(make_server(provider, ledger).http_app(transport=transport), provider, ledger)
    server = ReadyServer(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    # The issuer exactly as the metadata spells it.
    server.ready = {
        "ready": True,
        "issuer": str(provider.issuer_url),
        "port": port,
        "mcp": f"{base}/sse" if transport == "sse" else f"{base}/mcp",
    }
    if os.environ.get("EXIT_WITH_STDIN") == "1":
        threading.Thread(target=exit_with_stdin, daemon=True).start()
    server.run(sockets=[listener])


class ReadyServer(uvicorn.Server):
    ready = None

    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(json.dumps(self.ready), flush=True)


def exit_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


def make_server(provider, ledger):
    server = FastMCP("test ground", auth=provider)

    @server.tool
    def echo(x: str) -> str:
        """Answers with what it was given."""
        ledger.tool_calls["echo"] += 1
        return x

    @server.tool
    def add(a: int, b: int) -> int:
        """The sum of two numbers."""
        ledger.tool_calls["add"] += 1
        return a + b

    @server.tool
    async def slow(seconds: float) -> str:
        """Answers after that many seconds."""
        ledger.tool_calls["slow"] += 1
        await asyncio.sleep(seconds)
        return f"slept {seconds} s"

    return server


def make_provider(base, ledger):
    return WatchedProvider(
        ledger,
        base_url=base,
        client_registration_options=ClientRegistrationOptions(
            enabled=True, valid_scopes=["read", "write"], default_scopes=["read"]
        ),
        revocation_options=RevocationOptions(enabled=True),
        required_scopes=os.environ.get("REQUIRED", "read").split(","),
    )


class Ledger:
    """What the tests ask about."""

    def __init__(self):
        self.received = collections.Counter()
        self.completed = collections.Counter()
        self.outcomes = collections.Counter()
        self.requests = collections.Counter()
        self.tool_calls = collections.Counter()
        self.issued = {}
        self.expiry = {}
        self.presented = []
        self.refuse_next = 0

    def remember(self, kind, value):
        if value:
            self.issued[value] = {"kind": kind, "value": value}

    def stats(self):
        in_flight = self.received - self.completed
        return {
            "received": self.received,
            "in_flight": in_flight,
            "completed": self.completed,
            "outcomes": self.outcomes,
            "requests": self.requests,
            "tool_calls": self.tool_calls,
        }


class WatchedProvider(in_memory.InMemoryOAuthProvider):
    """The provider as it is, writing down every access token shown to the MCP endpoint."""

    def __init__(self, ledger, **settings):
        super().__init__(**settings)
        self.ledger = ledger

    async def verify_token(self, token):
        now = time.time()
        state = self.state_of(token, now)
        refused = state != "valid" or self.refuse_this_one()
        self.ledger.presented.append(
            {"at": now, "token": token, "state": state, "refused": refused}
        )
        # The provider sees it even so: what it does to an expired token is its own affair.
        answer = await super().verify_token(token)
        return None if refused else answer

    def state_of(self, token, now):
        """The provider's own comparison (`expires_at < time.time()`), made before it acts."""
        expires_at = self.ledger.expiry.get(token)
        if expires_at is None:
            return "unknown"
        if expires_at < now:
            return "expired"
        return "valid" if token in self.access_tokens else "replaced"

    def refuse_this_one(self):
        if self.ledger.refuse_next <= 0:
            return False
        self.ledger.refuse_next -= 1
        return True

    def note_expiry(self, token):
        if token in self.access_tokens:
            self.ledger.expiry[token] = self.access_tokens[token].expires_at

    def drop_all_tokens(self):
        """What an administrator's "sign everybody out" does."""
        dropped = len(self.refresh_tokens)
        for table in (
            self.access_tokens,
            self.refresh_tokens,
            self._access_to_refresh_map,
            self._refresh_to_access_map,
        ):
            table.clear()
        return dropped


class Front:
    """Hands every request on unchanged; counts, records, and answers /__ctl itself."""

    def __init__(self, app, provider, ledger):
        self.app, self.provider, self.ledger = app, provider, ledger

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"]
        if path.startswith("/__ctl/"):
            return await self.control(path.removeprefix("/__ctl/"), query_of(scope), send)
        self.ledger.requests[f"{scope['method']} {path}"] += 1
        if path in ("/token", "/register", "/authorize") and scope["method"] != "OPTIONS":
            return await self.watched(scope, receive, send)
        return await self.app(scope, receive, send)

    async def watched(self, scope, receive, send):
        """The endpoints that hand out secrets: both directions are read in passing."""
        body = await read_all(receive)
        form = urllib.parse.parse_qs(body.decode("utf-8", "replace"))
        grant = form.get("grant_type", ["none"])[0] if scope["path"] == "/token" else None
        self.note_request(scope, form, grant)
        answer = Answer(send)
        try:
            await self.app(scope, replay(body, receive), answer.send)
        finally:
            self.note_answer(answer, grant)

    def note_request(self, scope, form, grant):
        if grant:
            self.ledger.received[grant] += 1
        self.ledger.remember("code_verifier", form.get("code_verifier", [None])[0])
        self.ledger.remember("state", query_of(scope).get("state"))

    def note_answer(self, answer, grant):
        if grant:
            self.ledger.completed[grant] += 1
            self.ledger.outcomes[f"{grant} {answer.status}"] += 1
        location = urllib.parse.urlsplit(answer.header(b"location"))
        self.ledger.remember("code", dict(urllib.parse.parse_qsl(location.query)).get("code"))
        fields = answer.json()
        for field in SECRET_FIELDS:
            self.ledger.remember(field, fields.get(field))
        self.provider.note_expiry(fields.get("access_token"))

    async def control(self, operation, query, send):
        ledger, status, answer = self.ledger, 200, {"ok": True}
        if operation == "stats":
            answer = ledger.stats()
        elif operation == "presented":
            answer = ledger.presented
        elif operation == "issued":
            answer = list(ledger.issued.values())
        elif operation == "revoke":
            answer = {"revoked": self.provider.drop_all_tokens()}
        elif operation == "drop-sessions":
            answer = {"dropped": drop_sessions(self.app)}
        elif operation == "early401":
            ledger.refuse_next = int(query.get("n", "1"))
        elif operation == "set":
            answer = set_lifetimes(query)
        else:
            status, answer = 404, {"error": "no such operation"}
        await send_json(send, status, answer)


def set_lifetimes(query):
    if "at" in query:
        in_memory.DEFAULT_ACCESS_TOKEN_EXPIRY_SECONDS = int(query["at"])
    if "rt" in query:
        in_memory.DEFAULT_REFRESH_TOKEN_EXPIRY_SECONDS = int(query["rt"])
    return {
        "at": in_memory.DEFAULT_ACCESS_TOKEN_EXPIRY_SECONDS,
        "rt": in_memory.DEFAULT_REFRESH_TOKEN_EXPIRY_SECONDS,
    }


def drop_sessions(app):
    """Forgets every MCP session, as a restarted server has: their next request gets its 404."""
    for route in app.routes:
        endpoint = getattr(route, "endpoint", None)
        while endpoint is not None and not hasattr(endpoint, "session_manager"):
            endpoint = getattr(endpoint, "app", None)
        if endpoint is not None:
            sessions = endpoint.session_manager._server_instances
            dropped = len(sessions)
            sessions.clear()
            return dropped
    raise LookupError("no MCP endpoint among the routes")


class Answer:
    """Passes an answer on as it comes and keeps a copy."""

    def __init__(self, send):
        self.pass_on, self.status, self.headers, self.body = send, None, [], b""

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
        await self.pass_on(message)

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name), b"").decode()

    def json(self):
        if not self.header(b"content-type").startswith("application/json"):
            return {}
        fields = json.loads(self.body or b"{}")
        return fields if isinstance(fields, dict) else {}


def query_of(scope):
    return dict(urllib.parse.parse_qsl(scope["query_string"].decode()))


async def read_all(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def replay(body, receive):
    """An ASGI `receive` that gives the body once, then what comes after it (the disconnect)."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message():
        return first.pop() if first else await receive()

    return next_message


async def send_json(send, status, value):
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main()
