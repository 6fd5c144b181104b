"""A client of the official Python SDK over Streamable HTTP with the SDK's own OAuth, for the sandbox's scenarios:

    refresh_client.py SERVER-URL      the sandbox adds the URL and sets MCP_CONFORMANCE_*

It keeps its registration and tokens in a file in $HOME, as an application would. Its person signs in whenever asked.
Exit 1 if a call failed.
"""

import asyncio
import json
import os
import sys
import urllib.parse
from pathlib import Path

import anyio
import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

URL = sys.argv[1]
CONTEXT = json.loads(os.environ["MCP_CONFORMANCE_CONTEXT"])
REVISION = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
LATEST = "2026-07-28"
REDIRECT = "http://127.0.0.1:49152/callback"


class Storage:
    def __init__(self):
        self.file = Path(os.environ["HOME"]) / f"python-{urllib.parse.urlsplit(URL).port}.json"

    async def get_tokens(self):
        kept = self.read().get("tokens")
        return OAuthToken.model_validate(kept) if kept else None

    async def set_tokens(self, tokens):
        self.write(tokens=tokens.model_dump(mode="json"))

    async def get_client_info(self):
        kept = self.read().get("client")
        return OAuthClientInformationFull.model_validate(kept) if kept else None

    async def set_client_info(self, client_info):
        self.write(client=client_info.model_dump(mode="json"))

    def read(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def write(self, **change):
        draft = self.file.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({**self.read(), **change}))
        draft.rename(self.file)


class Person:
    """Opens the page they are sent to; it says yes or no at once."""

    async def redirect(self, page):
        print("a person is asked to sign in", file=sys.stderr)
        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(page)
        query = urllib.parse.urlsplit(answer.headers["location"]).query
        self.answer = dict(urllib.parse.parse_qsl(query))

    async def callback(self):
        answer = self.answer
        return AuthorizationCodeResult(
            code=answer.get("code", ""), state=answer.get("state"), iss=answer.get("iss")
        )


def provider():
    person = Person()
    metadata = OAuthClientMetadata(
        client_name="Python SDK",
        redirect_uris=[REDIRECT],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    return OAuthClientProvider(URL, metadata, Storage(), person.redirect, person.callback)


async def main():
    mode = LATEST if REVISION == LATEST else "legacy"
    async with create_mcp_http_client(auth=provider()) as http:
        async with Client(streamable_http_client(URL, http_client=http), mode=mode) as client:
            await client.list_tools()
            async with anyio.create_task_group() as beside:
                if CONTEXT.get("listen") and REVISION == LATEST:
                    beside.start_soon(listen, client)
                await calls(client)
                beside.cancel_scope.cancel()


async def listen(client):
    while True:
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    pass
        except SubscriptionLost:
            await anyio.sleep(0.1)


async def calls(client):
    wanted = CONTEXT["toolCalls"]
    if CONTEXT.get("atOnce"):
        results = await asyncio.gather(*(call(client, one) for one in wanted), return_exceptions=True)
        failed = [result for result in results if isinstance(result, Exception)]
        if failed:
            raise failed[0]
    elif CONTEXT.get("untilOneSucceeds"):
        await until_one_succeeds(client, wanted)
    else:
        for one in wanted:
            await call(client, one)


async def until_one_succeeds(client, wanted):
    for one in wanted[:-1]:
        try:
            return await call(client, one)
        except Exception as error:
            print(f"a call failed: {error}", file=sys.stderr)
            await anyio.sleep(CONTEXT["pauseSeconds"])
    return await call(client, wanted[-1])


async def call(client, wanted):
    result = await client.call_tool(wanted["name"], wanted["arguments"])
    if result.is_error:
        raise RuntimeError(result.content)


try:
    asyncio.run(main())
except Exception as error:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
