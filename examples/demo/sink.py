"""A mail server that keeps what it is given: sink.py FOLDER

Listens on a free port of 127.0.0.1, prints it, and writes each letter into the folder as 0001.eml, 0002.eml, … until it is killed.
"""

import asyncio
import pathlib
import sys
import warnings

from aiosmtpd.smtp import SMTP

warnings.simplefilter("ignore")


class Keep:
    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        name = f"{self.count:04}.eml"
        (self.folder / name).write_bytes(envelope.content)
        return f"250 2.0.0 kept as {name}"


async def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    keep = Keep(folder)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(keep, hostname="sink.example", enable_SMTPUTF8=True), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(pathlib.Path(sys.argv[1])))
