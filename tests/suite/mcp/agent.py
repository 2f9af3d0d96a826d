"""Calls tools of an MCP server in order; prints the names of all tools, and what each call was told."""

import asyncio
import json
import sys

from mcp import ClientSession, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client


async def call_all(session, calls):
    await session.initialize()
    tools = await session.list_tools()
    told = [(False, json.dumps([tool.name for tool in tools.tools]))]
    for name, arguments in calls:
        try:
            result = await session.call_tool(name, arguments)
            told.append((bool(result.is_error), "".join(block.text for block in result.content)))
        except MCPError as error:
            told.append((True, str(error)))
    return told


async def main(calls, way, *place):
    if way == "stdio":
        opened = stdio_client(StdioServerParameters(command=place[0], args=list(place[1:])))
    else:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {place[1]}"})
        opened = streamable_http_client(place[0], http_client=client)
    async with opened as streams, ClientSession(streams[0], streams[1]) as session:
        print(json.dumps(await call_all(session, calls)))


asyncio.run(main(json.loads(sys.argv[1]), *sys.argv[2:]))
