"""Writing to the program after: files, code that Python loads by itself, and state of the interpreter."""

from __future__ import annotations

from .attack import CONTRACT, HOSTILE, Attack, ends_as

_FIND = """
for place in ["."] + writable():
    for name in os.listdir(place):
        if "leftover" in name:
            got("left by the program before", os.path.join(place, name))
"""

ATTACKS = (
    Attack(
        "leftovers.files",
        "a file in every folder that can be written to",
        """
for place in ["."] + writable():
    for name, make in (("leftover", lambda path: open(path, "w").write("x")), ("leftover-folder", os.mkdir),
                       ("leftover-link", lambda path: os.symlink("/etc/passwd", path)), ("leftover-pipe", os.mkfifo),
                       (".leftover-hidden", lambda path: open(path, "w").write("x"))):
        try:
            make(os.path.join(place, name))
            say("made", place, name)
        except OSError as error:
            say("refused:", place, error)
""",
        follow_up=_FIND,
    ),
    Attack(
        "leftovers.own-folder",
        "a file in its own folder and in its home",
        "open('leftover', 'w').write('x')\nopen(os.path.expanduser('~/leftover-home'), 'w').write('x')",
        needs=CONTRACT,
        follow_up="""
for place in (".", os.path.expanduser("~")):
    for name in os.listdir(place):
        if "leftover" in name:
            got("left by the program before", name)
""",
    ),
    Attack(
        "leftovers.locked",
        "folders that nobody may enter, and files that nobody may delete",
        """
import fcntl
for place in ["."] + writable():
    top = os.path.join(place, "leftover-locked")
    try:
        os.makedirs(top + "/in/in")
        open(top + "/in/file", "w").write("x")
        fd = os.open(top + "/in/file", os.O_RDONLY)
        for flags in (0x10, 0x20, 0x30):
            try:
                fcntl.ioctl(fd, 0x40086602, struct.pack("=l", flags))
                got("made undeletable", top)
            except OSError as error:
                say("refused:", error)
        for path in (top + "/in/in", top + "/in", top):
            os.chmod(path, 0)
    except OSError as error:
        say("refused:", place, error)
""",
        follow_up=_FIND,
    ),
    Attack(
        "leftovers.bytecode",
        "compiled code in the place of a library's",
        """
import importlib.util, py_compile
open("evil.py", "w").write("print('GOT IN: code of the program before')")
for module in ("colorsys", "antigravity", "wave", "chunk", "nturl2path"):
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        continue
    for place in (importlib.util.cache_from_source(spec.origin), spec.origin + "c"):
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            py_compile.compile("evil.py", place, doraise=True,
                               invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            got("written", place)
        except (OSError, py_compile.PyCompileError) as error:
            say("refused:", error)
""",
        needs="files",
        follow_up="import colorsys, wave",
    ),
    Attack(
        "leftovers.startup",
        "code that Python runs by itself when it starts",
        """
import site, sysconfig
code = "import builtins, sys; builtins.leftover = 1; sys.stdout.write('GOT IN: code of the program before\\\\n')\\n"
paths = set(sysconfig.get_paths().values()) | set(p for p in sys.path if p) | {"/tmp", os.path.expanduser("~"), "."}
try:
    paths |= {site.getusersitepackages(), *site.getsitepackages()}
except AttributeError:
    pass
version = "python%d.%d" % sys.version_info[:2]
for place in writable():
    paths |= {place, f"{place}/.local/lib/{version}/site-packages", f"{place}/site-packages"}
for place in paths:
    for name in ("usercustomize.py", "sitecustomize.py", "leftover.pth", "random.py", "json.py"):
        try:
            os.makedirs(place, exist_ok=True)
            open(os.path.join(place, name), "w").write("import " + code if name.endswith(".pth") else code)
            say("written", place, name)
        except OSError as error:
            say("refused:", error)
""",
        needs="files",
        follow_up="""
import builtins, random, subprocess
if hasattr(builtins, "leftover"):
    got("start-up code of the program before")
done = subprocess.run([sys.executable, "-c", "import random, json; print('clean')"], capture_output=True, text=True)
if done.stdout != "clean\\n":
    got("start-up code of the program before", done.stdout + done.stderr[-200:])
""",
    ),
    Attack(
        "leftovers.settings",
        "settings that shells, the loader, Git, cron and others read",
        """
for path in ("~/.bashrc", "~/.profile", "~/.config/leftover", "~/.pythonrc", "~/.ssh/authorized_keys",
             "/etc/ld.so.preload", "/etc/profile.d/leftover.sh", "/etc/cron.d/leftover", "/etc/crontab",
             "/var/spool/cron/crontabs/root", "/etc/pip.conf", "/etc/gitconfig", "/etc/systemd/system/leftover.service",
             "/etc/environment", "/root/.bashrc", "/etc/python3/sitecustomize.py", "/etc/ImageMagick-6/policy.xml",
             "/usr/share/fonts/leftover.ttf", "/var/lib/leftover"):
    outside = not path.startswith("~")
    path = os.path.expanduser(path)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "a") as file:
            file.write("leftover")
        if outside:
            got("written", path)
    except OSError as error:
        say("refused:", error)
""",
        needs="files",
        follow_up="""
for path in ("~/.bashrc", "~/.profile", "~/.config/leftover", "~/.ssh"):
    if os.path.exists(os.path.expanduser(path)):
        got("left by the program before", path)
""",
    ),
    Attack(
        "leftovers.interpreter",
        "changes to the interpreter and its libraries, in memory",
        """
import builtins, gc, random, numpy, json
builtins.leftover = 1
builtins.open = builtins.print
os.environ["LEFTOVER"] = "1"
sys.modules["json"] = sys.modules["random"] = None
sys.path.insert(0, "/tmp")
sys.setrecursionlimit(60)
random.seed(99)
numpy.random.seed(99)
numpy.random.rand = lambda: 0.123
gc.disable()
sys.settrace(lambda *a: None)
sys.addaudithook(lambda *a: None)
ctypes.memset(id(257) + 24, 1, 1)  # the number 257 of this process is another now
""",
        held=ends_as("ok", "error"),
        needs=CONTRACT,
        follow_up="""
import builtins, random, numpy
if hasattr(builtins, "leftover") or "LEFTOVER" in os.environ or sys.getrecursionlimit() < 100:
    got("state of the program before")
""",
    ),
    Attack(
        "leftovers.parents",
        "files and names in the folders above its own, and its own folder moved",
        """
here = os.getcwd()
for action in (lambda: open("../leftover", "w"), lambda: open("../../leftover", "w"), lambda: os.mkdir("../leftover-d"),
               lambda: os.rename(here, here + "-leftover"), lambda: os.symlink("/", "../leftover-link"),
               lambda: os.chmod("..", 0o777), lambda: os.rename("..", "../../leftover-up")):
    try:
        action()
        say("done")
    except OSError as error:
        say("refused:", error)
""",
        needs=HOSTILE,
        follow_up="""
for place in ("..", "../.."):
    try:
        names = os.listdir(place)
    except OSError:
        continue
    for name in names:
        if "leftover" in name:
            got("left by the program before", name)
""",
    ),
    Attack(
        "leftovers.guessed-folder",
        "occupy the names that the next program's folder may get",
        """
here = os.path.realpath(".")
above, name = os.path.split(here)
import re
numbers = re.findall(r"\\d+", name)
for k in range(1, 50):
    for base in ([name.replace(n, str(int(n) + k), 1) for n in numbers] + [name + str(k)]):
        try:
            os.mkdir(os.path.join(above, base))
            say("made", base)
        except OSError as error:
            say("refused:", error)
            break
""",
    ),
)
