"""oidc-provider behind an nginx that asks for client certificates (RFC 8705), and certificates of an authority of its own.

    client ─┬─ oidc-provider (PORT: the issuer, where people sign in)
            └─ nginx (TLS, takes a client certificate) ─ oidc-provider: mtls_endpoint_aliases, /api

Environment: that of oidc-provider.mjs, and EXIT_WITH_STDIN=1.
The ready line is oidc-provider's, with "ca" and these client certificates, each with its key: "cert" and "key" (CN=agent),
"renewed_cert" and "renewed_key" (the same, issued again), "self_cert" and "self_key" (self-signed, registered for the
client `self`), "ended_cert" and "ended_key" (the first name, its time is over); "both" holds the first pair in one file.
"""

import datetime
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from corporate_network import HOST, NGINX_HEAD, builder, make_certificates, named, start, write
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NGINX = NGINX_HEAD + """
  server {{
    listen {host}:{port} ssl;
    ssl_client_certificate {folder}/ca.pem; ssl_verify_client optional_no_ca;
    proxy_http_version 1.1; proxy_buffering off; proxy_set_header Host {host}:{upstream};
    proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
    proxy_set_header X-Client-Verify $ssl_client_verify; proxy_set_header X-Client-DN $ssl_client_s_dn;
    location / {{ proxy_pass http://{host}:{upstream}; }}
  }}
}}
"""


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_certificates(folder)
        files = make_clients(folder)
        port, upstream = free_ports()
        config = NGINX.format(folder=folder, host=HOST, port=port, upstream=upstream)
        (folder / "nginx.conf").write_text(config)
        nginx = start(["nginx", "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"])
        provider = start_provider(f"https://{HOST}:{port}", upstream, files["self_cert"])
        try:
            ready = json.loads(provider.stdout.readline())
            print(json.dumps(ready | files), flush=True)
            if os.environ.get("EXIT_WITH_STDIN") == "1":
                threading.Thread(target=end_with_stdin, daemon=True).start()
            provider.wait()
        finally:
            for server in (provider, nginx):
                server.terminate()
                server.wait()


def start_provider(front, upstream, certificate):
    mtls = json.dumps({"front": front, "certificate": certificate})
    script = pathlib.Path(__file__).parent / "oidc-provider.mjs"
    environment = os.environ | {"MTLS": mtls, "PORT": str(upstream)}
    environment.pop("EXIT_WITH_STDIN", None)
    return subprocess.Popen(["node", str(script)], env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)


def end_with_stdin():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def free_ports():
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


# ---- Client certificates ------------------------------------------------------------------------


def make_clients(folder):
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    name = named("agent")
    day = datetime.timedelta(days=1)
    for file, issuer, signer, left in (
        ("client", ca.subject, ca_key, 30 * day),
        ("renewed", ca.subject, ca_key, 60 * day),
        ("ended", ca.subject, ca_key, -day),
        ("self", name, None, 30 * day),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = builder(name, issuer, key, age=90 * day, left=left)
        certificate = certificate.sign(signer or key, hashes.SHA256())
        write(folder, file, certificate, key)
    both = folder / "both.pem"
    both.write_bytes((folder / "client.pem").read_bytes() + (folder / "client.key").read_bytes())
    files = {"ca": str(folder / "ca.pem"), "both": str(both)}
    for file, prefix in (("client", ""), ("renewed", "renewed_"), ("self", "self_"), ("ended", "ended_")):
        files |= {f"{prefix}cert": str(folder / f"{file}.pem"), f"{prefix}key": str(folder / f"{file}.key")}
    return files


if __name__ == "__main__":
    main()
