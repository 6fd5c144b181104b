#!/usr/bin/env python3
"""A browser and the person in front of it, for sign-ins without a person: `$BROWSER URL`.

Follows redirects with a cookie jar, signs in and consents on the pages of oidc-provider,
django-oauth-toolkit, LemonLDAP::NG, authgent-server and the sandbox (FastMCP and the TypeScript SDK's example approve by
themselves), and ends once it has opened the client's loopback redirect URI, whose page it reads to the end as a
browser would. A device's verification page (`verification_uri_complete`) has no such URI: there it
ends at the first page that asks nothing. Refuses any host but the loopback. Standard library only;
prints nothing unless something goes wrong, and then no query string, since those hold secrets.

Environment: SCRIPTED_USER (default alice), SCRIPTED_ANSWER=deny (cancels at the consent page),
SCRIPTED_ANSWER=ignore (closes the window without an answer).
"""

import html
import http.client
import os
import re
import sys
import urllib.parse

MAX_PAGES = 30
REDIRECTS = (301, 302, 303, 307, 308)
FORM = re.compile(r'<form[^>]*method="post"[^>]*>', re.I)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: browser.py URL")
    if os.environ.get("SCRIPTED_ANSWER") == "ignore":
        return
    Visit(sys.argv[1]).run()


class Visit:
    """One sign-in: the pages from the authorization URL to the client's own page."""

    def __init__(self, url):
        self.url, self.method, self.form = url, "GET", None
        self.jars = {}
        self.refused = False
        self.redirect_uri = redirect_uri_of(url)

    def run(self):
        for _ in range(MAX_PAGES):
            at_client = self.is_redirect_uri(self.url)
            status, location, page = self.fetch()
            if at_client:
                return
            if status in REDIRECTS and location:
                self.go(urllib.parse.urljoin(self.url, location))
            elif self.is_done(status, page):
                return
            elif status == 200:
                self.answer(page)
            else:
                sys.exit(f"browser: {without_query(self.url)} answered {status}")
        sys.exit(f"browser: more than {MAX_PAGES} pages, last {without_query(self.url)}")

    def is_done(self, status, page):
        """At a device's verification page: nothing more is asked, or the person has refused."""
        if self.redirect_uri is not None:
            return False
        return self.refused or (status == 200 and FORM.search(page) is None)

    def is_redirect_uri(self, url):
        return self.redirect_uri is not None and without_query(url) == self.redirect_uri

    def go(self, url, method="GET", form=None):
        self.url, self.method, self.form = url, method, form

    def answer(self, page):
        """Does on a page what the person would do."""
        denies = os.environ.get("SCRIPTED_ANSWER") == "deny"
        cancel = abort_link(page) if denies else None
        if cancel and self.redirect_uri is not None:
            self.go(urllib.parse.urljoin(self.url, cancel))
            return
        action, form, buttons = only_form(page, self.url)
        if denies:
            self.refuse(form, buttons)
        else:
            form.update([button for button in buttons if not is_refusal(button)][:1])
        if form.get("prompt") == "login":
            form.update(login=os.environ.get("SCRIPTED_USER", "alice"), password="any")
        if "user" in form:
            form["user"] = os.environ.get("SCRIPTED_USER", "alice")
            # LemonLDAP::NG's demo accounts: the password is the name.
            form["password"] = form["user"]
        self.go(urllib.parse.urljoin(self.url, action), "POST", form)

    def refuse(self, form, buttons):
        """Where there is no link to cancel. Some pages come before the one that asks."""
        refusals = [button for button in buttons if is_refusal(button)]
        if refusals:
            form.update(refusals[:1])
        elif form.get("prompt") == "login" or "xsrf" in form:
            return
        else:
            sys.exit(f"browser: no way to cancel at {without_query(self.url)}")
        self.refused = True

    def fetch(self):
        url = urllib.parse.urlsplit(self.url)
        if url.scheme != "http" or url.hostname not in LOOPBACK:
            sys.exit(f"browser: refusing to leave this machine for {without_query(self.url)}")
        jar = self.jars.setdefault(url.netloc, {})
        connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=20)
        try:
            connection.request(self.method, target(url), encode(self.form), headers(jar, self.form))
            response = connection.getresponse()
            page = response.read().decode("utf-8", "replace")
        except OSError as error:
            sys.exit(f"browser: {without_query(self.url)}: {error}")
        finally:
            connection.close()
        keep_cookies(jar, response)
        return response.status, response.getheader("Location"), page


def redirect_uri_of(url):
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    return query.get("redirect_uri", [None])[0]


def target(url):
    return (url.path or "/") + ("?" + url.query if url.query else "")


def encode(form):
    return None if form is None else urllib.parse.urlencode(form)


def headers(jar, form):
    result = {"Accept": "text/html,*/*"}
    if form is not None:
        result["Content-Type"] = "application/x-www-form-urlencoded"
    if jar:
        result["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
    return result


def keep_cookies(jar, response):
    for line in response.headers.get_all("Set-Cookie") or []:
        pair, _, attributes = line.partition(";")
        name, _, value = pair.strip().partition("=")
        if not value or re.search(r"max-age=0|expires=thu, 01.jan.1970", attributes, re.I):
            jar.pop(name, None)
        else:
            jar[name] = value


def only_form(page, url):
    """Where the page's form goes, what it holds already, and its named buttons."""
    form = FORM.search(page)
    action = form and attribute(form[0], "action")
    if action is None:
        sys.exit(f"browser: nothing to click at {without_query(url)}")
    fields, buttons = {}, []
    for kind, tag in re.findall(r"<(input|button)\b([^>]*)>", page, re.I):
        name, value = attribute(tag, "name"), attribute(tag, "value")
        unchecked = attribute(tag, "type") == "radio" and not re.search(r"\schecked\b", tag)
        if name is None or value is None or unchecked:
            continue
        if kind.lower() == "button":
            buttons.append((name, value))
        else:
            fields[name] = value
    return action, fields, buttons


def is_refusal(button):
    name, value = button
    return name == "abort" or value == "deny"


def attribute(tag, name):
    found = re.search(rf'\b{name}="([^"]*)"', tag, re.I)
    return html.unescape(found[1]) if found else None


def abort_link(page):
    link = re.search(r'href="([^"]*/abort(?:\?[^"]*)?)"', page)
    return html.unescape(link[1]) if link else None


def without_query(url):
    return url.partition("#")[0].partition("?")[0]


if __name__ == "__main__":
    main()
