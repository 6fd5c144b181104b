"""A real OpenID provider for the tests: LemonLDAP::NG of Debian, configured and nothing more, behind
a front that counts and records (front.py: environment, ready line and /__ctl).

A school of its own: refresh tokens are not rotated, a dead one is answered with `invalid_request`, and
clients are entered by an administrator. Its userinfo endpoint is the protected resource.

Environment besides front.py's: AT_TTL, RT_TTL (seconds). The ready line adds `api` (userinfo) and
`redirect_uri` (of `agent`, exactly).
Clients: `agent` (public, with PKCE), `web` (with a secret), `job` (client credentials).
Users: alice, and the software's own demo accounts; the password is the name.

GET /__ctl/…:
  clients   the secrets of `web` and `job`
  rotate-secret?id=   an administrator gives a client a new secret, which it returns; every process of
            the software sees it a second later
  revoke    an administrator ends all sessions, online and offline
"""

import json
import os
import secrets
import shutil
import socket
import sys
import time

import front

TEMPLATES = "/usr/share/lemonldap-ng/portal/templates"
PACKAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lemonldap-packages.txt")
EXPIRATION = "AccessTokenExpiration"
FILES = "Lemonldap::NG::Common::Apache::Session::Generate::SHA256"
INI = """[all]
logLevel = warn
checkTime = 1
logger = Lemonldap::NG::Common::Logger::Std
[configuration]
type = File
dirName = {folder}/conf
localStorage = Cache::FileCache
localStorageOptions={{ 'namespace' => 'conf', 'default_expires_in' => 600, 'cache_root' => '{folder}/cache' }}
[portal]
staticPrefix = /static
templateDir = {templates}
languages = en
"""
APP = """use Lemonldap::NG::Portal;
use Lemonldap::NG::Portal::UserDB::Demo;
$Lemonldap::NG::Portal::UserDB::Demo::demoAccounts{alice} =
    { uid => 'alice', cn => 'Alice', mail => 'alice@example.com' };
my $portal = Lemonldap::NG::Portal->run({});
sub { my $env = $_[0]; $env->{SCRIPT_NAME} = ''; $env->{REMOTE_ADDR} = '127.0.0.1'; $portal->($env) };
"""


def main():
    if not (os.path.isdir(TEMPLATES) and shutil.which("starman")):
        with open(PACKAGES, encoding="utf-8") as packages:
            sys.exit(f"LemonLDAP::NG is missing: apt-get install {' '.join(packages.read().split())}")
    front.serve(LemonLdap)


