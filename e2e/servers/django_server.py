"""A real authorization server and API for the tests: django-oauth-toolkit, configured and nothing
more, behind a WSGI front that counts and records.

Lenient where the others are strict: within the grace period a second use of a refresh token gets
the same answer again, and a refresh token ends RT_TTL after its access token, not after its own
beginning. Its API refuses an expired or unknown token with 403 and HTML, without a
challenge, and a disabled account's tokens go on working: both are the toolkit's own habits.

Environment: PORT (0: the system chooses), AT_TTL, RT_TTL, GRACE (seconds), REUSE=1 (a second use
after the grace period kills the grant), ROTATE=0 (refresh tokens stay), EXIT_WITH_STDIN=1.
The ready line on stdout is one JSON object: {"ready":true,"issuer":…,"port":…,"api":…}.
Clients: `pub` (public), `conf` (basic or post), `svc` (client credentials). Users: alice, bob.

GET /__ctl/…, answers in JSON:
  stats                 token requests by grant type: received, in_flight, completed; outcomes
                        ("refresh_token 200"); requests
  issued                every secret so far: [{kind, value}]
  presented             every access token shown to /api: [{at, path, token, state, refused}], state
                        being valid, expired, replaced (by a refresh, or revoked) or unknown
  clients               the secrets of `conf` and `svc`
  rotate-secret?id=     gives a client a new secret, which it returns; the old one is refused
  set?at=&rt=&grace=    lifetimes of what is issued from now on; the grace period at once
  disable?sub= enable?sub= delete?sub=   the account
  delclient?id=         deletes a client with its grants
"""

import json
import os
import secrets
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import Counter
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

HOST = "127.0.0.1"
SECRET_FIELDS = ("access_token", "refresh_token", "client_secret", "registration_access_token")
LIFETIMES = {
    "at": "ACCESS_TOKEN_EXPIRE_SECONDS",
    "rt": "REFRESH_TOKEN_EXPIRE_SECONDS",
    "grace": "REFRESH_TOKEN_GRACE_PERIOD_SECONDS",
}
# The person signs in under any name they type: browser.py fills in `login`.
LOGIN_PAGE = """<form action="" method="post">{% csrf_token %}
<input type="hidden" name="prompt" value="login"><input name="login"></form>"""
CONSENT_PAGE = """{% if error %}{{ error.error }}{% else %}<form action="" method="post">
{% csrf_token %}{% for field in form %}{% if field.is_hidden %}{{ field }}{% endif %}{% endfor %}
<input type="hidden" name="allow" value="Authorize"></form>
<a href="/consent/abort?{{ request.META.QUERY_STRING }}">Cancel</a>{% endif %}"""


def main():
    with tempfile.TemporaryDirectory() as directory:
        configure(os.path.join(directory, "db.sqlite3"))
        make_tables()
        server = ThreadedServer((HOST, int(os.environ.get("PORT", "0"))), QuietHandler)
        base = f"http://{HOST}:{server.server_port}"
        configure_toolkit(base)
        ledger = Ledger()
        make_accounts(ledger)
        server.set_app(make_front(base, ledger))
        # Leaving by SystemExit lets the directory go; the thread only ends the loop.
        if os.environ.get("EXIT_WITH_STDIN") == "1":
            threading.Thread(target=stop_with_stdin, args=(server,), daemon=True).start()
        ready = {"ready": True, "issuer": f"{base}/o", "port": server.server_port}
        print(json.dumps(ready | {"api": f"{base}/api"}), flush=True)
        server.serve_forever()


class ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self):
        # WSGIServer's own asks the name service for the host's name.
        import socketserver

        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]
        self.setup_environ()


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_):
        pass

    def address_string(self):
        return self.client_address[0]


def stop_with_stdin(server):
    sys.stdin.buffer.read()
    server.shutdown()


# ---- The toolkit's configuration ---------------------------------------------------------------


def configure(database):
    from django.conf import settings

    apps = ["auth", "contenttypes", "sessions", "messages"]
    settings.configure(
        SECRET_KEY=secrets.token_hex(32),
        ALLOWED_HOSTS=[HOST, "localhost"],
        ROOT_URLCONF=__name__,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": database,
                "OPTIONS": {
                    "timeout": 20,
                    "transaction_mode": "IMMEDIATE",
                    # Nobody needs these tables after the test.
                    "init_command": "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;",
                },
            }
        },
        INSTALLED_APPS=[f"django.contrib.{app}" for app in apps] + ["oauth2_provider"],
        # Tables straight from the models: the history of migrations takes seconds.
        MIGRATION_MODULES=dict.fromkeys([*apps, "oauth2_provider"]),
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        TEMPLATES=[template_settings()],
        LOGIN_URL="/login/",
        SILENCED_SYSTEM_CHECKS=["*"],
        OAUTH2_PROVIDER=toolkit_settings(),
    )
    import django

    django.setup()


