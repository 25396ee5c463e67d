"""Becoming more than the program is: other users, capabilities, namespaces, mounts, devices."""

from __future__ import annotations

from .attack import Attack

ATTACKS = (
    Attack(
        "privileges.status",
        "find a capability, a group or a missing filter in its own status",
        """
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
    if int(status[name], 16):
        got(name, status[name].strip())
if status["NoNewPrivs"].strip() != "1":
    got("new privileges are allowed")
if status["Seccomp"].strip() != "2":
    got("no system call is filtered")
if os.getuid() == 0 or os.geteuid() == 0 or 0 in os.getgroups() or os.getgid() == 0:
    got("it is root", (os.getuid(), os.getgid(), os.getgroups()))
""",
    ),
    Attack(
        "privileges.users",
        "become root, another user, or a member of another group",
        """
class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
for name, action in {
    "setuid": lambda: os.setuid(0), "seteuid": lambda: os.seteuid(0), "setgid": lambda: os.setgid(0),
    "setresuid": lambda: os.setresuid(0, 0, 0), "another user": lambda: os.setuid(os.getuid() + 1),
    "setgroups": lambda: os.setgroups([0, 1, 999]),
    "capset": lambda: syscall("capset", Header(0x20080522, 0), struct.pack("=6I", *[0xFFFFFFFF] * 6)),
    "an ambient capability": lambda: syscall("prctl", 47, 2, 21, 0, 0),
    "keeping capabilities": lambda: os.setresuid(-1, 0, -1),
}.items():
    attempt(name, action)
""",
        needs="user",
    ),
    Attack(
        "privileges.setuid-files",
        "run set-user-id programs, and make one",
        """
import shutil, subprocess
found = []
for folder in ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/local/bin", "/opt"):
    for top, folders, names in os.walk(folder):
        for name in names:
            try:
                info = os.lstat(os.path.join(top, name))
            except OSError:
                continue
            if stat.S_ISREG(info.st_mode) and info.st_mode & 0o6000:
                found.append(os.path.join(top, name))
say("set-user-id files:", found)
shutil.copy("/bin/sh", "sh")
os.chmod("sh", 0o6755)
for command in (["su", "-c", "id -u"], ["sudo", "-n", "id", "-u"], ["./sh", "-p", "-c", "id -u"], ["newgrp", "root"],
                ["mount", "-t", "tmpfs", "x", "/mnt"], ["pkexec", "id", "-u"]):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        say("refused:", command, error)
        continue
    if done.stdout.strip() == "0" or (command[0] == "mount" and done.returncode == 0):
        got("became root", command)
for path in found:
    child = subprocess.Popen([path, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             stdin=subprocess.DEVNULL)
    try:
        uids = [line.split()[2] for line in open(f"/proc/{child.pid}/status") if line.startswith("Uid:")]
        if uids and uids[0] == "0" and os.getuid() != 0:
            got("ran as root", path)
    except OSError:
        pass
    child.kill()
    child.wait()
attempt("give a file capabilities", lambda: os.setxattr("sh", "security.capability", bytes.fromhex(
    "0100000200002000000000000000000000000000")), errno.EOPNOTSUPP)
attempt("give a file away", lambda: os.chown("sh", 0, 0))
""",
        needs="user",
    ),
    Attack(
        "privileges.namespaces",
        "become root of a namespace of its own",
        """
flags = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "network": 0x40000000, "ipc": 0x08000000,
         "uts": 0x04000000, "cgroup": 0x02000000, "time": 0x80}
def split(flag):
    pid = os.fork()
    if pid == 0:
        try:
            syscall("unshare", flag)
        except OSError as error:
            os._exit(error.errno)
        os._exit(255)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == -signal.SIGSYS:
        code = errno.EPERM
    if code != 255:
        raise OSError(abs(code) or errno.EIO, "unshare: " + os.strerror(abs(code)))
for name, flag in flags.items():
    attempt(f"a {name} namespace", lambda: split(flag), errno.ENOSPC, errno.EINVAL if name == "time" else errno.EPERM)
    attempt(f"a user and a {name} namespace", lambda: split(flag | 0x10000000), errno.ENOSPC,
            errno.EINVAL if name == "time" else errno.EPERM)
def cloned(name, *arguments):
    pid = syscall(name, *arguments)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
attempt("clone into a user namespace", lambda: cloned("clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0), errno.ENOSPC)
request = struct.pack("=11Q", 0x10000000 | 0x20000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
attempt("clone3 into a user namespace", lambda: cloned("clone3", request, 88), errno.ENOSPC)
for pid in [1, os.getppid()]:
    for name in ("net", "mnt", "pid", "user", "uts", "ipc"):
        attempt(f"join the {name} namespace of {pid}",
                lambda: syscall("setns", os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY), 0), errno.ENOENT, errno.EINVAL)
""",
    ),
    Attack(
        "privileges.mounts",
        "mount, unmount and change the root",
        """
os.makedirs("m/old", exist_ok=True)
here = os.path.abspath("m").encode()
for name, action in {
    "mount tmpfs": lambda: syscall("mount", b"x", here, b"tmpfs", 0, 0),
    "mount proc": lambda: syscall("mount", b"x", here, b"proc", 0, 0),
    "bind the root": lambda: syscall("mount", b"/", here, 0, 4096, 0),
    "remount the root": lambda: syscall("mount", b"/", b"/", 0, 32 | 4096, 0),
    "unmount /proc/sys": lambda: syscall("umount2", b"/proc/sys", 2),
    "unmount /proc": lambda: syscall("umount2", b"/proc", 2),
    "chroot": lambda: os.chroot("m"),
    "pivot the root": lambda: syscall("pivot_root", here, here + b"/old"),
    "open a tree": lambda: syscall("open_tree", -100, b"/", 1),
    "open a file system": lambda: syscall("fsopen", b"tmpfs", 0),
    "mount writable": lambda: syscall("mount_setattr", -100, b"/", 0x8000, struct.pack("=4Q", 0, 1, 0, 0), 32),
    "move a mount": lambda: syscall("move_mount", -100, b"/proc", -100, here, 0),
    "swap on": lambda: syscall("swapon", here, 0),
    "quota": lambda: syscall("quotactl", 0x800002 << 8, b"/dev/sda", 0, 0),
}.items():
    attempt(name, action)
""",
    ),
    Attack(
        "privileges.devices",
        "make and open device nodes",
        """
for name, mode, number in (("disk", stat.S_IFBLK, (8, 0)), ("nvme", stat.S_IFBLK, (259, 0)), ("vda", stat.S_IFBLK,
                           (254, 0)), ("mem", stat.S_IFCHR, (1, 1)), ("kmsg", stat.S_IFCHR, (1, 11)),
                           ("fuse", stat.S_IFCHR, (10, 229)), ("null", stat.S_IFCHR, (1, 3))):
    for place in ["."] + writable():
        attempt(f"make {place}/{name}", lambda: os.mknod(os.path.join(place, name), mode | 0o666, os.makedev(*number)))
harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "stdin", "stdout", "stderr", "fd", "shm",
            "mqueue", "pts", "core", "console"}
for name in sorted(set(os.listdir("/dev")) - harmless):
    path = os.path.join("/dev", name)
    if not os.path.isdir(path):
        attempt(f"open {path}", lambda: os.open(path, os.O_RDWR | os.O_NONBLOCK), errno.ENXIO, errno.ENODEV,
                errno.ENOENT)
""",
    ),
    Attack(
        "privileges.control-groups",
        "lift its own limits, or have the kernel start a program outside",
        """
for top, folders, names in os.walk("/sys/fs/cgroup"):
    if top.count("/") > 6:
        folders.clear()
    for name in names:
        if name in ("cgroup.procs", "tasks", "memory.max", "memory.limit_in_bytes", "pids.max", "release_agent",
                    "cgroup.kill", "cgroup.freeze", "cpu.max", "notify_on_release", "cgroup.subtree_control"):
            path = os.path.join(top, name)
            attempt(f"write to {path}", lambda: os.open(path, os.O_WRONLY), errno.ENOENT)
    attempt(f"make a group in {top}", lambda: os.mkdir(os.path.join(top, "leftover")), errno.ENOENT)
""",
    ),
    Attack(
        "privileges.kernel-settings",
        "write to the kernel's settings",
        """
began = time.monotonic()
first = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger",
         "/proc/sys/kernel/hostname",
         "/proc/sys/fs/binfmt_misc/register", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/randomize_va_space",
         "/sys/kernel/uevent_helper", "/proc/self/uid_map", "/proc/self/setgroups", "/proc/mtrr",
         "/sys/power/state", "/proc/acpi/wakeup"]
for path in first:
    attempt(f"open {path}", lambda: os.open(path, os.O_WRONLY) if "self" not in path else
            os.write(os.open(path, os.O_WRONLY), b"0 0 1" if "map" in path else b"allow"), errno.ENOENT, errno.ENOTDIR)
looked = 0
for base in ("/proc/sys", "/sys"):
    for top, folders, names in os.walk(base):
        for name in names:
            path = os.path.join(top, name)
            looked += 1
            try:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue
            got("can be written", path)
            os.close(fd)
        if time.monotonic() - began > 8:
            break
say("looked at", looked)
""",
    ),
    Attack(
        "privileges.oom-order",
        "have somebody else killed when memory runs out",
        """
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
now = int(open("/proc/self/oom_score_adj").read())
attempt("be spared", lambda: write("/proc/self/oom_score_adj", "-1000"))
for value in range(-1000, now, 50):  # back to where its parents stand is allowed to anybody, and no further
    try:
        write("/proc/self/oom_score_adj", str(value))
        break
    except OSError as error:
        say("refused:", value, error)
now = int(open("/proc/self/oom_score_adj").read())
for pid in others():
    try:
        above = int(open(f"/proc/{pid}/oom_score_adj").read())
    except OSError:
        continue
    if now < above and os.stat(f"/proc/{pid}").st_uid != os.getuid():
        got(f"be spared rather than {pid}", (now, above))
for pid in others():
    attempt(f"have {pid} killed first", lambda: write(f"/proc/{pid}/oom_score_adj", "1000"), errno.ENOENT, errno.ESRCH)
""",
    ),
)