class LemonLdap(front.Server):
    token_path = "/oauth2/token"

    def __init__(self, folder, base):
        super().__init__(folder, base)
        self.redirect_uri = f"http://{front.HOST}:{free_port()}/callback"
        self.client_secrets = {name: secrets.token_hex(24) for name in ("web", "job")}
        for part in ("conf", "sessions/lock", "psessions/lock"):
            os.makedirs(os.path.join(folder, part))
        self.number, self.key, self.session_key = 0, rsa_key(), secrets.token_hex(16)
        self.save_configuration()
        self.write("lemonldap-ng.ini", INI.format(folder=folder, templates=TEMPLATES))
        self.write("app.psgi", APP)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def command(self):
        ini = os.path.join(self.folder, "lemonldap-ng.ini")
        environment = os.environ | {"LLNG_DEFAULTCONFFILE": ini}
        listen = ["--listen", self.socket, "--workers", "3"]
        return ["starman", *listen, os.path.join(self.folder, "app.psgi")], environment

    def ready(self):
        return {"api": f"{self.base}/oauth2/userinfo", "redirect_uri": self.redirect_uri}

    def secrets(self):
        return [(f"client_secret of {name}", value) for name, value in self.client_secrets.items()]

    def save_configuration(self):
        self.number += 1
        self.write(f"conf/lmConf-{self.number}.json", json.dumps(self.configuration()))
        self.empty_cache()

    def configuration(self):
        """What an administrator would set; the software has its defaults for the rest."""
        lifetime = int(os.environ.get("AT_TTL", "60"))
        private, public = self.key
        return dict(
            cfgNum=self.number,
            cfgDate=int(time.time()),
            authentication="Demo",
            userDB="Same",
            passwordDB="Demo",
            demoExportedVars={"cn": "cn", "mail": "mail", "uid": "uid"},
            macros={"_whatToTrace": "lc($_user)"},
            groups={},
            exportedHeaders={},
            portal=f"{self.base}/",
            domain=front.HOST,
            key=self.session_key,
            securedCookie=0,
            issuerDBOpenIDConnectActivation=1,
            oidcServiceMetaDataIssuer=self.base,
            oidcServicePrivateKeySig=private,
            oidcServicePublicKeySig=public,
            oidcServiceKeyIdSig="k1",
            oidcServiceAllowAuthorizationCodeFlow=1,
            oidcServiceAccessTokenExpiration=lifetime,
            oidcServiceOfflineSessionExpiration=int(os.environ.get("RT_TTL", "3600")),
            oidcRPMetaDataNode={},
            oidcRPMetaDataOptions=self.clients(lifetime),
            oidcRPMetaDataExportedVars={"agent": {"name": "cn"}, "web": {"name": "cn"}, "job": {}},
            notification=0,
            portalDisplayRegister=0,
            portalDisplayResetPassword=0,
            locationRules={self.base.removeprefix("http://"): {"default": "accept"}},
            globalStorage="Apache::Session::File",
            globalStorageOptions=self.storage("sessions"),
            persistentStorage="Apache::Session::File",
            persistentStorageOptions=self.storage("psessions"),
            localSessionStorage="Cache::FileCache",
            localSessionStorageOptions={"cache_root": f"{self.folder}/cache", "namespace": "s"},
        )

    def storage(self, name):
        directory = os.path.join(self.folder, name)
        return {"Directory": directory, "LockDirectory": f"{directory}/lock", "generateModule": FILES}

    def clients(self, lifetime):
        person = {
            "RedirectUris": self.redirect_uri,
            "AllowOffline": 1,
            "RefreshToken": 1,
            "BypassConsent": 1,
            "UserIDAttr": "uid",
        }
        clients = {
            "agent": person | {"Public": 1, "RequirePKCE": 1},
            "web": person | {"ClientSecret": self.client_secrets["web"]},
            "job": {"AllowClientCredentialsGrant": 1, "ClientSecret": self.client_secrets["job"]},
        }
        common = {"IDTokenSignAlg": "RS256", EXPIRATION: lifetime}
        return {
            name: {
                f"oidcRPMetaDataOptions{option}": value
                for option, value in (common | options | {"ClientID": name}).items()
            }
            for name, options in clients.items()
        }

    def do_clients(self, _):
        return {name: {"client_secret": value} for name, value in self.client_secrets.items()}

    def do_rotate_secret(self, query):
        self.client_secrets[query["id"]] = secret = secrets.token_hex(24)
        self.save_configuration()
        return {"client_secret": secret}

    def do_revoke(self, _):
        """As the administrator's sessions explorer does: the session is gone from the storage."""
        sessions = [entry for entry in os.scandir(f"{self.folder}/sessions") if entry.is_file()]
        for entry in sessions:
            os.unlink(entry.path)
        self.empty_cache()
        return {"revoked": len(sessions)}

    def empty_cache(self):
        """Of the configuration and of sessions, which the software believes for minutes."""
        cache = os.path.join(self.folder, "cache")
        shutil.rmtree(cache, ignore_errors=True)
        os.makedirs(cache, exist_ok=True)


def rsa_key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def free_port():
    """For the client that comes later: its redirect URI is registered with its port."""
    with socket.create_server((front.HOST, 0)) as listener:
        return listener.getsockname()[1]


if __name__ == "__main__":
    main()