def template_settings():
    pages = {"login.html": LOGIN_PAGE, "oauth2_provider/authorize.html": CONSENT_PAGE}
    processors = [
        "django.contrib.auth.context_processors.auth",
        "django.template.context_processors.request",
    ]
    return {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "context_processors": processors,
            "loaders": [
                ("django.template.loaders.locmem.Loader", pages),
                "django.template.loaders.app_directories.Loader",
            ],
        },
    }


def toolkit_settings():
    return {
        "SCOPES": {"read": "Read", "write": "Write", "introspection": "Introspect"},
        "DEFAULT_SCOPES": ["read"],
        "ACCESS_TOKEN_EXPIRE_SECONDS": int(os.environ.get("AT_TTL", "60")),
        "REFRESH_TOKEN_EXPIRE_SECONDS": int(os.environ.get("RT_TTL", "3600")),
        "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": int(os.environ.get("GRACE", "0")),
        "REFRESH_TOKEN_REUSE_PROTECTION": os.environ.get("REUSE", "1") == "1",
        "ROTATE_REFRESH_TOKEN": os.environ.get("ROTATE", "1") == "1",
        "PKCE_REQUIRED": True,
        # Otherwise the lifetimes of the first request stay.
        "ALWAYS_RELOAD_OAUTHLIB_CORE": True,
        "ALLOWED_SCHEMES": ["http", "https"],
        "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
        "DCR_ENABLED": True,
        "DCR_REGISTRATION_PERMISSION_CLASSES": ("oauth2_provider.dcr.AllowAllDCRPermission",),
    }


def configure_toolkit(base):
    """What needs the port."""
    from oauth2_provider.settings import oauth2_settings

    oauth2_settings.OAUTH2_PROTECTED_RESOURCE_IDENTIFIER = f"{base}/api"
    oauth2_settings.OAUTH2_PROTECTED_RESOURCE_AUTHORIZATION_SERVERS = [f"{base}/o"]


def make_tables():
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0, skip_checks=True)


def make_accounts(ledger):
    from django.contrib.auth.models import User
    from oauth2_provider.models import get_application_model

    users = [User.objects.create_user(name) for name in ("alice", "bob")]
    clients = [
        ("pub", "public", "authorization-code"),
        ("conf", "confidential", "authorization-code"),
        ("svc", "confidential", "client-credentials"),
    ]
    for client_id, client_type, grant in clients:
        secret = "" if client_type == "public" else secrets.token_hex(24)
        get_application_model().objects.create(
            client_id=client_id,
            name=client_id,
            client_type=client_type,
            authorization_grant_type=grant,
            client_secret=secret,
            # A native app: any port (RFC 8252 section 7.3).
            redirect_uris=f"http://{HOST}/callback",
            user=users[0],
        )
        ledger.note_secret(client_id, secret)


# ---- Pages and the API -------------------------------------------------------------------------


def login(request):
    from django.contrib.auth import login as log_in
    from django.contrib.auth.models import User
    from django.http import HttpResponseRedirect
    from django.shortcuts import render

    if request.method != "POST":
        return render(request, "login.html")
    log_in(request, User.objects.get(username=request.POST["login"]))
    return HttpResponseRedirect(request.GET["next"])


def abort(request):
    """The consent page's Cancel: the toolkit's own form without `allow`."""
    from django.test import RequestFactory
    from oauth2_provider.views import AuthorizationView

    query = request.META["QUERY_STRING"]
    refusal = RequestFactory().post(f"/o/authorize/?{query}", dict(urllib.parse.parse_qsl(query)))
    refusal.user, refusal._dont_enforce_csrf_checks = request.user, True
    refusal.META["HTTP_HOST"] = request.get_host()
    return AuthorizationView.as_view()(refusal)


def api(request, path=""):
    from django.http import HttpResponse, JsonResponse
    from oauth2_provider.decorators import protected_resource

    @protected_resource(scopes=["read"])
    def answer(request):
        if path == "echo":
            return HttpResponse(request.body, content_type=request.content_type)
        owner = request.resource_owner
        return JsonResponse({"sub": owner.username if owner else None})

    # An API's clients are programs: no CSRF token.
    return answer(request)


def url_patterns():
    from django.urls import include, path
    from django.views.decorators.csrf import csrf_exempt
    from oauth2_provider.urls import metadata_urlpatterns

    return [
        path("login/", login),
        path("consent/abort", abort),
        path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
        path("api", csrf_exempt(api)),
        path("api/<path:path>", csrf_exempt(api)),
        path("", include((metadata_urlpatterns, "metadata"))),
    ]


def __getattr__(name):
    """Django looks for `urlpatterns` here, which can only be made once it is set up."""
    if name == "urlpatterns":
        return url_patterns()
    raise AttributeError(name)


# ---- The front ---------------------------------------------------------------------------------


