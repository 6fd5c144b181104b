"""A program that uses an MCP server over stdio through the official Python SDK, one step for each line on its standard
input: `call` calls a tool, `cancel` gives up the call under way, the end of input ends the session.

    hold_client.py [--mode auto|legacy|2026-07-28] [--tool echo] [--arguments '{"x":"hi"}'] -- authkeeper mcp NAME

Prints JSON lines: {"connected":true,"protocol_version":…}, for each call {"progress":…,"message":…} as often as it comes,
then {"call":"ok","text":…}, {"call":"is_error","text":…}, {"call":"error","type":…,"message":…,"code":…,"data":…} or
{"call":"cancelled"}, and {"done":true}.
"""

import argparse
import asyncio
import json
import sys

import anyio
from mcp import Client, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", default="auto", help="auto, legacy or a modern version")
    parser.add_argument("--tool", default="echo")
    parser.add_argument("--arguments", type=json.loads, default={"x": "hi"})
    parser.add_argument("command", nargs="+", metavar="-- CMD ARGS")
    asyncio.run(session(parser.parse_args()))


async def session(options):
    command, *arguments = options.command
    server = StdioServerParameters(command=command, args=arguments)
    async with Client(stdio_client(server), mode=options.mode) as client:
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
