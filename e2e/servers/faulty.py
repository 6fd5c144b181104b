#!/usr/bin/env python3
"""An authorization server and a protected resource that misbehave on demand, for bad-input tests
only; good behaviour is proved on real servers. Each fault has its own path:

    authkeeper connect x http://127.0.0.1:PORT/MODE/mcp

    good               no fault: shows that what fails elsewhere is the fault
    issuer-mismatch    the metadata names another issuer
    iss-mismatch       the redirect names another issuer
    iss-missing        the metadata promises `iss`, the redirect has none
    state-mismatch     the redirect carries another state
    resource-mismatch  the resource's metadata names another resource
    no-pkce            the metadata does not offer PKCE
    no-registration    no registration endpoint
    token-html         200 with HTML at the token endpoint
    token-huge         200 with 10 MB at the token endpoint
    token-502          502 with HTML at the token endpoint
    token-429          429 with Retry-After: 60 at the token endpoint
    token-503          503 with Retry-After: 10 at the token endpoint
    token-302          302 to another path at the token endpoint
    token-404          404 with HTML at the token endpoint
    token-slow         the token endpoint's answer comes a byte a second
    token-hang         the token endpoint never answers
    no-oauth           200 on everything
    not-found          404 on everything
    no-metadata        401 on the MCP URL, 404 on everything else
    redirect           302 to another path on the MCP URL
    metadata-html      the metadata is a page
    metadata-huge      the metadata is 10 MB
    metadata-slow      the metadata comes a byte a second
    metadata-503       503 in the place of the metadata
    no-answer          401 on the MCP URL, 503 on everything else
    bad-FIELD          this field, which holds a URL, holds a path: bad-token-endpoint and the rest
    lost-server        the authorization server's host has no address
    device-odd         device polls answer "not yet" in other fields, and by the status alone
    refresh-once       only the first sign-in brings a refresh token
    revoke-access-400  the refresh token is revoked, the access token refused
    revoke-public-401  revocation is for clients with a secret
    revoke-503         503 at the revocation endpoint
    no-refresh         sign-ins bring no refresh token
    html-first         a page at the first well-known place, the metadata at the second
    moved-metadata     the metadata redirects on its own origin
    away-metadata      the metadata redirects to another origin
    next-server        the first authorization server that the resource names can't be reached
    odd-types          fields of the metadata that no sign-in needs have wrong types
    redirect-slash     307 to the same path with a slash on the MCP URL
    localhost-only     registration refuses the redirect URI http://127.0.0.1
    refuses-resource   a sign-in that names a resource is refused, in a redirect without `iss`
    wants-scope        a sign-in is refused unless it asks for a scope that the metadata lists
    wants-audience     a sign-in is refused unless it names an audience, and so is a refresh without a tenant
    wants-nonce        a sign-in by OpenID Connect is refused without a nonce
    wrong-nonce        the ID token holds another nonce
    no-state           the redirect has an error and no state, then comes a good one

    shape-NAME         the token endpoint acts and answers well, in an odd shape: see SHAPES

With the prefix refresh- a token fault spares the code exchange and strikes refreshes only:
/refresh-token-html/mcp. /__ctl/heal ends all token faults: the server answers well from then on.

Environment: PORT (0: the system chooses), AT_TTL (seconds), EXIT_WITH_STDIN=1. The ready line on
stdout is {"ready":true,"port":…}; /__ctl/issued and /__ctl/stats as on the real servers. Standard
library only; the answers have the shape of oidc-provider's.
"""

import base64
import gzip
import hashlib
import http.client
import json
import os
import secrets
import sys
import threading
import time
import urllib.parse
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HUGE = 10 * 1024 * 1024
HTML = b"<!doctype html><html><body><h1>Sign in to the hotel Wi-Fi</h1></body></html>"
MODES = frozenset(
    "good issuer-mismatch iss-mismatch iss-missing state-mismatch resource-mismatch no-pkce "
    "no-registration token-html token-huge token-502 token-429 token-503 token-302 token-404 token-slow token-hang no-oauth not-found "
    "redirect no-metadata metadata-html metadata-huge metadata-slow metadata-503 "
    "html-first moved-metadata away-metadata next-server odd-types redirect-slash localhost-only "
    "refuses-resource wants-scope wants-audience wants-nonce wrong-nonce no-state "
    "no-answer lost-server device-odd refresh-once revoke-access-400 revoke-public-401 revoke-503 no-refresh "
    "bad-resource-metadata bad-authorization-servers bad-authorization-endpoint "
    "bad-token-endpoint bad-registration-endpoint bad-device-authorization-endpoint "
    "bad-pushed-authorization-request-endpoint bad-verification-uri bad-issuer".split()
)
NOT_A_URL = "/a/path"
POLLS = [
    (400, {"error_code": "authorization_pending"}, {}),
    (403, {"status": "PENDING"}, {}),
    (400, {}, {}),
    (429, {}, {"Retry-After": "1"}),
    (400, {"error": "invalid_request", "message": "the user has not signed in yet"}, {}),
]