class Ledger:
    """What the tests ask about. Requests run on threads of their own: one lock for all of it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.received, self.completed = Counter(), Counter()
        self.outcomes, self.requests = Counter(), Counter()
        self.issued, self.expiry, self.clients = {}, {}, {}
        self.presented = []

    def remember(self, kind, value):
        if value:
            self.issued[value] = {"kind": kind, "value": value}

    def note_secret(self, client_id, secret):
        if secret:
            self.clients[client_id] = {"client_secret": secret}
            self.remember(f"client_secret of {client_id}", secret)

    def stats(self):
        return {
            "received": self.received,
            "in_flight": self.received - self.completed,
            "completed": self.completed,
            "outcomes": self.outcomes,
            "requests": self.requests,
        }


def make_front(base, ledger):
    from django.core.wsgi import get_wsgi_application

    return Front(get_wsgi_application(), ledger)


class Front:
    """Hands every request on unchanged; counts, records, and answers /__ctl itself."""

    def __init__(self, app, ledger):
        self.app, self.ledger = app, ledger

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        query = dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
        if path.startswith("/__ctl/"):
            return self.control(path.removeprefix("/__ctl/"), query, start_response)
        form = self.note_request(environ, path, query)
        grant = form.get("grant_type", "none") if path == "/o/token/" else None
        shown = self.shown_token(environ) if path.startswith("/api") else None
        with self.ledger.lock:
            self.ledger.received.update([grant] if grant else [])
        state = shown and self.state_of(shown)
        status, headers, body = self.ask(environ)
        with self.ledger.lock:
            self.note_answer(grant, status, headers, body)
            if shown:
                self.ledger.presented.append({"at": time.time(), "path": path, "token": shown,
                    "state": state, "refused": status >= 400})  # fmt: skip
        start_response(f"{status} -", headers)
        return [body]

    def note_request(self, environ, path, query):
        """Counts; returns the form, whose body the toolkit gets to read again."""
        import io

        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
        with self.ledger.lock:
            self.ledger.requests[f"{environ['REQUEST_METHOD']} {path}"] += 1
            self.ledger.remember("code_verifier", form.get("code_verifier"))
            if path == "/o/authorize/":
                self.ledger.remember("state", query.get("state"))
        return form

    def ask(self, environ):
        answer = {}

        def start(status, headers, exc_info=None):
            answer["status"], answer["headers"] = int(status.split(" ", 1)[0]), headers

        chunks = self.app(environ, start)
        try:
            return_body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return answer["status"], answer["headers"], return_body

    def note_answer(self, grant, status, headers, body):
        ledger, headers = self.ledger, {name.lower(): value for name, value in headers}
        if grant:
            ledger.completed[grant] += 1
            ledger.outcomes[f"{grant} {status}"] += 1
        location = urllib.parse.urlsplit(headers.get("location", ""))
        ledger.remember("code", dict(urllib.parse.parse_qsl(location.query)).get("code"))
        if not headers.get("content-type", "").startswith("application/json"):
            return
        fields = json.loads(body or b"{}")
        for field in SECRET_FIELDS if isinstance(fields, dict) else ():
            ledger.remember(field, fields.get(field))
        if isinstance(fields, dict) and fields.get("access_token"):
            ledger.expiry[fields["access_token"]] = time.time() + fields.get("expires_in", 0)

    @staticmethod
    def shown_token(environ):
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return token if scheme.lower() == "bearer" else None

    def state_of(self, token):
        from oauth2_provider.models import get_access_token_model

        expires = self.ledger.expiry.get(token)
        if expires is None:
            return "unknown"
        stored = get_access_token_model().objects.filter(token=token).first()
        if stored is None:
            return "expired" if expires < time.time() else "replaced"
        return "expired" if stored.is_expired() else "valid"

    def control(self, operation, query, start_response):
        method = getattr(self, "do_" + operation.replace("-", "_"), None)
        with self.ledger.lock:
            answer = method(query) if method else {"error": "no such operation"}
            body = json.dumps({"ok": True} if answer is None else answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("200 OK" if method else "404 Not Found", headers)
        return [body]

    def do_stats(self, _):
        return self.ledger.stats()

    def do_issued(self, _):
        return list(self.ledger.issued.values())

    def do_presented(self, _):
        return self.ledger.presented

    def do_clients(self, _):
        return self.ledger.clients

    def do_rotate_secret(self, query):
        from oauth2_provider.models import get_application_model

        client = get_application_model().objects.get(client_id=query["id"])
        client.client_secret = secret = secrets.token_hex(24)
        client.save()
        self.ledger.note_secret(query["id"], secret)
        return {"client_secret": secret}

    def do_set(self, query):
        from oauth2_provider.settings import oauth2_settings

        for name, setting in LIFETIMES.items():
            if name in query:
                setattr(oauth2_settings, setting, int(query[name]))
        return {name: getattr(oauth2_settings, setting) for name, setting in LIFETIMES.items()}

    def do_disable(self, query):
        accounts(query).update(is_active=False)

    def do_enable(self, query):
        accounts(query).update(is_active=True)

    def do_delete(self, query):
        return {"deleted": accounts(query).delete()[0]}

    def do_delclient(self, query):
        from oauth2_provider.models import get_application_model

        return {"deleted": get_application_model().objects.filter(client_id=query["id"]).delete()[0]}


def accounts(query):
    from django.contrib.auth.models import User

    return User.objects.filter(username=query["sub"])


if __name__ == "__main__":
    main()
