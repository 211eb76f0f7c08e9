//! What confined workers cannot do, and what they still can.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

mod common;

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::time::Duration;

use common::{bridge, builder_with, eventually, is_running, kill, quiet, worker_pid};
use snakebridge::{
    ArrayMut, Bridge, Bytes, Confine, ConfineSupport, Error, ErrorKind, Helpers, Pool, Ref, Result,
    Spin, Value,
};

/// Whether the kernel can do all of it; says so where it cannot.
fn is_supported() -> bool {
    let support = ConfineSupport::of_kernel();
    if !support.is_complete() {
        eprintln!("skipped: this kernel cannot do all that confinement is made of: {support:?}");
    }
    support.is_complete()
}

fn confined(confine: Confine) -> Bridge {
    quiet().confine(confine).build().unwrap()
}

fn run(py: &Bridge, code: &str) -> Result<()> {
    py.exec("builtins", "exec", (code,)).wait()
}

/// Fails unless Python was not permitted to do it.
#[track_caller]
fn is_denied(outcome: Result<()>) {
    let error = outcome.unwrap_err();
    let python = error.python().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(python.type_name(), "PermissionError", "{error:?}");
}

fn open(path: &Path, mode: &str) -> String {
    format!("open({path:?}, {mode:?}).close()")
}

#[test]
fn files_outside() {
    if !is_supported() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, inner) = (folder.path().join("file"), folder.path().join("inner"));
    std::fs::write(&file, "secret").unwrap();
    std::fs::create_dir(&inner).unwrap();
    let py = confined(Confine::new());
    let new = folder.path().join("new");
    for mode in ["r", "w", "a", "r+"] {
        is_denied(run(&py, &open(&file, mode)));
    }
    for code in [
        open(&new, "w"),
        format!("import os; os.listdir({:?})", folder.path()),
        format!("import os; os.remove({file:?})"),
        format!("import os; os.truncate({file:?}, 0)"),
        format!("import os; os.mkdir({new:?})"),
        format!("import os; os.rmdir({inner:?})"),
        format!("import os; os.symlink('/', {new:?})"),
        format!("import os; os.mkfifo({new:?})"),
        "open('/proc/self/oom_score_adj', 'w')".to_owned(),
        "open('/etc/shadow')".to_owned(),
    ] {
        is_denied(run(&py, &code));
    }
    let moved = format!("import os; os.rename({file:?}, {new:?})");
    assert!(run(&py, &moved).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "secret");
    assert!(inner.exists() && !new.exists());
    // What is not confined is not.
    run(&bridge(), &open(&file, "r")).unwrap();
}

#[test]
fn files_that_are_granted() {
    if !is_supported() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["read", "write", "other"] {
        std::fs::create_dir(path(name)).unwrap();
        std::fs::write(path(name).join("file"), "text").unwrap();
    }
    std::fs::write(path("single"), "text").unwrap();
    let confine = Confine::new().read(path("read")).write(path("write")).read(path("single"));
    let py = confined(confine);
    for name in ["read/file", "single", "write/file"] {
        run(&py, &open(&path(name), "r")).unwrap();
    }
    is_denied(run(&py, &open(&path("read/file"), "w")));
    is_denied(run(&py, &open(&path("single"), "a")));
    is_denied(run(&py, &open(&path("other/file"), "r")));
    run(&py, &open(&path("write/new"), "w")).unwrap();
    run(&py, &format!("import os; os.mkdir({0:?}); os.rmdir({0:?})", path("write/inner"))).unwrap();
    run(&py, &format!("import os; os.rename({:?}, {:?})", path("write/new"), path("write/moved")))
        .unwrap();
    assert!(path("write/moved").exists());
    // A link is no way out.
    run(&py, &format!("import os; os.symlink({:?}, {:?})", path("other"), path("write/link")))
        .unwrap();
    is_denied(run(&py, &open(&path("write/link/file"), "r")));
    // What was written is not run.
    let script = path("write/script");
    let write = format!(
        "import os; open({script:?}, 'w').write('#!/bin/sh\\n'); os.chmod({script:?}, 0o755)"
    );
    run(&py, &write).unwrap();
    is_denied(run(&py, &format!("import subprocess; subprocess.run([{script:?}])")));
}

