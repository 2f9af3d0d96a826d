"""An MCP server over streamable HTTP, by the SDK of the protocol's authors; it notes what it was asked and with which token."""

import sys

import uvicorn
from mcp.server import MCPServer

PORT, LOG = int(sys.argv[1]), sys.argv[2]
server = MCPServer("bank")


@server.tool()
def pay(to: str, cents: int) -> str:
    """Pays somebody."""
    with open(LOG, "a") as log:
        log.write(f"paid {cents} to {to}\n")
    return f"paid {cents} to {to}"


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("no such thing")


async def guarded(scope, receive, send):
    """Refuses who has not the token."""
    headers = dict(scope.get("headers", []))
    if scope["type"] == "http" and headers.get(b"authorization") != b"Bearer correct horse battery":
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b"who are you?"})
        return
    await app(scope, receive, send)


app = server.streamable_http_app()
uvicorn.run(guarded, host="127.0.0.1", port=PORT, log_level="error")
