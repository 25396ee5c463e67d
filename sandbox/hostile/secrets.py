"""Finding what is none of the program's business: secrets of the machine, and of the programs before."""

from __future__ import annotations

from .attack import Attack

SECRET = "tok-" + "5d1f8be2"  # in two parts, so that the search does not find itself


ATTACKS = (
    Attack(
        "secrets.environment",
        "read what its own environment has of its parents'",
        """
for name in sorted(set(os.environ) - {"HOME", "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER"}):
    got("a variable", name)
# The kernel keeps what the process was started with, whatever Python forgot since.
began = open("/proc/self/environ", "rb").read().split(b"\\0")
for word in (b"TOKEN", b"SECRET", b"PASSWORD", b"API_KEY", b"CANARY", b"CREDENTIAL", b"AWS_", b"HF_"):
    for item in began:
        if word in item:
            got("a secret of the start", item[:20])
""",
        needs="environment",
    ),
    Attack(
        "secrets.inherited-memory",
        "search its own memory, a copy of the supervisor's, for what the program before was, was given and gave back",
        f"""
needle = bytes(c ^ 0x55 for c in {bytes(c ^ 0x55 for c in SECRET.encode())!r})
found = []
with open("/proc/self/mem", "rb", buffering=0) as memory:
    for line in open("/proc/self/maps"):
        span, flags = line.split()[:2]
        if not flags.startswith("r") or "[v" in line:
            continue
        begin, end = (int(part, 16) for part in span.split("-"))
        while begin < end:
            try:
                memory.seek(begin)
                block = memory.read(min(end - begin, 4 << 20))
            except (OSError, OverflowError, ValueError):
                break
            at = block.find(needle + b"-")
            while at >= 0:
                rest = bytes(block[at + len(needle) : at + len(needle) + 12])
                if rest[:4] in (b"-cod", b"-fil", b"-out", b"-res"):
                    found.append(rest[:7])
                at = block.find(needle + b"-", at + 1)
            del block
            begin += 4 << 20
if found:
    got("what the program before had", sorted(set(found)))
""",
        before=f"""
secret = "{SECRET}"
x = "{SECRET}-code-of-the-program"
print(secret + "-output-of-the-program")
open("result.txt", "w").write((secret + "-result-of-the-program ") * 2000)
given = open("given.txt").read()
""",
        before_files={"given.txt": f"{SECRET}-file-of-the-program ".encode() * 2000},
    ),
    Attack(
        "secrets.files",
        "read the machine's secrets where they usually are",
        """
usual = ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/root/.ssh/id_rsa", "/root/.ssh/id_ed25519", "/root/.netrc",
         "/root/.docker/config.json", "/root/.aws/credentials", "/root/.cache/huggingface/token", "/root/.bash_history",
         "/root/.kube/config", "/run/secrets", "/var/run/secrets/kubernetes.io/serviceaccount/token",
         "/var/lib/docker", "/var/lib/kubelet", "/etc/kubernetes", "/etc/ssl/private", "/proc/1/environ"]
def look(path):
    return os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
for path in usual:
    attempt(path, lambda: look(path), errno.ENOENT, errno.ENOTDIR)
""",
    ),
    Attack(
        "secrets.decoy-file",
        "read a file of the machine outside, by its path and through every root folder that can be seen",
        """
path = target()["file"]
for root in ["", "/proc/self/root", "/proc/1/root", "/host", "/rootfs", "/mnt", "/.."] + [
        f"/proc/{pid}/root" for pid in others()] + [f"/proc/{pid}/cwd/../../../../.." for pid in others()]:
    attempt(root + path, lambda: open(root + path).read(), errno.ENOENT, errno.ENOTDIR, errno.ESRCH)
""",
    ),
    Attack(
        "secrets.kernel",
        "read the kernel's log, memory and addresses",
        """
def read(path):
    with open(path, "rb") as file:
        data = file.read(4096)
    if not data:
        raise OSError(errno.ENOENT, "nothing in it")
    return data[:60]
for path in ("/proc/kcore", "/proc/kmem", "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/proc/kmsg",
             "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats", "/proc/vmallocinfo",
             "/proc/slabinfo", "/proc/kpageflags", "/sys/kernel/debug/sched/debug", "/sys/kernel/tracing/trace",
             "/sys/firmware/dmi/tables/DMI", "/sys/kernel/notes.x"):
    attempt(path, lambda: read(path), errno.ENOENT, errno.ENOTDIR, errno.ENXIO, errno.ENODEV)
try:
    addresses = {line.split()[0].strip("0") for line in open("/proc/kallsyms")}
except OSError:
    addresses = {""}
if addresses - {""}:
    got("addresses of the kernel", len(addresses))
attempt("the kernel's log", lambda: syscall("syslog", 3, ctypes.create_string_buffer(100), 100, 0))
""",
    ),
    Attack(
        "secrets.handles",
        "open files outside by their number",
        """
class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 8)]
root = os.open("/", os.O_RDONLY)
for inode in (2, 128, 256):
    handle = Handle(8, 1)
    struct.pack_into("=II", handle.bytes, 0, inode, 0)
    attempt(f"the file of number {inode}", lambda: syscall("open_by_handle_at", root, handle, os.O_RDONLY),
            errno.ESTALE, errno.EOPNOTSUPP)
""",
    ),
    Attack(
        "secrets.result-of-others",
        "look through every folder that it may enter for other programs' files",
        """
here = os.path.realpath(".")
for place in {os.path.dirname(here), os.path.dirname(os.path.dirname(here)), "/tmp", "/var/tmp"}:
    if place == "/":
        continue
    try:
        names = os.listdir(place)
    except OSError as error:
        say("refused:", place, error)
        continue
    for name in names:
        path = os.path.join(place, name)
        if os.path.realpath(path) == here or not os.path.isdir(path):
            continue
        attempt(f"look into {path}", lambda: os.listdir(path), errno.ENOENT, errno.ENOTDIR)
""",
    ),
)