#[test]
fn what_python_and_its_programs_need() {
    if !is_supported() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("helpers")).unwrap();
    std::fs::write(folder.path().join("fixture.py"), "def f(): return 1\n").unwrap();
    std::fs::write(folder.path().join("helpers/a.py"), "def f(): return 2\n").unwrap();
    let py = quiet()
        .module_path(folder.path())
        .helpers(Helpers::new().path(folder.path().join("helpers")))
        .confine(Confine::new())
        .build()
        .unwrap();
    assert_eq!(py.call::<i64>("fixture", "f", ()).wait().unwrap(), 1);
    assert_eq!(py.helper::<i64>("a.f", ()).wait().unwrap(), 2);
    for module in ["ctypes", "decimal", "hashlib", "json", "sqlite3", "ssl", "zoneinfo"] {
        py.exec("importlib", "import_module", (module,)).wait().unwrap();
    }
    run(&py, "open('/dev/null', 'w').write('x'); open('/dev/urandom', 'rb').read(1)").unwrap();
    run(&py, "import asyncio; asyncio.run(asyncio.sleep(0))").unwrap();
    run(&py, "import subprocess; subprocess.run(['/bin/sh', '-c', 'true'], check=True)").unwrap();
    run(
        &py,
        "import multiprocessing as m; m.get_context('fork').Process(target=id, args=(1,)).start()",
    )
    .unwrap();
    // Callbacks, streams, large arrays: what goes through pipes and shared memory is not a file.
    let double = py.callback(|x: i64| Ok(x * 2));
    let map: Ref = py.call("builtins", "map", (&double, [1, 2])).wait().unwrap();
    let doubled: Vec<i64> = map.iter().collect::<Result<_>>().unwrap();
    assert_eq!(doubled, [2, 4]);
    let numbers = ArrayMut::<f64>::zeros(&[1 << 16]).unwrap().freeze();
    let count: usize = py.call("builtins", "len", (&numbers,)).wait().unwrap();
    assert_eq!(count, 1 << 16);
}

#[test]
fn what_a_worker_starts_is_confined_too() {
    if !is_supported() {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let py = confined(Confine::new());
    let code =
        format!("import subprocess; subprocess.run(['/bin/cat', {:?}], check=True)", file.path());
    let error = run(&py, &code).unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "CalledProcessError");
    let code = format!(
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n\
         if libc.open({:?}, 0) < 0: raise PermissionError(ctypes.get_errno())",
        file.path().to_str().unwrap()
    );
    is_denied(run(&py, &code.replace("libc.open(\"", "libc.open(b\"")));
}

#[test]
fn privileges_and_signals() {
    if !is_supported() {
        return;
    }
    let py = confined(Confine::new());
    let status: Ref = py.call("builtins", "open", ("/proc/self/status",)).wait().unwrap();
    let lines: String = status.method("read", ()).wait().unwrap();
    assert!(lines.contains("NoNewPrivs:\t1"), "{lines}");
    assert!(lines.contains("Seccomp:\t2"), "{lines}");
    let effective = lines.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    // Nothing, or for root: to open files, and to listen on ports below 1024.
    let effective = u64::from_str_radix(effective, 16).unwrap();
    assert_eq!(effective & !0b100_0000_0110, 0, "{lines}");
    is_denied(run(&py, &format!("import os; os.kill({}, 0)", std::process::id())));
    is_denied(run(&py, &format!("open('/proc/{}/environ').read()", std::process::id())));
    // Nothing of this is true of the host, on none of its threads.
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let is_own = !status.contains("Name:\tsnakebridge-con");
        assert!(!is_own || !status.contains("NoNewPrivs:\t1"), "{status}");
    }
}

/// Python code that makes a connection, or fails.
fn connect(port: u16) -> String {
    format!("import socket; socket.create_connection(('127.0.0.1', {port}), 5).close()")
}

fn listen(port: u16) -> String {
    format!(
        "import socket\nwith socket.socket() as s:\n    \
         s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n    \
         s.bind(('127.0.0.1', {port})); s.listen()"
    )
}

fn make(kind: &str) -> String {
    format!("import socket; socket.socket({kind}).close()")
}

