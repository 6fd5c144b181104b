"""A corporate network: servers that only its proxy can find, behind certificates of its own authority.

    pproxy (CONNECT and SOCKS5 on one port) ─┬─ nginx (TLS) ─ a server of another script   mcp.partner.test
                                             ├─ nginx (TLS, wants a client certificate)     mtls.partner.test
                                             └─ nghttpd (HTTP/2 and nothing else)           h2.partner.test

The names mean something to the proxy alone. All are on port 443.

Environment: PORT (the proxy's; 0: the system chooses), UPSTREAM (the port of the server behind nginx), USER
("name:password", if the proxy wants them), TOKENS (what h2.partner.test answers at /token, with whatever method),
EXIT_WITH_STDIN=1.
The ready line on stdout is one JSON object: {"ready":true,"port":…,"ca":FILE,"cert":FILE,"key":FILE,"log":FILE}; cert and
key are of a client, the log has a line for each way that the proxy opened: "mcp.partner.test:443".
"""

import asyncio
import datetime
import ipaddress
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import pproxy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "127.0.0.1"
NAMES = ("mcp.partner.test", "mtls.partner.test", "h2.partner.test")
# What every nginx of the tests has; the servers follow.
NGINX_HEAD = """
daemon off; user root; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
"""
NGINX = NGINX_HEAD + """
  proxy_http_version 1.1; proxy_buffering off; proxy_set_header Host $host; proxy_set_header Connection "";
  server {{
    listen unix:{folder}/mcp.partner.test ssl;
    location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
  }}
  server {{
    listen unix:{folder}/mtls.partner.test ssl;
    ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;
    location = /whoami {{ return 200 "$ssl_client_s_dn\\n"; }}
    location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
  }}
}}
"""
METADATA = {
    "issuer": "https://h2.partner.test",
    "token_endpoint": "https://h2.partner.test/token",
    "grant_types_supported": ["client_credentials"],
    "response_types_supported": [],
    "token_endpoint_auth_methods_supported": ["client_secret_post"],
}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_certificates(folder)
        servers = [start_nginx(folder)]
        try:
            http2, port = start_nghttpd(folder)
            servers.append(http2)
            asyncio.run(serve(folder, port))
        finally:
            for server in servers:
                server.terminate()
                server.wait()


# ---- Certificates -------------------------------------------------------------------------------


def make_certificates(folder):
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = named("Example Corp Root CA")
    ca = builder(ca_name, ca_name, ca_key).add_extension(x509.BasicConstraints(True, None), True)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    write(folder, "ca", ca.add_extension(usage, True).sign(ca_key, hashes.SHA256()), ca_key)
    names = x509.SubjectAlternativeName(
        [x509.DNSName(name) for name in NAMES] + [x509.IPAddress(ipaddress.ip_address(HOST))]
    )
    for file, name, purpose in (
        ("server", "mcp.partner.test", ExtendedKeyUsageOID.SERVER_AUTH),
        ("client", "agent", ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = builder(named(name), ca_name, key).add_extension(names, False)
        leaf = leaf.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        leaf = leaf.add_extension(x509.BasicConstraints(False, None), True)
        write(folder, file, leaf.sign(ca_key, hashes.SHA256()), key)


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


HOUR = datetime.timedelta(hours=1)


def builder(subject, issuer, key, age=HOUR, left=24 * HOUR):
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
    return made.not_valid_before(now - age).not_valid_after(now + left)


def write(folder, name, certificate, key):
    pem = serialization.Encoding.PEM
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / f"{name}.key").write_bytes(private)


# ---- Servers ------------------------------------------------------------------------------------


def start(arguments):
    # Its standard output is not ours to speak on: the ready line is.
    try:
        # Debian keeps servers where a user's path does not lead.
        path = "/usr/sbin:/usr/local/bin:/usr/bin:/bin"
        program = shutil.which(arguments[0], path=path) or arguments[0]
        return subprocess.Popen([program, *arguments[1:]], stdout=sys.stderr)
    except FileNotFoundError:
        sys.exit(f"corporate_network: {arguments[0]} is missing: see network-packages.txt")


def start_nginx(folder):
    upstream = os.environ.get("UPSTREAM", "1")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, upstream=upstream))
    arguments = ["nginx", "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"]
    return start(arguments)


def start_nghttpd(folder):
    root = folder / "htdocs"
    (root / ".well-known").mkdir(parents=True)
    (root / ".well-known/oauth-authorization-server").write_text(json.dumps(METADATA))
    (root / "token").write_text(os.environ.get("TOKENS", "{}"))
    (root / "data").write_text('{"spoken":"HTTP/2"}')
    while True:
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        arguments = ["nghttpd", "-a", HOST, "-d", root, str(port), folder / "server.key", folder / "server.pem"]
        server = start(arguments)
        # Another process may have taken the port meanwhile.
        if listens(server, port):
            return server, port


def listens(server, port):
    while server.poll() is None:
        try:
            socket.create_connection((HOST, port)).close()
            return True
        except OSError:
            pass
    return False


# ---- The proxy ----------------------------------------------------------------------------------


async def serve(folder, http2_port):
    log = folder / "ways.log"
    log.touch()
    open_directly = asyncio.open_connection

    async def open_connection(host=None, port=None, **_):
        """What the network's own name server would say."""
        if port != 443 or host not in NAMES:
            raise OSError(f"{host}:{port} is not in this network")
        with log.open("a") as lines:
            lines.write(f"{host}:{port}\n")
        if host == "h2.partner.test":
            return await open_directly(HOST, http2_port)
        return await asyncio.open_unix_connection(folder / host)

    asyncio.open_connection = open_connection
    user = os.environ.get("USER", "")
    address = f"http+socks5://{HOST}:{os.environ.get('PORT', '0')}" + (f"#{user}" if user else "")
    arguments = {"rserver": [], "verbose": lambda _: None, "authtime": -1}
    listening = await pproxy.Server(address).start_server(arguments)
    ready = {"ready": True, "port": listening.sockets[0].getsockname()[1], "log": str(log)}
    files = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    ready |= {name: str(folder / file) for name, file in files.items()}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if os.environ.get("EXIT_WITH_STDIN") == "1":
        loop = asyncio.get_running_loop()
        threading.Thread(target=wait_for_end, args=(loop, stop), daemon=True).start()
    print(json.dumps(ready), flush=True)
    await stop.wait()


def wait_for_end(loop, stop):
    sys.stdin.buffer.read()
    loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    main()
