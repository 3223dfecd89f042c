"""A mail server that does as it is told, on aiosmtpd, with a token server beside it.

Takes the files of a certificate and its key. Listens on loopback: in plain text, with STARTTLS, over TLS, and for tokens over HTTP,
and prints the ports. Then it answers one JSON line with another, until its input ends:

  {"do": "rules", "rules": [...]}   what to do at which stage, in the place of what it would do
  {"do": "settings", ...}           see SETTINGS
  {"do": "taken"}                   the letters that it has taken
  {"do": "log"}                     the commands that came, each with the number of its connection
  {"do": "tokens"}                  the forms that the token server was sent
  {"do": "revoke"}                  takes back every access token

A rule: {"at": stage}, if wanted "to" (part of the recipient), "skip" and "times" (how often it lets pass, then holds), and what it
does: "delay" (seconds), "pieces" (answers byte by byte), "answer" (lines split by "|") with "close" or "drop" behind it, "drop"
alone (before an answer), at the content "taken" (it has the letter and then drops); at the token "status" and "body", or "bytes".
"""

import asyncio
import base64
import email
import json
import logging
import ssl
import sys
import urllib.parse
import warnings

from aiosmtpd.smtp import SMTP, AuthResult

logging.getLogger("mail.log").setLevel(logging.CRITICAL)
warnings.simplefilter("ignore")

SETTINGS = {
    "users": {},  # by name, with the password
    "required": False,  # whether nothing goes without a sign-in
    "offers": ["PLAIN", "LOGIN", "XOAUTH2"],
    "size": 1 << 20,
    "smtputf8": True,
    "rotates": False,  # whether each answer of the token server has a new refresh token
    "expires_in": 3600,
    "queue": True,  # whether the last answer names an id
}


class State:
    def __init__(self):
        self.rules, self.settings = [], dict(SETTINGS)
        self.taken, self.log, self.forms = [], [], []
        self.access, self.issued, self.connections = set(), 0, 0

    def rule(self, stage, to=""):
        """The first rule that holds now."""
        for rule in self.rules:
            if rule["at"] != stage or rule.get("to", "") not in to:
                continue
            if rule.get("skip", 0) > 0:
                rule["skip"] -= 1
                continue
            if rule.get("times") == 0:
                continue
            if "times" in rule:
                rule["times"] -= 1
            return rule
        return {}


STATE = State()


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, lines):
        session.host_name = hostname
        lines = [line for line in lines if not line[4:].startswith("AUTH")]
        if STATE.settings["offers"]:
            lines.insert(1, "250-AUTH " + " ".join(STATE.settings["offers"]))
        return lines

    async def handle_RCPT(self, server, session, envelope, address, options):
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        rule = STATE.rule("content", " ".join(envelope.rcpt_tos))
        server.pieces = "pieces" in rule
        refused = "answer" in rule and not rule["answer"].startswith("2")
        if rule.get("taken") or not (refused or rule.get("drop")):
            raw = envelope.original_content.decode("utf-8", "surrogateescape")
            user = session.auth_data if session.authenticated else None
            STATE.taken.append({
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "options": envelope.mail_options,
                "message_id": (email.message_from_string(raw)["Message-ID"] or "").strip("<> "),
                "raw": raw,
                "mechanism": user and user[0],
                "user": user and user[1],
                "tls": server.is_secret(),
                "hello": session.host_name,
                "connection": server.number,
            })
        # Whoever hangs up meanwhile ends this; the letter is taken.
        await asyncio.sleep(rule.get("delay", 0))
        if "answer" in rule:
            await server.obey(rule)
            return rule["answer"] if not (rule.get("close") or rule.get("drop")) else None
        if rule.get("drop"):
            await server.drop()
        return f"250 2.0.0 Ok: queued as Q{len(STATE.taken):09}" if STATE.settings["queue"] else "250 2.0.0 Ok"


