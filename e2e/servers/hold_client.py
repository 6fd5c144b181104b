"""A program that uses an MCP server through the official Python SDK, one step for each line on its standard input: `call`
calls a tool, `cancel` gives up the call under way, the end of input ends the session. The server is started on stdio, or
called over HTTP, where a silence of --patience seconds ends a call.

    hold_client.py [--mode auto|legacy|2026-07-28] [--tool echo] [--arguments '{"x":"hi"}'] -- authkeeper mcp NAME
    hold_client.py --url URL --handle HANDLE [--patience 300]

Prints JSON lines: {"connected":true,"protocol_version":…}, for each call {"progress":…,"message":…} as often as it comes,
then {"call":"ok","text":…}, {"call":"is_error","text":…}, {"call":"error","type":…,"message":…,"code":…,"data":…} or
{"call":"cancelled"}, and {"done":true}.
"""

import argparse
import asyncio
import json
import sys

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", default="auto", help="auto, legacy or a modern version")
    parser.add_argument("--tool", default="echo")
    parser.add_argument("--arguments", type=json.loads, default={"x": "hi"})
    parser.add_argument("--url")
    parser.add_argument("--handle")
    parser.add_argument("--patience", type=float, default=300)
    parser.add_argument("command", nargs="*", metavar="-- CMD ARGS")
    asyncio.run(session(parser.parse_args()))


def transport(options):
    if options.url:
        http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {options.handle}"},
            timeout=httpx2.Timeout(30, read=options.patience),
        )
        return streamable_http_client(options.url, http_client=http)
    command, *arguments = options.command
    return stdio_client(StdioServerParameters(command=command, args=arguments))


async def session(options):
    async with Client(transport(options), mode=options.mode) as client:
        say(connected=True, protocol_version=client.protocol_version)
        async with anyio.create_task_group() as calls:
            scope = anyio.CancelScope()
            while line := (await anyio.to_thread.run_sync(sys.stdin.readline)).strip():
                if line == "cancel":
                    scope.cancel()
                    continue
                scope = anyio.CancelScope()
                calls.start_soon(call, client, options, scope)
    say(done=True)


async def call(client, options, scope):
    async def progress(value, _total, message):
        say(progress=value, message=message)

    with scope:
        try:
            result = await client.call_tool(
                options.tool, options.arguments, progress_callback=progress
            )
            text = result.content[0].text if result.content else None
            say(call="is_error" if result.is_error else "ok", text=text)
        except MCPError as error:
            kind = type(error).__name__
            say(call="error", type=kind, message=str(error), code=error.code, data=error.data)
    if scope.cancel_called:
        say(call="cancelled")


def say(**line):
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