def as_json(tokens):
    return json.dumps(tokens).encode()


def in_form(tokens):
    return urllib.parse.urlencode(tokens).encode()


# What a token endpoint answers after it has acted: from the tokens to headers and body.
SHAPES = {
    "empty-error": lambda t: ({}, as_json({**t, "error": ""})),
    "null-error": lambda t: ({}, as_json({**t, "error": None, "errors": []})),
    "none-error": lambda t: ({}, as_json({**t, "error": "none", "error_description": "no error"})),
    "bom": lambda t: ({}, b"\xef\xbb\xbf" + as_json(t)),
    "gzip": lambda t: ({"Content-Encoding": "gzip"}, gzip.compress(as_json(t))),
    "gzip-unsaid": lambda t: ({}, gzip.compress(as_json(t))),
    "deflate": lambda t: ({"Content-Encoding": "deflate"}, zlib.compress(as_json(t))),
    "form": lambda t: ({"Content-Type": "application/x-www-form-urlencoded"}, in_form(t)),
    "form-as-text": lambda t: ({"Content-Type": "text/plain"}, in_form(t)),
    "doubled-type": lambda t: ({"Content-Type": "text/html, application/json"}, as_json(t)),
    "nested": lambda t: ({}, as_json({"status": 0, "body": t})),
    "camel-case": lambda t: ({}, as_json({camel(k): v for k, v in t.items()})),
    "own-type": lambda t: ({}, as_json({**t, "token_type": "User Access Token"})),
    "length-too-long": lambda t: ({"Content-Length": "9999"}, as_json(t)),
    "milliseconds": lambda t: ({}, as_json({**t, "expires_in": 3600000})),
    "unix-time": lambda t: ({}, as_json({**t, "expires_in": int(time.time()) + 3600})),
    "twice": lambda t: ({}, as_json({"mine": t, "other": {k: "x" for k in t}})),
    "refresh-alone": lambda t: ({}, as_json({"refresh_token": t["refresh_token"], "id_token": "i"})),
}
MODES = MODES | {f"shape-{name}" for name in SHAPES}


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Faulty)
    server.daemon_threads = True
    if os.environ.get("EXIT_WITH_STDIN") == "1":
        threading.Thread(target=exit_with_stdin, daemon=True).start()
    print(json.dumps({"ready": True, "port": server.server_port}), flush=True)
    server.serve_forever()


def exit_with_stdin():
    sys.stdin.buffer.read()
    os._exit(0)


class State:
    """Shared by all requests."""

    lock = threading.Lock()
    codes = {}
    nonces = {}
    refresh_tokens = set()
    access_tokens = {}
    issued = []
    requests = {}
    healed = False
    polls = 0
    signed_in = 0


