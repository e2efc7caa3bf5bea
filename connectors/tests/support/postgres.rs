//! A PostgreSQL server of a test's own, from the system's package. Owned here: starting, killing and ending it. It runs
//! as somebody else where the test is root, since PostgreSQL refuses root, and ends with the test, however that ends.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Everywhere nobody: whoever owns nothing.
const NOBODY: u32 = 65_534;

/// The server's one password.
pub const PASSWORD: &str = "hunter2-of-the-test";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with an empty database.
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    keeper: Child,
}

impl Postgres {
    /// Makes a database in `folder` and starts a server on a free port.
    pub fn start(folder: TempDir) -> Self {
        let programs = programs();
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root can give a folder away");
        }
        fs::write(folder.path().join("password"), PASSWORD).expect("a file can be written");
        let made = as_nobody(Command::new(programs.join("initdb")).current_dir(folder.path()))
            .args(["--pgdata=data", "--username=aerie", "--auth=scram-sha-256", "--pwfile=password"])
            .args(["--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions"])
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let keeper = launch(&programs, folder.path(), port);
        let mut server = Postgres { folder, programs, port, keeper };
        server.wait();
        server
    }

    /// Its URL, without the password.
    pub fn url(&self) -> String {
        format!("postgresql://aerie@127.0.0.1:{}/postgres", self.port)
    }

    /// SIGKILL: what was committed is there after a [`Postgres::restart`], and nothing else.
    pub fn kill(&mut self) {
        let pid = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).expect("the server has a number");
        let pid = pid.lines().next().unwrap_or_default().to_owned();
        let killed = Command::new("kill").args(["-9", &pid]).status().expect("kill starts");
        assert!(killed.success(), "the server had ended before");
        self.keeper.wait().expect("a child can be waited for");
    }

    /// Starts it again. What the killed one has left may be in the way for a moment.
    pub fn restart(&mut self) {
        self.keeper = launch(&self.programs, self.folder.path(), self.port);
        self.wait();
    }

    /// Whether it takes clients: who recovers from a kill answers before that, but turns everybody away.
    fn accepts(&self) -> bool {
        let mut ask = Command::new(self.programs.join("pg_isready"));
        let asked = ask.args(["--quiet", "--host=127.0.0.1", "--port", &self.port.to_string()]).status();
        asked.expect("pg_isready starts").success()
    }

    fn wait(&mut self) {
        let since = Instant::now();
        while !self.accepts() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(since.elapsed() < PATIENCE, "the server does not come up: {}", log());
            if self.keeper.try_wait().expect("a child can be waited for").is_some() {
                self.keeper = launch(&self.programs, self.folder.path(), self.port);
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its keeper hears that nobody is there any more, and ends it.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Starts a server under a shell that ends it once this process is gone. Ends when the server does.
fn launch(programs: &Path, folder: &Path, port: u16) -> Child {
    // What runs in the background of a shell has no stdin but one that it is given, and ignores SIGINT until it says
    // otherwise: a server that has only begun to start hears SIGTERM alone, one that waits for its clients SIGINT too.
    const KEEP: &str = "exec 3<&0; \"$@\" 3<&- >>log 2>&1 & server=$!; \
                        (cat <&3 >/dev/null; kill -TERM $server; kill -INT $server) & wait $server; kill $!";
    as_nobody(Command::new("sh").current_dir(folder))
        .args(["-c", KEEP, "sh"])
        .arg(programs.join("postgres"))
        .args(["-D", "data", "-F", "-h", "127.0.0.1", "-k", "", "-p", &port.to_string(), "-c", "max_connections=100"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell starts")
}

/// PostgreSQL's programs: Debian keeps them apart, by version.
fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    found.extend(versions.into_iter().rev());
    let found = found.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    let found = found.expect("PostgreSQL is installed: scripts/setup.sh does it");
    // A link stands for one program: the others lie where it leads to.
    let program = fs::canonicalize(found.join("postgres")).expect("it exists");
    program.parent().expect("a file lies in a folder").to_owned()
}

/// A port that the system gives nobody by itself: who asks again and again for one that nobody listens on is given that
/// very port for their own end in the end, is connected to themselves, and the server finds it taken.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 100).expect("it is below 100") * 100;
    let port = || 20_000 + own + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
    let mut ports = std::iter::repeat_with(port).take(100);
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a port is free")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn as_nobody(command: &mut Command) -> &mut Command {
    match is_root() {
        true => command.uid(NOBODY).gid(NOBODY),
        false => command,
    }
}
