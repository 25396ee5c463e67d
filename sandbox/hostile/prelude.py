"""What stands in front of every attack: how it says what became of an attempt, and system calls by name.

An attempt is refused if the kernel says so. Any other error is unclear and counts against the sandbox: an attack that
was stopped by its own bad argument has shown nothing.
"""

GOT_IN = "GOT IN: "
UNCLEAR = "UNCLEAR: "
DONE = "TRIED ALL"
TARGET = "target.json"  # where the decoys are

# Numbers of x86-64 and of arm64.
_NUMBERS = {
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "ptrace": (101, 117), "personality": (135, 92),
    "vhangup": (153, 58), "modify_ldt": (154, None), "pivot_root": (155, 41), "adjtimex": (159, 171),
    "chroot": (161, 51), "acct": (163, 89), "settimeofday": (164, 170), "mount": (165, 40), "umount2": (166, 39),
    "swapon": (167, 224), "reboot": (169, 142), "sethostname": (170, 161), "setdomainname": (171, 162),
    "iopl": (172, None), "ioperm": (173, None), "init_module": (175, 105), "delete_module": (176, 106),
    "quotactl": (179, 60), "mq_open": (240, 180), "kexec_load": (246, 104), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "ioprio_set": (251, 30), "migrate_pages": (256, 238),
    "mknodat": (259, 33), "unshare": (272, 97), "move_pages": (279, 239), "clock_settime": (227, 112),
    "perf_event_open": (298, 241), "rt_tgsigqueueinfo": (297, 240), "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "setns": (308, 268),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "finit_module": (313, 273),
    "sched_setattr": (314, 274), "memfd_create": (319, 279), "bpf": (321, 280), "userfaultfd": (323, 282),
    "pidfd_send_signal": (424, 424), "io_uring_setup": (425, 425), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "pidfd_open": (434, 434), "clone3": (435, 435), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "mount_setattr": (442, 442), "memfd_secret": (447, 447), "clone": (56, 220),
    "capset": (126, 91), "prctl": (157, 167), "syslog": (103, 116), "kexec_file_load": (320, 294),
    "io_uring_register": (427, 427), "fsmount": (432, 432), "set_mempolicy": (238, 237), "mbind": (237, 235),
    "shmctl": (31, 195), "shmat": (30, 196), "semctl": (66, 191), "msgctl": (71, 187), "statmount": (457, 457),
}  # fmt: skip

PRELUDE = f"""
import ctypes, errno, json, os, platform, signal, socket, stat, struct, sys, time
NUMBERS = {_NUMBERS!r}
NO = {{errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS}}
NO_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT,
              errno.ESOCKTNOSUPPORT, errno.ENETDOWN)
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def say(*words):
    print(*words, flush=True)

def got(what, value=""):
    say({GOT_IN!r} + what, repr(value)[:300] if value != "" else "")

def attempt(what, action, *also):
    '''Do what must not be possible; `also`: numbers of errors that are a refusal here, besides the plain ones.'''
    try:
        value = action()
    except OSError as error:
        if error.errno in NO or error.errno in also:
            say("refused:", what, "-", error)
        else:
            say({UNCLEAR!r} + what, "-", type(error).__name__, error)
    else:
        got(what, value)

def syscall(name, *arguments):
    number = NUMBERS[name][0 if platform.machine() == "x86_64" else 1]
    if number is None:
        raise OSError(errno.ENOSYS, "no such call on this processor")
    given = [a if isinstance(a, (bytes, ctypes.Array, ctypes.Structure)) or hasattr(a, "_obj")
             else ctypes.c_void_p(a & (2**64 - 1)) for a in arguments]
    given = [ctypes.byref(a) if isinstance(a, ctypes.Structure) else a for a in given]
    ctypes.set_errno(0)
    value = libc.syscall(ctypes.c_long(number), *given)
    if value == -1:
        raise OSError(ctypes.get_errno(), name + ": " + os.strerror(ctypes.get_errno()))
    return value

def target():
    return json.load(open({TARGET!r}))

def others():
    '''Every process that can be seen but this one.'''
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()]

def background(action, wait=0.0):
    '''Do something in a process that has left the session and whose parents are dead.'''
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            try:
                action()
            except BaseException:
                pass
            os._exit(0)
        os._exit(0)
    os.wait()
    time.sleep(wait)

def writable():
    '''Folders outside the program's own in which something can be made.'''
    usual = ["/tmp", "/var/tmp", "/dev/shm", "/dev", "/dev/mqueue", "/run", "/run/lock", "/var/run", "/home", "/mnt",
             "/srv", "/opt", "/var/cache", "/var/log", "/var/spool", "/etc", "/usr/local", "/", "/root", "/proc", "..",
             "../.."]
    usual += [line.split()[4] for line in open("/proc/self/mountinfo") if line.split()[5].startswith("rw")]
    here = os.path.realpath(".")
    found = []
    for place in usual:
        place = os.path.realpath(place)
        if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK) and place != here and place not in found:
            found.append(place)
    return found
"""
