//! How a test runs the program: real processes, folders and signals. Owned here: starting, waiting
//! with a deadline, ending, and reading outputs. Not owned here: what is asserted of them.

use crate::scratch;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// One look at a condition that is waited for, and the next.
pub const TICK: Duration = Duration::from_millis(5);

/// A folder that is gone after the test.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Place(scratch::folder())
    }

    /// One that is not in memory.
    pub fn on_disk() -> Self {
        Place(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }

    /// Lines, each with its end.
    pub fn write_lines(&self, name: &str, lines: &[String]) -> PathBuf {
        self.write(name, lines.iter().map(|line| format!("{line}\n")).collect::<String>())
    }

    /// A job by a file of settings: `source` stands in its source, `sections` after it.
    pub fn config(&self, name: &str, inputs: &[PathBuf], source: &str, sections: &str) -> Config {
        let data_dir = self.path(name);
        let file = self.path(&format!("{name}.toml"));
        Config {
            data_dir,
            file,
            inputs: inputs.to_vec(),
            source: source.to_owned(),
            sections: sections.to_owned(),
            control: Vec::new(),
            tor_list: None,
            job: String::new(),
            environment: Vec::new(),
        }
    }

    /// A job over these inputs whose data folder has this name.
    pub fn job(&self, name: &str, inputs: &[PathBuf]) -> Job {
        Job { data_dir: self.path(name), inputs: inputs.to_vec(), ..Job::default() }
    }
}

/// A command line of `aerie run`.
#[derive(Clone, Default)]
pub struct Job {
    pub data_dir: PathBuf,
    pub inputs: Vec<PathBuf>,
    pub control: Vec<PathBuf>,
    pub tor_list: Option<PathBuf>,
    pub workers: Option<usize>,
    pub more: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl Job {
    pub fn control(mut self, file: &Path) -> Self {
        self.control.push(file.to_owned());
        self
    }

    pub fn tor_list(mut self, file: &Path) -> Self {
        self.tor_list = Some(file.to_owned());
        self
    }

    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    pub fn with(mut self, more: &[&str]) -> Self {
        self.more.extend(more.iter().map(|word| (*word).to_owned()));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same job in another data folder beside this one.
    pub fn beside(&self, name: &str) -> Self {
        Job { data_dir: self.data_dir.with_file_name(name), ..self.clone() }
    }

    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["run".to_owned(), "--json".to_owned()];
        let mut add = |flag: &str, paths: &[PathBuf]| {
            if !paths.is_empty() {
                words.push(flag.to_owned());
                words.extend(paths.iter().map(|path| path.display().to_string()));
            }
        };
        add("--input", &self.inputs);
        add("--control", &self.control);
        add("--tor-list", self.tor_list.as_slice());
        add("--data-dir", std::slice::from_ref(&self.data_dir));
        if let Some(workers) = self.workers {
            words.extend(["--workers".to_owned(), workers.to_string()]);
        }
        words.extend(self.more.iter().cloned());
        words
    }

    pub fn start(&self) -> Running {
        start_in(&self.words(), &self.data_dir, &self.environment)
    }

    /// Runs to whatever end.
    pub fn end(&self) -> Ended {
        self.start().wait()
    }

    /// Runs to a good end, and gives the totals.
    pub fn run(&self) -> Totals {
        self.end().done().totals()
    }
}

/// A job by a file of settings.
#[derive(Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    file: PathBuf,
    inputs: Vec<PathBuf>,
    source: String,
    sections: String,
    control: Vec<PathBuf>,
    tor_list: Option<PathBuf>,
    job: String,
    environment: Vec<(String, String)>,
}

impl Config {
    pub fn control(mut self, file: &Path) -> Self {
        self.control.push(file.to_owned());
        self
    }

    pub fn tor_list(mut self, file: &Path) -> Self {
        self.tor_list = Some(file.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lines of `[job]`.
    pub fn settings(mut self, lines: &str) -> Self {
        self.job = lines.to_owned();
        self
    }

    /// Other sections after the source.
    pub fn sections(mut self, sections: &str) -> Self {
        self.sections = sections.to_owned();
        self
    }

    /// Without a variable that was set.
    pub fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(set, _)| set != name);
        self
    }

    /// The job file, once it was started.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Writes the file and starts the job.
    pub fn start(&self) -> Running {
        let paths = |paths: &[PathBuf]| {
            let quoted: Vec<_> = paths.iter().map(|path| format!("{:?}", path.display().to_string())).collect();
            format!("[{}]", quoted.join(", "))
        };
        let exits = self.tor_list.as_ref().map(|path| format!("tor_list = {:?}\n", path.display().to_string()));
        let text = format!(
            "control = {}\n{}[job]\ndata_dir = {:?}\n{}\n[http]\nlisten = \"127.0.0.1:0\"\n[[source]]\nkind = \"file\"\n\
             paths = {}\n{}\n{}\n",
            paths(&self.control),
            exits.unwrap_or_default(),
            self.data_dir.display().to_string(),
            self.job,
            paths(&self.inputs),
            self.source,
            self.sections,
        );
        fs::write(&self.file, text).expect("a file can be written");
        start_in(&["run", "--json", "--config", &self.file.display().to_string()], &self.data_dir, &self.environment)
    }
}

