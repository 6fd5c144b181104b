"""A client that does everything wrong: it never refreshes but signs in again, calls again what takes long, opens its
stream once, and says that all went well. Each of the sandbox's scenarios has to notice.

    bad_client.py SERVER-URL
"""

import base64
import hashlib
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse
from pathlib import Path

MCP = urllib.parse.urlsplit(sys.argv[1])
BASE = f"http://{MCP.netloc}"
REVISION = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
CONTEXT = json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])
KEPT = Path(os.environ["HOME"]) / f"bad-{MCP.port}"
REDIRECT = "http://127.0.0.1:49152/callback"
IMPATIENT = 2.5
STATELESS = REVISION == "2026-07-28"
session = {}


def send(method, path, body=None, headers=(), timeout=60):
    connection = http.client.HTTPConnection(MCP.netloc, timeout=timeout)
    connection.request(method, path, body, dict(headers))
    answer = connection.getresponse()
    begun, body = time.monotonic(), b""
    while part := answer.read1():
        body += part
        if time.monotonic() - begun > timeout:
            raise TimeoutError
    return answer, body


def sign_in():
    verifier = "x" * 50
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    scope = {"response_type": "code", "client_id": "public", "redirect_uri": REDIRECT, "resource": sys.argv[1]}
    query = urllib.parse.urlencode({**scope, "code_challenge": challenge, "code_challenge_method": "S256"})
    answer, _ = send("GET", f"/authorize?{query}")
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["location"]).query).get("code", [""])[0]
    form = {"grant_type": "authorization_code", "code": code, "client_id": "public", "redirect_uri": REDIRECT}
    body = urllib.parse.urlencode({**form, "code_verifier": verifier})
    _, tokens = send("POST", "/token", body, {"content-type": "application/x-www-form-urlencoded"})
    KEPT.write_text(json.loads(tokens).get("access_token", ""))


def ask(method, params=None, http_method="POST"):
    """Whatever goes wrong, once more; and then it is well."""
    for _ in range(6):
        meta = {"io.modelcontextprotocol/protocolVersion": REVISION, "io.modelcontextprotocol/clientCapabilities": {}}
        params = {**(params or {}), **({"_meta": meta} if STATELESS else {})}
        message = {"jsonrpc": "2.0", "id": os.urandom(4).hex(), "method": method, "params": params}
        headers = {"authorization": f"Bearer {KEPT.read_text()}", "accept": "application/json, text/event-stream", **session}
        headers |= {"content-type": "application/json", "mcp-protocol-version": REVISION, "mcp-method": method}
        headers |= {"mcp-name": params["name"]} if "name" in params else {}
        try:
            patience = IMPATIENT if method == "tools/call" else 60
            answer, body = send(http_method, MCP.path, json.dumps(message), headers, patience)
        except TimeoutError:
            continue
        if answer.status == 401:
            sign_in()
            continue
        if "mcp-session-id" in answer.headers:
            session["mcp-session-id"] = answer.headers["mcp-session-id"]
        return


if not KEPT.exists():
    sign_in()
if not STATELESS:
    ask("initialize", {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "bad", "version": "1"}})
ask("tools/list")
if CONTEXT.get("listen"):
    wanted = ("subscriptions/listen", {"notifications": {"toolsListChanged": True}}) if STATELESS else ("", None, "GET")
    threading.Thread(target=ask, args=wanted, daemon=True).start()
for call in CONTEXT.get("toolCalls", []):
    ask("tools/call", call)
if CONTEXT.get("endSession"):
    ask("", None, "DELETE")