/// Python code that connects by sending something, in all ways that there are.
fn fast_open(port: u16) -> [String; 3] {
    let start = format!("import socket; s = socket.socket(); a = ('127.0.0.1', {port})");
    let several = format!(
        "import ctypes, errno, socket, struct\ns = socket.socket()\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         name = ctypes.create_string_buffer(struct.pack('=HHI8x', 2, socket.htons({port}), 0x0100007F))\n\
         header = struct.pack('@PI4xPNPNi4xI4x', ctypes.addressof(name), 16, 0, 0, 0, 0, 0, 0)\n\
         if libc.sendmmsg(s.fileno(), header, 1, 0x20000000) < 0:\n    \
             e = ctypes.get_errno()\n    raise OSError(e, errno.errorcode[e])\n"
    );
    [
        format!("{start}; s.sendto(b'x', 0x20000000, a)"),
        format!("{start}; s.sendmsg([b'x'], [], 0x20000000 | socket.MSG_NOSIGNAL, a)"),
        several,
    ]
}

#[test]
fn the_network() {
    if !is_supported() {
        return;
    }
    let listeners = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, other] = listeners.each_ref().map(|it| it.local_addr().unwrap().port());
    let nothing = confined(Confine::new());
    is_denied(run(&nothing, &connect(port)));
    is_denied(run(&nothing, &listen(0)));
    let (udp, unix) = ("socket.AF_INET, socket.SOCK_DGRAM", "socket.AF_UNIX");
    let all =
        ["socket.AF_INET", "socket.AF_INET6", udp, unix, "socket.AF_NETLINK, socket.SOCK_RAW"];
    all.iter().for_each(|kind| is_denied(run(&nothing, &make(kind))));

    let granted = confined(Confine::new().connect(port));
    run(&granted, &connect(port)).unwrap();
    is_denied(run(&granted, &connect(other)));
    is_denied(run(&granted, &listen(0)));
    for kind in
        [udp, unix, "socket.AF_INET, socket.SOCK_STREAM, 262", "socket.AF_INET, socket.SOCK_RAW, 1"]
    {
        is_denied(run(&granted, &make(kind)));
    }
    // Without an address the kernel chooses a port.
    is_denied(run(&granted, "import socket; socket.socket().listen(1)"));
    // Not even the port that is granted: nobody looks at it where a connection is made like that.
    for port in [port, other] {
        for code in fast_open(port) {
            is_denied(run(&granted, &code));
        }
    }

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listening = confined(Confine::new().listen(free));
    run(&listening, &listen(free)).unwrap();
    is_denied(run(&listening, &connect(port)));

    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap().port();
    let with_udp = confined(Confine::new().udp(true));
    let code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)";
    run(&with_udp, &format!("{code}.sendto(b'x', ('127.0.0.1', {address}))")).unwrap();
    is_denied(run(&with_udp, &connect(port)));

    let open = confined(Confine::new().network(true));
    run(&open, &connect(port)).unwrap();
    run(&open, &listen(0)).unwrap();
    all[..4].iter().for_each(|kind| run(&open, &make(kind)).unwrap());
}

#[test]
fn unix_sockets() {
    if !is_supported() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    let code = format!("import socket; socket.socket(socket.AF_UNIX).connect({path:?})");
    is_denied(run(&confined(Confine::new().read(folder.path())), &code));
    let granted = confined(Confine::new().unix_sockets(true));
    run(&granted, &code).unwrap();
    is_denied(run(&granted, &make("socket.AF_INET")));
    let listening = "import socket; s = socket.socket(socket.AF_UNIX); s.bind(''); s.listen(1)";
    run(&granted, listening).unwrap();
}

#[test]
fn pairs_of_sockets_lead_to_no_others() {
    if !is_supported() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let receiver = UnixDatagram::bind(&path).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let pair = |kind: &str| format!("import socket; a, b = socket.socketpair({kind})");
    let datagrams = pair("socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC");
    let send = format!("{datagrams}; a.sendto(b'x', {path:?})");
    for confine in [Confine::new(), Confine::new().connect(80).udp(true)] {
        let py = confined(confine);
        is_denied(run(&py, &send));
        is_denied(run(&py, &pair("socket.AF_UNIX, socket.SOCK_SEQPACKET")));
        is_denied(run(&py, &pair("30, socket.SOCK_STREAM"))); // TIPC has pairs too.
        run(&py, &format!("{}; a.send(b'x'); assert b.recv(1) == b'x'", pair(""))).unwrap();
    }
    assert!(receiver.recv(&mut [0]).is_err());
    let granted = confined(Confine::new().unix_sockets(true));
    run(&granted, &send).unwrap();
    assert_eq!(receiver.recv(&mut [0]).unwrap(), 1);
    is_denied(run(&granted, &pair("30, socket.SOCK_STREAM")));
}

