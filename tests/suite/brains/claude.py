"""Stands for Claude Code: takes the arguments that it takes, drafts by the tools it is given, and prints what it prints."""

import asyncio
import json
import re
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def after(name):
    return sys.argv[sys.argv.index(name) + 1]


async def main():
    prompt = sys.stdin.read()
    work = re.search(r"[0-9a-f]{64}", prompt).group(0)
    path = re.search(r"`(In_Progress/[^`]*)`", prompt).group(1)
    server = json.loads(after("--mcp-config"))["mcpServers"]["aiemp"]
    assert after("--tools") == "" and after("--output-format") == "json", sys.argv
    parameters = StdioServerParameters(command=server["command"], args=server["args"])
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        note = await session.call_tool("read_note", {"path": path})
        assert "Invoice" in note.content[0].text, note
        drafted = await session.call_tool("draft_email", {"work_id": work, "body": "Hello,\n\nit is 1,500 EUR.\n"})
        assert not drafted.is_error, drafted
    usage = {"input_tokens": 900, "output_tokens": 100}
    print(json.dumps({"type": "result", "subtype": "success", "is_error": False, "result": "Sent and approved.",
                      "total_cost_usd": 2.5, "usage": usage}))


asyncio.run(main())
