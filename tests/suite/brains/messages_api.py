"""A model behind the Messages API that always does the same: it reads the task it is asked for, plans, and drafts.

Prints its port; then, for each request that has tools, the names of the tools it was offered.
"""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVER = "mcp__aiemp__"
HOW = sys.argv[1] if len(sys.argv) > 1 else "drafts"


def turn(prompt, answered):
    """What the model says after so many of its calls were answered: a tool with its input, or a text."""
    path = re.search(r"`(In_Progress/[^`]*)`", prompt)
    work = re.search(r"[0-9a-f]{64}", prompt)
    if HOW == "talks" or not path or not work:
        return "I have approved it and sent it myself."
    steps = [
        ("read_note", {"path": path.group(1)}),
        ("approve", {"id": work.group(0)}),
        ("write_plan", {"work_id": work.group(0), "markdown": "# Plan\n\n- [ ] answer\n"}),
        ("draft_email", {"work_id": work.group(0), "body": "Hello,\n\nit is 1,500 EUR.\n"}),
    ]
    return steps[answered] if answered < len(steps) else "The draft waits."


def texts(content):
    if isinstance(content, str):
        return [content]
    return [block.get("text", "") for block in content if block.get("type") == "text"]


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        self.answer(200, "text/plain", b"")

    do_GET = do_HEAD

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if HOW == "limits":
            error = {"type": "error", "error": {"type": "rate_limit_error", "message": "rate limit"}}
            self.send_response(429)
            self.send_header("retry-after", "0")
            body = json.dumps(error).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        blocks = [b for m in asked["messages"] if isinstance(m["content"], list) for b in m["content"]]
        answered = sum(block.get("type") == "tool_result" for block in blocks)
        prompt = "\n".join(text for m in asked["messages"] for text in texts(m["content"]))
        tools = [tool["name"] for tool in asked.get("tools", [])]
        if tools:
            print("tools", json.dumps(tools), flush=True)
        said = turn(prompt, answered) if tools else "A title"
        if isinstance(said, str):
            block, delta, stop = {"type": "text", "text": ""}, {"type": "text_delta", "text": said}, "end_turn"
        else:
            block = {"type": "tool_use", "id": f"toolu_{answered}", "name": SERVER + said[0], "input": {}}
            delta, stop = {"type": "input_json_delta", "partial_json": json.dumps(said[1])}, "tool_use"
        usage = {"input_tokens": 10, "output_tokens": 5}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "content": [],
                   "stop_reason": None, "stop_sequence": None, "usage": usage}
        if not asked.get("stream"):
            content = [{"type": "text", "text": said if isinstance(said, str) else ""}]
            whole = {**message, "content": content, "stop_reason": "end_turn"}
            return self.answer(200, "application/json", json.dumps(whole).encode())
        events = [
            ("message_start", {"message": message}),
            ("content_block_start", {"index": 0, "content_block": block}),
            ("content_block_delta", {"index": 0, "delta": delta}),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": usage}),
            ("message_stop", {}),
        ]
        body = "".join(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n" for name, data in events)
        self.answer(200, "text/event-stream", body.encode())


server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
print(server.server_port, flush=True)
server.serve_forever()
