"""Asks for lists and takes no answer: the windows of its streams are shut (RFC 9113, 6.9.2).

shut_window.py PORT CONNECTIONS SECONDS: each connection makes eight calls, all are held for so long, and the number of
calls whose answer has begun, and can go no further, is printed.
"""

import socket
import sys
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived
from h2.settings import SettingCodes, Settings

CALLS = 8
# ListProspectsRequest with page_size 1000, after gRPC's five bytes.
MESSAGE = bytes([0, 0, 0, 0, 3, 0x08, 0xE8, 0x07])


def ask(port):
    connection = H2Connection(H2Configuration(client_side=True))
    shut = {SettingCodes.INITIAL_WINDOW_SIZE: 0, SettingCodes.ENABLE_PUSH: 0}
    connection.local_settings = Settings(client=True, initial_values=shut)
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/herald.v1.AgentService/ListProspects"),
        (":authority", f"127.0.0.1:{port}"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("x-user-id", "tenant0"),
    ]
    for n in range(CALLS):
        connection.send_headers(2 * n + 1, headers)
        connection.send_data(2 * n + 1, MESSAGE, end_stream=True)
    stream = socket.create_connection(("127.0.0.1", port), timeout=1)
    stream.sendall(connection.data_to_send())
    return connection, stream


def begun(connection, stream, until):
    count = 0
    while count < CALLS and time.monotonic() < until:
        try:
            data = stream.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            break
        if not data:
            break
        count += sum(isinstance(event, ResponseReceived) for event in connection.receive_data(data))
    return count


def main():
    port, connections, seconds = (int(argument) for argument in sys.argv[1:4])
    until = time.monotonic() + seconds
    held = []
    for _ in range(connections):
        try:
            held.append(ask(port))
        except OSError:
            # The server is being started again.
            break
    count = sum(begun(connection, stream, until) for connection, stream in held)
    time.sleep(max(0.0, until - time.monotonic()))
    print(count)


main()
