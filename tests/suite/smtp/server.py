"""An SMTP submission server for tests, with TLS and AUTH; ends when its stdin does.

Arguments: one JSON object with port, security (starttls or tls), certificate, key, user, password, mailbox and
behaviour: accept, refuse_rcpt, or die_after_data. Prints "ready" and then a line for each thing that happens. Each
message that was accepted lies in the mailbox as <number>.json.
"""

import asyncio
import base64
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Handler:
    """Takes, refuses or breaks off, as the test says."""

    def __init__(self, settings):
        self.settings = settings
        self.count = len(os.listdir(settings["mailbox"]))

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.settings["behaviour"] == "refuse_rcpt":
            print("refused", address, flush=True)
            return "550 5.1.1 no such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        message = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "content": envelope.content.decode("utf-8", "surrogateescape"),
            "tls": bool(session.ssl) or self.settings["security"] == "tls",
            "user": (session.auth_data.login or b"").decode() if session.auth_data else None,
            "by_token": bool(session.auth_data) and not session.auth_data.password,
        }
        path = os.path.join(self.settings["mailbox"], f"{self.count}.json")
        with open(path + ".made", "w", encoding="utf-8", errors="surrogateescape") as file:
            json.dump(message, file)
        os.rename(path + ".made", path)
        print("taken", self.count, flush=True)
        if self.settings["behaviour"] == "die_after_data":
            os._exit(0)
        return "250 2.0.0 taken"


class Submission(SMTP):
    """Lets the user in by a token as well."""

    async def auth_XOAUTH2(self, server, args):
        data = await self.challenge_auth("") if len(args) == 1 else base64.b64decode(args[1])
        user, token = self.settings["user"], self.settings["token"]
        if token and data == f"user={user}\x01auth=Bearer {token}\x01\x01".encode():
            return AuthResult(success=True, auth_data=LoginPassword(user.encode(), b""))
        # As the providers do: why, as one more challenge, and then the refusal.
        await self.challenge_auth('{"status":"400"}')
        await self.push("535 5.7.8 Username and Password not accepted")
        return AuthResult(success=False, handled=True)


def authenticator(settings):
    """Knows one user."""

    def check(server, session, envelope, mechanism, data):
        good = (settings["user"].encode(), settings["password"].encode())
        known = isinstance(data, LoginPassword) and (data.login, data.password) == good
        return AuthResult(success=known, handled=False, auth_data=data if known else None)

    return check


async def main(settings):
    """Serves until stdin ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings["certificate"], settings["key"])
    handler = Handler(settings)
    starttls = settings["security"] == "starttls"

    def session():
        Submission.settings = settings
        return Submission(
            handler,
            hostname="localhost",
            enable_SMTPUTF8=True,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            authenticator=authenticator(settings),
            auth_required=True,
            auth_require_tls=starttls,
        )

    loop = asyncio.get_running_loop()
    implicit = None if starttls else context
    server = await loop.create_server(session, "127.0.0.1", settings["port"], ssl=implicit)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    os._exit(0)


asyncio.run(main(json.loads(sys.argv[1])))
