"""A bad link: a TCP proxy that does to connections what a cellular network does. A program, so that any test can drive it.

    link.py LISTEN_PORT TARGET_PORT [cut=BYTES | reset=BYTES | stall=BYTES | hold=BYTES] [rate=BYTES_A_SECOND]

What is counted is sent, of each connection, from the client to the server; then it ends by FIN (cut), by RST (reset), says nothing
for a while before it ends (stall), or says nothing more until the server has had enough of it (hold: so fares the first connection
that comes so far, others are left alone). A line on standard output says that it listens; SIGTERM makes it print how many bytes it carried to the server."""

import signal
import socket
import struct
import sys
import threading
import time

RUN = 16 * 1024
STALL_SECONDS = 2
# What lies unread between the two ends when the link dies would be lost on a fast loopback; a slow link holds as little.
BUFFER = 64 * 1024


class Link:
    def __init__(self, target, rule, rate):
        self.target, self.rate = target, rate
        self.kind, self.limit = rule or (None, None)
        self.carried, self.lock = 0, threading.Lock()
        self.held = False

    def serve(self, port):
        listener = socket.create_server(("127.0.0.1", port))
        print("listening", flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self.back, args=(server, client), daemon=True).start()
        sent = 0
        try:
            while True:
                room = RUN if self.limit is None else max(0, min(RUN, self.limit - sent))
                if room == 0 and self.kind == "hold":
                    if self.is_first_held():
                        # What the server says still gets through, and its end is the client's.
                        return
                    room = RUN
                elif room == 0:
                    self.die(client, server)
                    return
                run = client.recv(room)
                if not run:
                    server.shutdown(socket.SHUT_WR)
                    return
                server.sendall(run)
                sent += len(run)
                with self.lock:
                    self.carried += len(run)
                if self.rate:
                    time.sleep(len(run) / self.rate)
        except OSError:
            shut(client, server)

    def is_first_held(self):
        with self.lock:
            first, self.held = not self.held, True
        return first

    def back(self, server, client):
        try:
            while run := server.recv(RUN):
                client.sendall(run)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            shut(client, server)

    def die(self, client, server):
        if self.kind == "stall":
            time.sleep(STALL_SECONDS)
        if self.kind == "reset":
            for end in (client, server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()
        else:
            shut(client, server)


def shut(*ends):
    """Ends connections of which the other thread may still read: closing alone would leave them open."""
    for end in ends:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()


def main():
    port, target, rule, rate = int(sys.argv[1]), int(sys.argv[2]), None, None
    for word in sys.argv[3:]:
        name, value = word.split("=")
        if name == "rate":
            rate = int(value)
        else:
            rule = (name, int(value))
    link = Link(target, rule, rate)

    def end(*_):
        print(link.carried, flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    link.serve(port)


if __name__ == "__main__":
    main()
