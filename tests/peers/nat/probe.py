"""Plain sockets behind a router: from where others see them, who gets through to them, and whether two of them meet.

Takes commands as JSON lines on stdin, each with an `id`, all at the same time; prints a JSON line for each.

    {"do": "mirror", "port": P}                     answers everybody with the address that it came from, over UDP and TCP
    {"do": "seen", "over": O, "port": P, "ask": [[IP, PORT]...]}    what mirrors see of port P: [ADDRESS or null...]
    {"do": "hear", "over": O, "port": P, "millis": N}               who knocks at port P meanwhile: [ADDRESS...]
    {"do": "knock", "over": O, "port": P, "to": [IP, PORT]}         knocks; over TCP says what came of it
    {"do": "punch", "over": O, "port": P, "to": [IP, PORT], "at": UNIX_SECONDS, "millis": N}
                                                    tries to meet who does the same there: {"millis", "with"} or null
"""

import json
import select
import socket
import sys
import threading
import time

PAUSE = 0.03  # between two packets of a punch
ATTEMPT = 1.0  # for one connection, or one answer of a mirror

printing = threading.Lock()
udp_sockets = {}
making = threading.Lock()


def text(address):
    return f"{address[0]}:{address[1]}"


def udp(port):
    """The socket of a port, which all commands share: it is the socket that others see."""
    with making:
        if port not in udp_sockets:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind(("0.0.0.0", port))
            udp_sockets[port] = made
        return udp_sockets[port]


def tcp(port):
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("0.0.0.0", port))
    return made


def packets(sock, until):
    """Packets as they come, until then."""
    while (left := until - time.monotonic()) > 0:
        if select.select([sock], [], [], left)[0]:
            yield sock.recvfrom(2048)


def mirror(port):
    def over_udp():
        sock = udp(port)
        while True:
            _, source = sock.recvfrom(2048)
            sock.sendto(text(source).encode(), source)

    def over_tcp(listener):
        while True:
            connection, source = listener.accept()
            with connection:
                connection.sendall(text(source).encode())

    listener = tcp(port)
    listener.listen(64)
    udp(port)
    threading.Thread(target=over_udp, daemon=True).start()
    threading.Thread(target=over_tcp, args=(listener,), daemon=True).start()
    return True


def seen_over_udp(port, target):
    sock = udp(port)
    for _ in range(3):
        sock.sendto(b"who am I", target)
        for answer, source in packets(sock, time.monotonic() + ATTEMPT / 3):
            if source == target:
                return answer.decode()
    return None


def seen_over_tcp(port, target):
    with tcp(port) as sock:
        sock.settimeout(ATTEMPT)
        try:
            sock.connect(target)
            return sock.recv(64).decode()
        except OSError:
            return None


def seen(over, port, ask):
    find = seen_over_udp if over == "udp" else seen_over_tcp
    return [find(port, tuple(target)) for target in ask]


def hear(over, port, millis):
    until = time.monotonic() + millis / 1000
    if over == "udp":
        return [text(source) for data, source in packets(udp(port), until) if data == b"knock"]
    heard = []
    with tcp(port) as listener:
        listener.listen(8)
        while (left := until - time.monotonic()) > 0:
            if select.select([listener], [], [], left)[0]:
                connection, source = listener.accept()
                heard.append(text(source))
                connection.close()
    return heard


def knock(over, port, to):
    target = tuple(to)
    if over == "udp":
        udp(port).sendto(b"knock", target)
        return "sent"
    with tcp(port) as sock:
        sock.settimeout(ATTEMPT)
        try:
            sock.connect(target)
            return "open"
        except TimeoutError:
            return "silence"
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return str(error)


def punch_udp(port, target, at, seconds):
    sock = udp(port)
    targets = {target}
    time.sleep(max(0, at - time.time()))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for one in targets:
            sock.sendto(b"punch", one)
        for data, source in packets(sock, time.monotonic() + PAUSE):
            if data == b"met":
                sock.sendto(b"met", source)
                return source
            if data == b"punch":
                # To where it came from, which is another port than the one told where the router changes it.
                targets.add(source)
                for _ in range(3):
                    sock.sendto(b"met", source)
    return None


def punch_tcp(port, target, at, seconds):
    with tcp(port) as listener, tcp(port) as sock:
        listener.listen(8)
        sock.setblocking(False)
        time.sleep(max(0, at - time.time()))
        until = time.monotonic() + seconds
        sock.connect_ex(target)
        waiting = [sock]
        while (left := until - time.monotonic()) > 0:
            readable, writable, _ = select.select([listener], waiting, [], left)
            if readable:
                connection, source = listener.accept()
                connection.close()
                return source
            if writable:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    return sock.getpeername()
                waiting = []  # one attempt; now it can only be reached
    return None


def punch(over, port, to, at, millis):
    meet = punch_udp if over == "udp" else punch_tcp
    source = meet(port, tuple(to), at, millis / 1000)
    if source is None:
        return None
    return {"millis": round((time.time() - at) * 1000), "with": text(source)}


COMMANDS = {"mirror": mirror, "seen": seen, "hear": hear, "knock": knock, "punch": punch}


def obey(line):
    command = json.loads(line)
    number = command.pop("id")
    try:
        answer = {"answer": COMMANDS[command.pop("do")](**command)}
    except OSError as error:
        answer = {"error": str(error)}
    with printing:
        print(json.dumps({"id": number, **answer}), flush=True)


def main():
    print(json.dumps({"event": "ready"}), flush=True)
    for line in sys.stdin:
        threading.Thread(target=obey, args=(line,), daemon=True).start()


main()