class Server(SMTP):
    def __init__(self, over_tls, **options):
        self.over_tls, self.pieces, self.greeted, self.number = over_tls, False, False, 0
        super().__init__(
            Handler(), hostname="mx.test", ident="ESMTP", decode_data=False, auth_require_tls=False, authenticator=check,
            data_size_limit=STATE.settings["size"], enable_SMTPUTF8=STATE.settings["smtputf8"],
            auth_required=STATE.settings["required"], **options,
        )

    def is_secret(self):
        return self.over_tls or self._tls_protocol is not None

    async def push(self, status):
        if status is None:
            return
        if not self.greeted:
            self.greeted = True
            STATE.connections += 1
            self.number = STATE.connections
            if await self.obey(STATE.rule("greeting")):
                return
        answer = status if isinstance(status, bytes) else status.encode()
        if b"|" in answer:
            answer = b"\r\n".join(answer.split(b"|"))
        if not self.pieces:
            await super().push(answer)
            return
        for byte in answer + b"\r":
            self._writer.write(bytes([byte]))
            await asyncio.sleep(0.001)
        # Nothing is waited for behind it: TLS may begin at once.
        self._writer.write(b"\n")

    async def drop(self):
        self.transport.abort()
        await asyncio.sleep(3600)

    async def obey(self, rule):
        """Does what the rule says; whether that was all. At the content its answer is given by who asked, if nothing follows it."""
        await asyncio.sleep(rule.get("delay", 0) if rule.get("at") != "content" else 0)
        self.pieces = "pieces" in rule
        if rule.get("drop") and "answer" not in rule:
            await self.drop()
        if "answer" not in rule or rule["at"] == "content" and not (rule.get("close") or rule.get("drop")):
            return False
        await self.push(rule["answer"])
        if rule.get("drop"):
            await asyncio.sleep(0.02)
            await self.drop()
        if rule.get("close"):
            self.transport.close()
        return True

    async def staged(self, stage, verb, arg, method):
        shown = (arg or "").split()[0] if verb == "AUTH" and arg else arg or ""
        STATE.log.append({"connection": self.number, "command": f"{verb} {shown}".strip()})
        to = arg if stage == "recipient" else " ".join(self.envelope.rcpt_tos)
        if not await self.obey(STATE.rule(stage, to or "")):
            await method(arg)

    async def smtp_EHLO(self, arg):
        await self.staged("hello", "EHLO", arg, super().smtp_EHLO)

    async def smtp_STARTTLS(self, arg):
        await self.staged("tls", "STARTTLS", arg, super().smtp_STARTTLS)

    async def smtp_AUTH(self, arg):
        await self.staged("sign_in", "AUTH", arg, super().smtp_AUTH)

    async def smtp_MAIL(self, arg):
        await self.staged("sender", "MAIL", arg, super().smtp_MAIL)

    async def smtp_RCPT(self, arg):
        await self.staged("recipient", "RCPT", arg, super().smtp_RCPT)

    async def smtp_DATA(self, arg):
        await self.staged("data", "DATA", arg, super().smtp_DATA)

    async def smtp_RSET(self, arg):
        await self.staged("reset", "RSET", arg, super().smtp_RSET)

    async def smtp_QUIT(self, arg):
        await self.staged("quit", "QUIT", arg, super().smtp_QUIT)

    async def auth_XOAUTH2(self, _, args):
        user, token = base64.b64decode(args[1]).decode().split("\x01")[:2]
        user, token = user.removeprefix("user="), token.removeprefix("auth=Bearer ")
        if token in STATE.access:
            return AuthResult(success=True, auth_data=("XOAUTH2", user))
        await self.challenge_auth('{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}')
        return AuthResult(success=False, handled=False)


def check(server, session, envelope, mechanism, data):
    user, password = data.login.decode(), data.password.decode()
    right = STATE.settings["users"].get(user) == password
    return AuthResult(success=right, handled=False, auth_data=(mechanism, user))


async def tokens(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
    form = dict(urllib.parse.parse_qsl((await reader.readexactly(length)).decode()))
    STATE.forms.append(form)
    rule = STATE.rule("token")
    await asyncio.sleep(rule.get("delay", 0))
    if rule.get("drop"):
        writer.transport.abort()
        return
    status, body = rule.get("status", 200), rule.get("body")
    if "bytes" in rule:
        body = "x" * rule["bytes"]
    if body is None:
        STATE.issued += 1
        token = f"access-token-{STATE.issued}"
        STATE.access.add(token)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": STATE.settings["expires_in"]}
        if STATE.settings["rotates"]:
            body["refresh_token"] = f"refresh-token-{STATE.issued}"
        body = json.dumps(body)
    writer.write(f"HTTP/1.1 {status} Told\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
    try:
        await writer.drain()
        writer.close()
    except ConnectionError:
        pass


def told(order):
    match order["do"]:
        case "rules":
            STATE.rules = order["rules"]
        case "settings":
            STATE.settings = SETTINGS | order["settings"]
        case "taken":
            return STATE.taken
        case "log":
            return STATE.log
        case "tokens":
            return STATE.forms
        case "revoke":
            STATE.access.clear()
        case other:
            raise ValueError(other)
    return None


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    loop = asyncio.get_running_loop()
    # A broken handshake is somebody's test.
    loop.set_exception_handler(lambda *_: None)
    kinds = {
        "plain": (lambda: Server(False, loop=loop), None),
        "starttls": (lambda: Server(False, tls_context=context, loop=loop), None),
        "tls": (lambda: Server(True, loop=loop), context),
    }
    servers = {name: await loop.create_server(make, "127.0.0.1", 0, ssl=tls) for name, (make, tls) in kinds.items()}
    servers["tokens"] = await asyncio.start_server(tokens, "127.0.0.1", 0)
    print(json.dumps({name: server.sockets[0].getsockname()[1] for name, server in servers.items()}), flush=True)
    orders = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        print(json.dumps(told(json.loads(line))), flush=True)


asyncio.run(main())
