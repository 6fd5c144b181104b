"""A real MCP server that takes API keys: FastMCP with its own token verifier, configured and nothing more, behind an
ASGI front that retires keys.

Environment: PORT (0: the system chooses), KEYS (comma-separated), EXIT_WITH_STDIN=1.
The ready line on stdout is one JSON object: {"ready":true,"issuer":…,"port":…,"mcp":…}.

GET /__ctl/retire?n=  ends the n-th key, counted from 0
GET /__ctl/issued     every key: [{kind, value}]
"""

import json
import os
import socket
import sys
import threading
import urllib.parse

import uvicorn
from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier

HOST = "127.0.0.1"


def main():
    keys = os.environ["KEYS"].split(",")
    verifier = StaticTokenVerifier({key: {"client_id": "alice", "scopes": []} for key in keys})
    server = FastMCP("keys", auth=verifier)
    server.tool(lambda text: text, name="echo")
    listener = socket.create_server((HOST, int(os.environ.get("PORT", "0"))))
    base = f"http://{HOST}:{listener.getsockname()[1]}"
    front = Front(server.http_app(), verifier, keys)
    running = Ready(uvicorn.Config(front, log_level="warning", timeout_graceful_shutdown=1))
    running.line = {"ready": True, "issuer": base, "port": listener.getsockname()[1], "mcp": f"{base}/mcp"}
    if os.environ.get("EXIT_WITH_STDIN") == "1":
        threading.Thread(target=exit_with_stdin, daemon=True).start()
    running.run(sockets=[listener])


class Ready(uvicorn.Server):
    line = None

    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(json.dumps(self.line), flush=True)


def exit_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


class Front:
    """Everything but /__ctl is the server's own."""

    def __init__(self, app, verifier, keys):
        self.app, self.verifier, self.keys = app, verifier, keys

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or not scope["path"].startswith("/__ctl/"):
            return await self.app(scope, receive, send)
        query = urllib.parse.parse_qs(scope["query_string"].decode())
        if scope["path"] == "/__ctl/retire":
            self.verifier.tokens.pop(self.keys[int(query["n"][0])], None)
        body = json.dumps([{"kind": "api_key", "value": key} for key in self.keys]).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    main()