/// Python code that tries to change the size of all shared memory, and gives what that is called.
const CUT: &str = r#"
import os

def as_bytes(value):
    return bytes(value)

def cut():
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue
        if path.startswith("/memfd:"):
            found.add(path.split()[0])
            for size in (0, 1 << 30):
                try:
                    os.ftruncate(int(name), size)
                except PermissionError:
                    continue
                found.add("it was possible")
    return sorted(found)
"#;

#[test]
fn shared_memory_cannot_be_cut_short() {
    let (builder, folder) = builder_with(CUT);
    let pool = Pool::new().module_path(folder.path()).spin(Spin::For(Duration::from_millis(2)));
    let confined = Pool::confine(pool.clone(), Confine::new().best_effort(true));
    let py = builder.pool("free", pool).pool("confined", confined).build().unwrap();
    for pool in ["free", "confined"] {
        let argument = ArrayMut::<u8>::zeros(&[1 << 18]).unwrap().freeze();
        let result: Bytes = py.call("fixture", "as_bytes", (&argument,)).pool(pool).wait().unwrap();
        let found: Vec<String> = py.call("fixture", "cut", ()).pool(pool).wait().unwrap();
        assert_eq!(found, ["/memfd:snakebridge", "/memfd:snakebridge-mailbox"], "{pool}");
        assert!(result.iter().chain(argument.as_slice()).all(|byte| *byte == 0));
    }
}

/// Python code that sees all bytes in whatever shared memory its process has.
const PEEK: &str = r#"
import os

def peek():
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + name).startswith("/memfd:snakebridge "):
                found.update(os.pread(int(name), os.fstat(int(name)).st_size, 0))
        except OSError:
            continue
    return sorted(found)
"#;

#[test]
fn shared_memory_of_other_pools_is_out_of_reach() {
    let (builder, folder) = builder_with(PEEK);
    let free = Pool::new().module_path(folder.path());
    let confined = Pool::confine(free.clone(), Confine::new().best_effort(true));
    let py = builder.pool("free", free).pool("confined", confined).build().unwrap();
    let sum = |data: &Bytes, pool: &str| -> u64 {
        py.call("builtins", "sum", (data,)).pool(pool).wait().unwrap()
    };
    // The second has less than there was before in memory of that size, and it comes again.
    for byte in 10..15 {
        for (byte, count, pool) in
            [(1, 300_000, "free"), (byte, 270_000, "confined"), (2, 300_000, "free")]
        {
            let data = Bytes::from(vec![byte; count]);
            assert_eq!(sum(&data, pool), u64::from(byte) * count as u64);
        }
        let seen: Vec<u8> = py.call("fixture", "peek", ()).pool("confined").wait().unwrap();
        assert!(seen.contains(&byte) && !seen.contains(&1) && !seen.contains(&2), "{seen:?}");
    }
}

#[test]
fn limits_of_what_is_used_up() {
    if !is_supported() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let confine = Confine::new().write(folder.path()).open_files(40).file_size(1000);
    let py = confined(confine.processes(500).cpu_time(Duration::from_secs(3000)));
    let limits: Vec<Vec<i64>> = ["NOFILE", "FSIZE", "NPROC", "CPU"]
        .iter()
        .map(|name| {
            let code =
                format!("__import__('resource').getrlimit(__import__('resource').RLIMIT_{name})");
            py.call("builtins", "eval", (code,)).wait().unwrap()
        })
        .collect();
    assert_eq!(limits, [[40, 40], [1000, 1000], [500, 500], [3000, 3000]]);
    let file = folder.path().join("file");
    let error = run(&py, &format!("f = open({file:?}, 'wb'); f.write(bytes(2000)); f.close()"))
        .unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "OSError");
    let error = run(&py, "[open('/dev/null') for _ in range(50)]").unwrap_err();
    assert_eq!(error.python().unwrap().type_name(), "OSError");
}