class Faulty(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def answer(self, body):
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        if url.path.startswith("/__ctl/"):
            return self.control(url.path)
        mode, endpoint = split_mode(url.path)
        with State.lock:
            key = f"{self.command} {url.path}"
            State.requests[key] = State.requests.get(key, 0) + 1
        self.refresh_only = mode.startswith(("refresh-token-", "refresh-shape-"))
        self.mode = mode.removeprefix("refresh-") if self.refresh_only else mode
        self.base = f"http://127.0.0.1:{self.server.server_port}/{mode}"
        if self.mode not in MODES or self.mode == "not-found":
            return self.send(404, b"Not Found", "text/plain")
        if self.mode == "no-oauth":
            return self.send(200, HTML, "text/html")
        if self.mode == "no-metadata" and endpoint != "/mcp":
            return self.missing(body)
        if self.mode == "no-answer" and endpoint != "/mcp":
            return self.send(503, HTML, "text/html")
        self.endpoint = endpoint
        return self.endpoints().get(endpoint, self.missing)(body)

    def endpoints(self):
        return {
            "/mcp": self.mcp,
            "/moved": self.metadata,
            "/.well-known/oauth-protected-resource": self.resource_metadata,
            "/.well-known/oauth-authorization-server": self.metadata,
            "/.well-known/openid-configuration": self.metadata,
            "/reg": self.register,
            "/auth": self.authorize,
            "/token": self.token,
            "/device": self.device,
            "/revoke": self.revoke,
        }

    def missing(self, _body):
        self.send(404, b"Not Found", "text/plain")

    # ---- The resource ---------------------------------------------------------------------------

    def mcp(self, _body):
        if self.mode == "redirect":
            return self.send(302, b"", "text/plain", {"Location": f"{self.base}/elsewhere"})
        if self.mode == "redirect-slash" and self.path.endswith("/mcp"):
            return self.send(307, b"", "text/plain", {"Location": path_of(self.base) + "/mcp/"})
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if State.access_tokens.get(token, 0) > time.time():
            return self.send_json({"jsonrpc": "2.0", "id": 1, "result": {}})
        metadata = f"{root_of(self.base)}/.well-known/oauth-protected-resource"
        challenge = f'Bearer resource_metadata="{metadata}{path_of(self.base)}/mcp"'
        if self.mode in ("no-metadata", "no-answer"):
            challenge = "Bearer"
        if self.mode == "bad-resource-metadata":
            challenge = f'Bearer resource_metadata="{NOT_A_URL}"'
        self.send(401, b"", "text/plain", {"WWW-Authenticate": challenge})

    def resource_metadata(self, _body):
        resource = "other" if self.mode == "resource-mismatch" else "mcp"
        servers = {
            "bad-authorization-servers": NOT_A_URL,
            "lost-server": "https://as.nosuchhost.invalid",
        }
        server = servers.get(self.mode, self.base)
        self.send_json(
            {
                "resource": f"{self.base}/{resource}",
                "authorization_servers": (
                    ["http://127.0.0.1:1/x", server] if self.mode == "next-server" else [server]
                ),
                "bearer_methods_supported": ["header"],
            }
        )

    # ---- The authorization server ---------------------------------------------------------------

    def metadata(self, _body):
        first = self.endpoint.endswith("oauth-authorization-server")
        if self.mode == "html-first" and first:
            return self.send(200, HTML, "text/html")
        if self.mode == "moved-metadata" and self.endpoint != "/moved":
            return self.send(302, b"", "text/plain", {"Location": path_of(self.base) + "/moved"})
        if self.mode == "away-metadata":
            away = self.base.replace("127.0.0.1", "localhost") + "/.well-known/openid-configuration"
            return self.send(302, b"", "text/plain", {"Location": away})
        if self.mode == "metadata-503":
            return self.send(503, HTML, "text/html")
        if self.mode == "metadata-html":
            return self.send(200, HTML, "text/html")
        if self.mode == "metadata-huge":
            return self.send(200, b'{"issuer":"' + b"x" * HUGE + b'"}', "application/json")
        body = json.dumps(self.metadata_fields()).encode()
        if self.mode == "metadata-slow":
            return self.drip(body)
        return self.send(200, body, "application/json")

    def metadata_fields(self):
        other = self.mode == "issuer-mismatch"
        fields = {
            "issuer": self.base + "-other" if other else self.base,
            "authorization_endpoint": f"{self.base}/auth",
            "token_endpoint": f"{self.base}/token",
            "registration_endpoint": f"{self.base}/reg",
            "code_challenge_methods_supported": ["S256"],
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
        }
        if self.mode == "odd-types":
            fields.update(scopes_supported=7, revocation_endpoint={}, introspection_endpoint=None)
            fields["code_challenge_methods_supported"] = "S256"
        if self.mode == "wants-scope":
            fields["scopes_supported"] = ["read", "write"]
        if self.mode.startswith("revoke-"):
            fields["revocation_endpoint"] = f"{self.base}/revoke"
        if self.mode in ("device-odd", "bad-verification-uri"):
            fields["device_authorization_endpoint"] = f"{self.base}/device"
        if self.mode == "bad-pushed-authorization-request-endpoint":
            fields["require_pushed_authorization_requests"] = True
        if self.mode.startswith("bad-") and self.mode != "bad-verification-uri":
            fields[self.mode.removeprefix("bad-").replace("-", "_")] = NOT_A_URL
        if self.mode == "no-pkce":
            del fields["code_challenge_methods_supported"]
        if self.mode == "no-registration":
            del fields["registration_endpoint"]
        return fields

    def register(self, body):
        wanted = json.loads(body)
        uris = wanted.get("redirect_uris", [])
        if self.mode == "localhost-only" and not all("//localhost:" in uri for uri in uris):
            return self.send_json({"error": "invalid_redirect_uri"}, 400)
        self.send_json({**wanted, "client_id": "faulty-client", "client_id_issued_at": 0}, 201)

    def refusal(self):
        """Why this sign-in is refused, if it is."""
        query = self.query
        if self.mode == "refuses-resource" and "resource" in query:
            return "invalid_target", "AADSTS9010010: it doesn't match the requested scopes"
        if self.mode == "wants-scope" and query.get("scope") not in ("read", "write"):
            return "invalid_scope", "a scope is needed"
        if self.mode == "wants-audience" and "audience" not in query:
            return "invalid_request", "an audience is required"
        if self.mode.endswith("-nonce") and "nonce" not in query:
            return "invalid_request", "a nonce is required"
        return None

    def authorize(self, _body):
        refused = self.refusal()
        if refused:
            answer = {"error": refused[0], "error_description": refused[1]}
            answer["state"] = self.query.get("state", "")
            return self.redirect_back(answer)
        code = issue("code")
        State.nonces[code] = self.query.get("nonce")
        State.codes[code] = self.query.get("code_challenge")
        answer = {"code": code, "state": self.query.get("state", ""), "iss": self.base}
        if self.mode == "iss-mismatch":
            answer["iss"] = self.base + "-other"
        if self.mode == "iss-missing":
            del answer["iss"]
        if self.mode == "state-mismatch":
            answer["state"] = "another"
        if self.mode == "no-state":
            self.without_state()
        self.redirect_back(answer)

    def redirect_back(self, answer):
        location = f"{self.query.get('redirect_uri', '')}?{urllib.parse.urlencode(answer)}"
        self.send(303, b"", "text/plain", {"Location": location})

    def without_state(self):
        """Another tab comes back before this one."""
        back = urllib.parse.urlsplit(self.query.get("redirect_uri", ""))
        tab = http.client.HTTPConnection(back.hostname, back.port, timeout=20)
        words = {"error": "server_error", "error_description": "no seat is left"}
        tab.request("GET", f"{back.path}?{urllib.parse.urlencode(words)}")
        tab.getresponse().read()
        tab.close()

    def device(self, _body):
        uri = NOT_A_URL if self.mode == "bad-verification-uri" else f"{self.base}/enter"
        self.send_json(
            {
                "device_code": issue("device_code"),
                "user_code": "ABCD",
                "verification_uri": uri,
                "expires_in": 600,
                "interval": 1,
            }
        )

    def revoke(self, body):
        form = dict(urllib.parse.parse_qsl(body.decode()))
        if self.mode == "revoke-503" and not State.healed:
            return self.send(503, HTML, "text/html")
        if self.mode == "revoke-public-401" and "Authorization" not in self.headers:
            refused = {"error": "invalid_client", "error_description": "a secret is needed"}
            return self.send_json(refused, 401)
        if self.mode == "revoke-access-400" and form.get("token") in State.access_tokens:
            return self.send_json({"error": "invalid_request"}, 400)
        return self.send(200, b"", "text/plain")

    def token(self, body):
        form = self.form = dict(urllib.parse.parse_qsl(body.decode()))
        if form.get("grant_type", "").endswith("device_code"):
            return self.poll()
        remember("code_verifier", form.get("code_verifier"))
        if self.mode.startswith("token-") and self.strikes(form):
            return self.token_fault()
        if self.mode == "wants-audience" and form.get("tenant") != "7":
            return self.send_json({"error": "invalid_request", "error_description": "no tenant"}, 400)
        if not redeem(form):
            return self.send_json({"error": "invalid_grant"}, 400)
        self.grant(form.get("grant_type") == "authorization_code")

    def poll(self):
        with State.lock:
            State.polls += 1
            count = State.polls
        if count > len(POLLS):
            return self.grant(True)
        status, answer, headers = POLLS[count - 1]
        self.send(status, json.dumps(answer).encode(), "application/json", headers)

    def grant(self, by_person):
        access = issue("access_token")
        ttl = int(os.environ.get("AT_TTL", "60"))
        State.access_tokens[access] = time.time() + ttl
        answer = {"access_token": access, "expires_in": ttl, "token_type": "Bearer"}
        if self.mode.endswith("-nonce") and by_person:
            answer["id_token"] = id_token(self.nonce())
        if self.gives_refresh_token(by_person):
            answer["refresh_token"] = issue("refresh_token")
            State.refresh_tokens.add(answer["refresh_token"])
        if self.mode.startswith("shape-") and self.strikes(self.form):
            return self.shaped(answer)
        self.send_json(answer)

    def nonce(self):
        nonce = State.nonces.get(self.form.get("code"))
        return "another" if self.mode == "wrong-nonce" else nonce

    def gives_refresh_token(self, by_person):
        if self.mode == "refresh-once" and by_person:
            State.signed_in += 1
            return State.signed_in == 1
        return self.mode != "no-refresh"

    def shaped(self, tokens):
        name = self.mode.removeprefix("shape-")
        # Azure AD B2C gives an access token to a refresh that names a scope.
        if name == "refresh-alone" and self.form.get("scope"):
            return self.send_json(tokens)
        headers, body = SHAPES[name](tokens)
        length = headers.pop("Content-Length", len(body))
        self.start(200, length, headers.pop("Content-Type", "application/json"), headers)
        self.wfile.write(body)

    def strikes(self, form):
        if State.healed:
            return False
        return not self.refresh_only or form.get("grant_type") == "refresh_token"

    def token_fault(self):
        if self.mode == "token-html":
            self.send(200, HTML, "text/html")
        elif self.mode == "token-huge":
            self.send(200, b'{"access_token":"' + b"x" * HUGE + b'"}', "application/json")
        elif self.mode == "token-502":
            self.send(502, HTML, "text/html")
        elif self.mode == "token-429":
            self.send(429, HTML, "text/html", {"Retry-After": "60"})
        elif self.mode == "token-503":
            self.send(503, HTML, "text/html", {"Retry-After": "10"})
        elif self.mode == "token-302":
            self.send(302, b"", "text/plain", {"Location": f"{self.base}/elsewhere?secret=1"})
        elif self.mode == "token-404":
            self.send(404, HTML, "text/html")
        elif self.mode == "token-slow":
            self.drip(b'{"access_token":"slow","token_type":"Bearer","expires_in":60}')
        else:  # token-hang
            self.rfile.read(1)
            self.close_connection = True

    # ---- Answering ------------------------------------------------------------------------------

    def control(self, path):
        if path == "/__ctl/issued":
            return self.send_json(State.issued)
        if path == "/__ctl/stats":
            return self.send_json({"requests": State.requests})
        if path == "/__ctl/heal":
            State.healed = True
            return self.send_json({})
        return self.send_json({"error": "no such operation"}, 404)

    def send_json(self, value, status=200):
        self.send(status, json.dumps(value).encode(), "application/json")

    def send(self, status, body, content_type, headers=None):
        self.start(status, len(body), content_type, headers)
        try:
            self.wfile.write(body)
        except OSError:  # the client had read enough
            self.close_connection = True

    def drip(self, body):
        self.start(200, len(body), "application/json")
        try:
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(1)
        except OSError:
            self.close_connection = True

    def start(self, status, length, content_type, headers=None):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


def split_mode(path):
    """The mode and the endpoint, for /MODE/x as for /.well-known/x/MODE (RFC 8414 section 3.1)."""
    parts = path.strip("/").split("/")
    if parts[0] == ".well-known" and len(parts) >= 3:
        return parts[2], f"/.well-known/{parts[1]}"
    return parts[0], "/" + "/".join(parts[1:])


def root_of(url):
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def path_of(url):
    return urllib.parse.urlsplit(url).path


def id_token(nonce):
    claims = json.dumps({"iss": "faulty", "sub": "alice", "nonce": nonce}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.e30"


def issue(kind):
    value = f"faulty_{kind}_{secrets.token_hex(24)}"
    remember(kind, value)
    return value


def remember(kind, value):
    if value:
        with State.lock:
            State.issued.append({"kind": kind, "value": value})


def redeem(form):
    """Whether the code with its verifier, or the refresh token, is good. Each works once."""
    with State.lock:
        if form.get("grant_type") == "refresh_token":
            known = form.get("refresh_token") in State.refresh_tokens
            State.refresh_tokens.discard(form.get("refresh_token"))
            return known
        challenge = State.codes.pop(form.get("code"), None)
    return challenge is not None and challenge == s256(form.get("code_verifier", ""))


def s256(verifier):
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


if __name__ == "__main__":
    main()