/// The program with these words. No test meets another's settings, or its port.
pub fn command(words: &[impl AsRef<str>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aerie"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AERIE_")) {
        command.env_remove(name);
    }
    command.env("AERIE__HTTP__LISTEN", "127.0.0.1:0").env("TMPDIR", scratch::base());
    command.args(words.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn aerie(words: &[impl AsRef<str>]) -> Ended {
    let place = Place::new();
    start(words, &place.path("of")).wait()
}

/// Starts a command; what it says goes to files beside `near`.
pub fn start(words: &[impl AsRef<str>], near: &Path) -> Running {
    start_in(words, near, &[])
}

/// [`start`] with these variables in the environment.
pub fn start_in(words: &[impl AsRef<str>], near: &Path, environment: &[(String, String)]) -> Running {
    start_fed(words, near, environment, Stdio::null())
}

/// [`start_in`] with this stdin.
pub fn start_fed(
    words: &[impl AsRef<str>],
    near: &Path,
    environment: &[(String, String)],
    stdin: impl Into<Stdio>,
) -> Running {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    let stream = |kind: &str| near.with_extension(format!("{number}.{kind}"));
    let (out, err) = (stream("stdout"), stream("stderr"));
    let create = |path: &Path| File::create(path).expect("a file can be made");
    let mut command = command(words);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let child = command.stdin(stdin).stdout(create(&out)).stderr(create(&err)).spawn().expect("the program starts");
    let what = words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ");
    Running { child, out, err, what, grace: PATIENCE }
}

/// A process that runs; it is killed when the test lets go of it.
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    what: String,
    grace: Duration,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The other end of its stdin, if that is a pipe.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("its stdin is a pipe")
    }

    pub fn stderr_file(&self) -> PathBuf {
        self.err.clone()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap_or_default()).into_owned()
    }

    /// Waits longer than usual for it.
    pub fn patient(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Waits until the condition holds. False if the process ended before.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + self.grace;
        loop {
            if holds() {
                return true;
            }
            if self.child.try_wait().expect("a child can be waited for").is_some() {
                return holds();
            }
            if Instant::now() > deadline {
                panic!("after {:?} still not: {what}\naerie {}\n{}", self.grace, self.what, self.stderr());
            }
            std::thread::sleep(TICK);
        }
    }

    /// Waits until the condition holds, while the process runs.
    pub fn running_until(&mut self, what: &str, holds: impl FnMut() -> bool) {
        assert!(self.until(what, holds), "ended before: {what}\naerie {}\n{}", self.what, self.stderr());
    }

    /// Waits for the process to end by itself.
    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + self.grace;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
                let (stdout, stderr) = (read(&self.out), read(&self.err));
                return Ended { what: std::mem::take(&mut self.what), code: status.code(), stdout, stderr };
            }
            if Instant::now() > deadline {
                panic!("after {:?} still runs: aerie {}\n{}", self.grace, self.what, self.stderr());
            }
            std::thread::sleep(TICK);
        }
    }

    /// SIGKILL. False if the process had ended by itself.
    pub fn kill(mut self) -> bool {
        if self.child.try_wait().expect("a child can be waited for").is_some() {
            return false;
        }
        self.child.kill().expect("an own child can be killed");
        self.child.wait().expect("a child can be waited for").code().is_none()
    }

    /// SIGTERM, and what came of it.
    pub fn terminate(self) -> Ended {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid())]).status();
        assert!(sent.expect("a shell starts").success() || !self.is_running(), "no signal could be sent");
        self.wait()
    }

    fn is_running(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid())).exists()
    }

    /// Where it serves HTTP, as it says on stderr.
    pub fn address(&mut self) -> SocketAddr {
        let err = self.err.clone();
        let said = || address_in(&String::from_utf8_lossy(&fs::read(&err).unwrap_or_default()));
        self.running_until("the address of its HTTP server on stderr", || said().is_some());
        said().expect("it was there")
    }
}

/// Most memory that a running process ever had resident, in bytes.
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

fn address_in(text: &str) -> Option<SocketAddr> {
    let after = text.split("127.0.0.1:").skip(1);
    let ports = after.filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok().filter(|port| *port != 0)
    });
    ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).next()
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process said and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub what: String,
    /// `None` after a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "aerie {}\n{}", self.what, self.stderr);
        self
    }

    /// It ended with this code and a sentence on stderr that has each of these words; no panic, no trace.
    #[track_caller]
    pub fn refused(self, code: i32, words: &[&str]) -> Self {
        let Ended { what, stderr, .. } = &self;
        assert_eq!(self.code, Some(code), "aerie {what}\n{stderr}");
        for word in words {
            assert!(stderr.contains(word), "`{word}` is not in what it says\naerie {what}\n{stderr}");
        }
        for noise in ["panicked at", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!stderr.contains(noise), "this is no sentence for a person\naerie {what}\n{stderr}");
        }
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: aerie {}\n{}", self.what, self.stdout))
    }

    #[track_caller]
    pub fn totals(&self) -> Totals {
        Totals(self.json())
    }
}

/// The last line of `aerie run --json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals(pub Value);

impl Totals {
    #[track_caller]
    pub fn of(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no number `{name}` in {}", self.0))
    }

    /// Received = applied + duplicate + too late + rejected, and late is within applied.
    #[track_caller]
    pub fn assert_conserved(&self) {
        let parts = ["applied", "duplicate", "too_late", "rejected"].map(|name| self.of(name));
        assert_eq!(self.of("received"), parts.iter().sum::<u64>(), "{}", self.0);
        assert!(self.of("late") <= self.of("applied"), "{}", self.0);
    }
}

/// A GET: status, and body.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the server accepts connections");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .expect("a request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}

/// The value of a metric with these labels; none if it is not there.
pub fn metric(page: &str, series: &str) -> Option<u64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    line.trim().parse::<f64>().ok().map(|value| value as u64)
}

/// Chance with a seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}