#[test]
fn forked_workers_are_confined_with_their_fork_server() {
    if !is_supported() {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let pool = Pool::new().workers(2).preload("json").fork_server(true);
    let confine = Confine::new().open_files(50);
    let py = quiet().pool("default", pool.confine(confine)).build().unwrap();
    for _ in 0..4 {
        is_denied(run(&py, &open(file.path(), "r")));
        is_denied(run(&py, &make("socket.AF_INET")));
        let code = "__import__('resource').getrlimit(__import__('resource').RLIMIT_NOFILE)";
        let limit: (i64, i64) = py.call("builtins", "eval", (code,)).wait().unwrap();
        assert_eq!(limit, (50, 50));
        kill(worker_pid(&py));
        eventually("there is another worker", || py.exec("gc", "collect", ()).wait().is_ok());
    }
}

#[test]
fn workers_live_as_long_as_the_bridge_and_no_longer() {
    if !is_supported() {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let py = confined(Confine::new());
    let pid = worker_pid(&py);
    // The kernel has been told by then to end the worker with the thread that has started it.
    let code = "next(line for line in iter(lambda: open('/proc/self/status').read(), 0))";
    let _: String = py.call("builtins", "eval", (code,)).wait().unwrap();
    run(&py, "import time; time.sleep(0.4)").unwrap();
    assert_eq!(worker_pid(&py), pid);
    kill(pid);
    eventually("there is another worker", || py.exec("gc", "collect", ()).wait().is_ok());
    let next = worker_pid(&py);
    assert_ne!(next, pid);
    is_denied(run(&py, &open(file.path(), "r")));
    py.shutdown();
    assert!(!is_running(next));
    drop(py);
    eventually("the thread has ended", || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names =
            threads.map(|it| std::fs::read_to_string(it.path().join("comm")).unwrap_or_default());
        // Those of other tests may be there.
        names.filter(|name| name.starts_with("snakebridge-con")).count() < 100
    });
}

#[test]
fn pools_of_one_bridge() {
    if !is_supported() {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let py = quiet()
        .confine(Confine::new())
        .pool("second", Pool::new())
        .pool("granted", Pool::new().confine(Confine::new().read(file.path())))
        .pool("free", Pool::new().confine(None))
        .build()
        .unwrap();
    let in_pool =
        |pool: &str| py.exec("builtins", "exec", (open(file.path(), "r"),)).pool(pool).wait();
    is_denied(in_pool("default"));
    is_denied(in_pool("second"));
    in_pool("granted").unwrap();
    in_pool("free").unwrap();
}

#[test]
fn what_cannot_be_granted_is_an_error_at_once() {
    let error = |confine| -> Error { quiet().confine(confine).build().unwrap_err() };
    let confine = || Confine::new().best_effort(true);
    for confine in [confine().read("/no/such/file"), confine().write("/no/such/file")] {
        let error = error(confine);
        assert_eq!(error.kind(), ErrorKind::Config);
        let expected =
            "workers cannot be granted `/no/such/file`: No such file or directory (os error 2)";
        assert_eq!(error.to_string(), expected);
    }
    if !ConfineSupport::of_kernel().files {
        let error = error(Confine::new());
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("no Landlock for files"), "{error}");
    }
}

#[test]
fn best_effort_works_everywhere() {
    let py = confined(Confine::new().best_effort(true).connect(80));
    let root: f64 = py.call("math", "sqrt", (16,)).wait().unwrap();
    assert_eq!(root, 4.0);
    if is_supported() {
        is_denied(run(&py, "open('/etc/shadow')"));
        is_denied(run(&py, &make("socket.AF_UNIX")));
    }
    let _: Value = py.get("os", "sep").wait().unwrap();
}

#[test]
fn locks_of_multiprocessing_are_files() {
    if !is_supported() {
        return;
    }
    let code = "import multiprocessing; multiprocessing.Lock(); multiprocessing.Queue().put(1)";
    is_denied(run(&confined(Confine::new()), code));
    run(&confined(Confine::new().write("/dev/shm")), code).unwrap();
}
