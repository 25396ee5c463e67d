"""The machine's clock and name, and what the scheduler thinks of the program."""

from __future__ import annotations

from .attack import Attack

ATTACKS = (
    Attack(
        "clocks.time",
        "set the machine's clock",
        """
now = int(time.time())
attempt("set the clock", lambda: syscall("clock_settime", 0, struct.pack("=qq", now + 86400, 0)))
attempt("set the time of day", lambda: syscall("settimeofday", struct.pack("=qq", now + 86400, 0), 0))
attempt("adjust the clock", lambda: syscall("adjtimex", struct.pack("=Iiqqqqi", 1, 0, 1000, 0, 0, 0, 0) + bytes(200)))
for path in ("/dev/rtc", "/dev/rtc0", "/dev/ptp0"):
    attempt(f"open {path}", lambda: os.open(path, os.O_RDWR), errno.ENOENT, errno.EBUSY)
attempt("shift time by a namespace", lambda: os.write(os.open("/proc/self/timens_offsets", os.O_WRONLY),
        b"monotonic 86400 0"), errno.ENOENT)
""",
    ),
    Attack(
        "clocks.name",
        "rename the machine",
        """
attempt("set the host name", lambda: socket.sethostname("leftover"))
attempt("set the domain name", lambda: syscall("setdomainname", b"leftover", 8))
attempt("write the host name", lambda: open("/proc/sys/kernel/hostname", "w").write("leftover"))
attempt("write /etc/hostname", lambda: open("/etc/hostname", "w").write("leftover"), errno.ENOENT)
""",
    ),
    Attack(
        "clocks.priority",
        "take more of the processor than others",
        """
attempt("be nicer to itself", lambda: os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - 1))
for name in ("SCHED_FIFO", "SCHED_RR"):
    attempt(name, lambda: os.sched_setscheduler(0, getattr(os, name), os.sched_param(1)))
attributes = struct.pack("=IIQiIQQQ", 48, 6, 0, 0, 0, 10**6, 10**7, 10**7)
attempt("SCHED_DEADLINE", lambda: syscall("sched_setattr", 0, attributes, 0))
attempt("first at the disk", lambda: syscall("ioprio_set", 1, 0, 1 << 13))
""",
    ),
    Attack(
        "clocks.left-slow",
        "leave its own low priority, few processors and slow timers to the next program",
        """
import resource
for action in (lambda: os.setpriority(os.PRIO_PROCESS, 0, 19), lambda: os.setpriority(os.PRIO_PGRP, 0, 19),
               lambda: os.setpriority(os.PRIO_USER, 0, 19),
               lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)),
               lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
               lambda: libc.prctl(29, 10**9, 0, 0, 0), lambda: open("/proc/self/autogroup", "w").write("19"),
               lambda: open("/proc/self/oom_score_adj", "w").write("1000"),
               lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8)), lambda: os.umask(0o777)):
    try:
        action()
    except OSError as error:
        print("refused:", error)
""",
        follow_up="""
if os.getpriority(os.PRIO_PROCESS, 0) == 19 or os.sched_getscheduler(0) != os.SCHED_OTHER:
    got("the priority of the program before", (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)))
""",
    ),
    Attack(
        "clocks.user-priority",
        "slow everything of its user down, the cleaner included, while a process of its own stays",
        """
def slow():
    while True:
        try:
            os.setpriority(os.PRIO_USER, os.getuid(), 19)
        except OSError:
            pass
background(slow, 0.2)
""",
    ),
)
