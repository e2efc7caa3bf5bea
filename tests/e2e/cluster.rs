//! The promise: over however many processes a job runs, and whichever of them is lost at whatever moment, what is left
//! in the end is what one undisturbed process leaves. Strangers at the ports disturb nothing, and a process of before
//! that comes back can do nothing.

use crate::crash::{assert_each_once, newest};
use crate::inputs::Sample;
use crate::outputs::Outputs;
use crate::support::{Dice, Job, PATIENCE, Place, Running, TICK, Totals, get, metric, start_in};
use engine::state::RowKey;
use operators::sample::Plan;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

const PLAN: Plan = Plan { seed: 61, orgs: 2, users: 16, days: 2 };
const SNAPSHOT_EVERY: [&str; 2] = ["--snapshot-every", "30ms"];

/// What one undisturbed process makes of the plan, and what it was made from.
struct Alone {
    sample: Sample,
    totals: Totals,
    outputs: Outputs,
}

/// Once for all tests of this module.
fn alone() -> &'static Alone {
    static ALONE: OnceLock<Alone> = OnceLock::new();
    ALONE.get_or_init(|| {
        let place = Place::new();
        let sample = Sample::of(PLAN);
        let job = sample.whole(&place, "alone").workers(1);
        let totals = job.run();
        totals.assert_conserved();
        let outputs = outputs(&job.data_dir);
        assert!(outputs.responses().len() > 3, "too little to compare: {totals:?}");
        Alone { sample, totals, outputs }
    })
}

/// What a job left, with the place of its files taken out of it.
fn outputs(data_dir: &Path) -> Outputs {
    let place = data_dir.parent().expect("it has one").display().to_string();
    let outputs = Outputs::of(data_dir);
    let (dead_letter, late) = (outputs.dead_letter.replace(&place, ""), outputs.late.replace(&place, ""));
    Outputs { dead_letter, late, ..outputs }
}

/// The plan's job over so many processes, one worker each.
fn job(place: &Place, processes: usize) -> Job {
    let job = alone().sample.whole(place, "data").workers(1).with(&SNAPSHOT_EVERY);
    job.with(&["--processes", &processes.to_string()])
}

#[track_caller]
fn assert_same(data_dir: &Path, totals: &Totals, what: &str) {
    assert_eq!(*totals, alone().totals, "{what}");
    let outputs = outputs(data_dir);
    outputs.assert_same(&alone().outputs, what);
    assert_each_once(data_dir, &outputs);
}

/// Processes whose command line has all of these words, by what stands after `--member` in it.
fn members(words: &[&str]) -> Vec<(u32, usize)> {
    let of = |entry: std::io::Result<fs::DirEntry>| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let index = line.iter().position(|word| word == "--member")?;
        let all = words.iter().all(|word| line.iter().any(|found| found == word));
        all.then_some((pid, line.get(index + 1)?.parse().ok()?))
    };
    let mut found: Vec<_> = fs::read_dir("/proc").expect("there is /proc").filter_map(of).collect();
    found.sort_by_key(|(_, index)| *index);
    found
}

/// The processes of a job by its data folder, the first one first.
fn children(data_dir: &Path) -> Vec<u32> {
    members(&[&data_dir.display().to_string()]).into_iter().map(|(pid, _)| pid).collect()
}

/// Sends a signal; it may be gone already.
fn signal(name: &str, pid: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid} 2>/dev/null")]).status();
    sent.expect("a shell starts");
}

/// Waits for a condition that no process of ours can end before.
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(TICK);
    }
}

#[test]
fn the_outcome_is_the_same_at_any_number_of_processes() {
    for (processes, workers) in [(2, 1), (2, 2), (3, 1)] {
        let place = Place::new();
        let job = job(&place, processes).workers(workers);
        let totals = job.run();
        assert_same(&job.data_dir, &totals, &format!("{processes} processes with {workers} workers"));
        assert_eq!(job.end().done().totals(), totals, "a complete job has nothing to do");
    }
}

/// Kills the n-th process once there are two more snapshots. False if the job was over before.
fn kill(running: &mut Running, data_dir: &Path, index: usize, name: &str) -> bool {
    let before = newest(data_dir);
    let came = running.until("two new snapshots", || newest(data_dir) >= before + 2);
    let children = children(data_dir);
    let Some(child) = children.get(index).filter(|_| came) else { return false };
    signal(name, *child);
    true
}

#[test]
fn a_killed_process_costs_nothing_whichever_it_is() {
    let place = Place::new();
    let job = job(&place, 2);
    let mut running = job.start();
    assert!(kill(&mut running, &job.data_dir, 1, "KILL"), "over too soon");
    running.running_until("the first restart", || running_says(&place, "1 in a row"));
    assert!(kill(&mut running, &job.data_dir, 0, "KILL"), "over too soon");
    let ended = running.wait().done();
    for index in [0, 1] {
        let told = format!("process {index} was ended by signal 9; all processes are started anew");
        assert!(ended.stderr.contains(&told), "{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("internal fault"), "{}", ended.stderr);
    assert_same(&job.data_dir, &ended.totals(), "after a kill of either process");
}

/// Whether anything that was started in this place has said so on stderr.
fn running_says(place: &Place, words: &str) -> bool {
    let folder = place.path("");
    let files = fs::read_dir(&folder).expect("the folder can be listed").filter_map(|entry| Some(entry.ok()?.path()));
    let mut said = files.filter(|path| path.extension().is_some_and(|kind| kind == "stderr"));
    said.any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(words)))
}

/// An error in one process is not a loss: it has to let go of connections that the others still hold.
#[test]
fn a_process_that_fails_is_started_anew_with_the_others() {
    let place = Place::new();
    let job = job(&place, 2);
    let mut running = job.start();
    running.running_until("two snapshots", || newest(&job.data_dir) >= 2);
    let state = job.data_dir.join("state/1");
    // Files come and go while the folder is removed.
    running.running_until("its state is gone", || fs::remove_dir_all(&state).is_ok() || !state.exists());
    let ended = running.wait().done();
    assert!(ended.stderr.contains("process 1 failed with exit code 1"), "{}", ended.stderr);
    assert!(ended.stderr.contains("(cause failed, 1 in a row)"), "{}", ended.stderr);
    assert_same(&job.data_dir, &ended.totals(), "after a process failed");
}

#[test]
fn a_process_that_stands_still_is_noticed_and_replaced() {
    let place = Place::new();
    let job = job(&place, 2);
    let file = place.write("quick.toml", "[cluster]\npeer_timeout = \"1s\"\n");
    let job = job.with(&["--config", &file.display().to_string()]);
    let mut running = job.start();
    assert!(kill(&mut running, &job.data_dir, 1, "STOP"), "over too soon");
    let ended = running.wait().done();
    assert!(ended.stderr.contains("gave no sign of life for 1s"), "{}", ended.stderr);
    assert!(ended.stderr.contains("(cause unresponsive, 1 in a row)"), "{}", ended.stderr);
    assert_same(&job.data_dir, &ended.totals(), "after a process stood still");
}

#[test]
fn a_first_process_that_stands_still_is_noticed_and_replaced() {
    let place = Place::new();
    let file = place.write("quick.toml", "[cluster]\npeer_timeout = \"500ms\"\n");
    let job = job(&place, 2).with(&["--config", &file.display().to_string()]);
    let mut running = job.start();
    assert!(kill(&mut running, &job.data_dir, 0, "STOP"), "over too soon");
    let ended = running.wait().done();
    assert!(ended.stderr.contains("process 0 gave no sign of life"), "{}", ended.stderr);
    assert!(ended.stderr.contains("(cause unresponsive, 1 in a row)"), "{}", ended.stderr);
    assert_same(&job.data_dir, &ended.totals(), "after the first process stood still");
}

/// Each file of the snapshot takes a while, and all of them take longer than one process waits for another.
#[test]
fn a_snapshot_that_takes_long_to_fetch_is_waited_for() {
    let place = Place::new();
    let file = place.write("quick.toml", "[cluster]\nstart_timeout = \"1s\"\n");
    let job = job(&place, 2).with(&["--config", &file.display().to_string()]);
    let mut running = job.start();
    running.running_until("some snapshots", || newest(&job.data_dir) >= 3);
    assert!(running.kill(), "over too soon");
    until("its processes are gone", || children(&job.data_dir).is_empty());
    let slow = job.clone().env("FAILPOINTS", "objects.download=sleep(100)");
    let since = Instant::now();
    let ended = slow.end().done();
    assert!(since.elapsed() > 3 * Duration::from_secs(1), "there was nothing to wait for");
    assert!(!ended.stderr.contains("started anew"), "{}", ended.stderr);
    assert_same(&job.data_dir, &ended.totals(), "after a slow start");
}

#[test]
fn whoever_is_killed_while_starting_the_job_gets_there() {
    let place = Place::new();
    let job = job(&place, 3);
    let mut dice = Dice::new(PLAN.seed);
    let mut running = job.start();
    for round in 1..=3 {
        running.running_until("three processes", || children(&job.data_dir).len() == 3);
        for _ in 0..dice.below(12) {
            std::thread::sleep(TICK);
        }
        let doomed: Vec<_> = children(&job.data_dir).into_iter().filter(|_| dice.one_in(2)).collect();
        let doomed = if doomed.is_empty() { children(&job.data_dir) } else { doomed };
        println!("round {round}: {} of 3", doomed.len());
        doomed.iter().for_each(|pid| signal("KILL", *pid));
        running.running_until("they are gone", || {
            let left = children(&job.data_dir);
            doomed.iter().all(|pid| !left.contains(pid))
        });
    }
    let totals = running.wait().done().totals();
    assert_same(&job.data_dir, &totals, "after kills while starting");
}

#[test]
fn with_the_parent_its_children_end() {
    let place = Place::new();
    let job = job(&place, 3);
    let mut running = job.start();
    running.running_until("a snapshot", || newest(&job.data_dir) > 1);
    assert_eq!(children(&job.data_dir).len(), 3);
    assert!(running.kill(), "over too soon");
    until("no child is left", || children(&job.data_dir).is_empty());
    let totals = job.run();
    assert_same(&job.data_dir, &totals, "after a kill of the parent");
}

#[test]
fn told_to_stop_all_stop_and_any_number_goes_on() {
    let place = Place::new();
    let job = job(&place, 3);
    let mut running = job.start();
    running.running_until("a snapshot", || newest(&job.data_dir) > 1);
    let stopped = running.terminate().done();
    stopped.totals().assert_conserved();
    assert!(children(&job.data_dir).is_empty());
    assert!(stopped.totals() != alone().totals, "over too soon");
    let totals = job.clone().with(&["--processes", "2"]).end();
    // clap takes a flag once, so that nobody wonders which of two counts.
    totals.refused(2, &["--processes"]);
    let again = Job { more: SNAPSHOT_EVERY.map(str::to_owned).to_vec(), ..job.clone() };
    let mut running = again.clone().with(&["--processes", "2"]).start();
    let before = newest(&job.data_dir);
    running.running_until("a new snapshot", || newest(&job.data_dir) > before);
    running.terminate().done();
    let totals = again.workers(2).run();
    assert_same(&job.data_dir, &totals, "after stops, at 3, 2 and 1 processes");
}

#[test]
fn restarts_and_generations_are_shown() {
    let place = Place::new();
    let job = job(&place, 2).with(&["--follow"]);
    let mut running = job.start();
    let decided = |at: usize| fs::read(job.data_dir.join("decisions.ndjson")).is_ok_and(|bytes| bytes.len() > at);
    running.running_until("decisions", || decided(0));
    signal("KILL", children(&job.data_dir)[1]);
    let mut address: Option<SocketAddr> = None;
    running.running_until("the restart", || running_says(&place, "1 in a row"));
    let deadline = Instant::now() + PATIENCE;
    while address.is_none() {
        assert!(Instant::now() < deadline, "nobody serves: {}", running.stderr());
        let text = running.stderr();
        let after = text.split("serving http://").nth(2).and_then(|after| after.split_once('\n'));
        address = after.and_then(|(address, _)| address.parse().ok());
    }
    let address = address.expect("it was there");
    running.running_until("the generation", || metric(&get(address, "/metrics").1, "aerie_generation") == Some(2));
    let page = get(address, "/metrics").1;
    assert_eq!(metric(&page, "aerie_restarts_total{cause=\"killed\"}"), Some(1), "{page}");
    assert_eq!(metric(&page, "aerie_restarts_total{cause=\"failed\"}"), Some(0), "{page}");
    running.terminate().done();
}

#[test]
fn what_no_restart_can_mend_ends_the_job_at_once() {
    let place = Place::new();
    let job = job(&place, 2);
    let totals = job.run();
    let moved = place.path("moved");
    fs::rename(job.data_dir.join("snapshots"), &moved).expect("a folder can be moved");
    let refused = job.end().refused(3, &["bring the snapshots back"]);
    assert!(!refused.stderr.contains("started anew"), "{}", refused.stderr);
    fs::remove_dir_all(job.data_dir.join("snapshots")).expect("a folder can be removed");
    fs::rename(&moved, job.data_dir.join("snapshots")).expect("a folder can be moved");
    let events = &job.inputs[0];
    let whole = fs::read(events).expect("the input can be read");
    fs::write(events, &whole[..whole.len() / 2]).expect("the input can be written");
    let refused = job.end().refused(2, &["shorter"]);
    assert!(!refused.stderr.contains("started anew"), "{}", refused.stderr);
    fs::write(events, &whole).expect("the input can be written");
    assert_eq!(job.run(), totals);
    let file = place
        .write("hosts.toml", "[cluster]\nhosts = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nindex = 0\nsecret_file = \"s\"\n");
    job.with(&["--config", &file.display().to_string()]).end().refused(2, &["job.processes", "[cluster]"]);
}

/// Addresses that nobody listens on.
fn free_ports(count: usize) -> Vec<String> {
    let free: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    free.iter().map(|port| port.local_addr().expect("it has an address").to_string()).collect()
}

/// Processes that are started one by one.
struct Hosts {
    place: Place,
    hosts: Vec<String>,
    data_dir: PathBuf,
}

impl Hosts {
    fn new(processes: usize) -> Self {
        let place = Place::new();
        let hosts = free_ports(processes);
        let data_dir = place.path("data");
        place.write("secret", "a secret that is long enough\n");
        alone().sample.whole(&place, "data");
        Hosts { place, hosts, data_dir }
    }

    /// Starts the n-th process; `change` may do something to its job file.
    fn start(&self, index: usize, change: impl Fn(String) -> String) -> Running {
        self.start_in(index, change, &[])
    }

    /// [`Hosts::start`] with these variables in its environment.
    fn start_in(&self, index: usize, change: impl Fn(String) -> String, environment: &[(String, String)]) -> Running {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let path = |name: &str| format!("{:?}", self.place.path(name).display().to_string());
        let text = format!(
            "control = [{}]\ntor_list = {}\n[job]\ndata_dir = {}\nworkers = 1\nsnapshot_every = \"30ms\"\n[[source]]\n\
             kind = \"file\"\npaths = [{}]\n[cluster]\nhosts = {:?}\nindex = {index}\nsecret_file = {}\n\
             start_timeout = \"30s\"\n",
            path("control.ndjson"),
            path("tor.txt"),
            path("data"),
            path("events.ndjson"),
            self.hosts,
            path("secret"),
        );
        let file = self.place.write(&format!("process{number}.toml"), change(text));
        let words = ["run", "--json", "--config", &file.display().to_string()];
        start_in(&words, &self.place.path(&format!("process{number}")), environment)
    }
}

#[test]
fn a_straggler_of_before_comes_back_and_does_nothing() {
    let hosts = Hosts::new(2);
    let quick = |text| text + "peer_timeout = \"1s\"\n";
    let as_it_is = |text| text;
    let (mut leader, follower) = (hosts.start(0, quick), hosts.start(1, quick));
    leader.running_until("two snapshots", || newest(&hosts.data_dir) >= 2);
    signal("STOP", follower.pid());
    leader.wait().refused(75, &["process 0 ends: process 1 gave no sign of life"]);
    let (again, other) = (hosts.start(0, as_it_is), hosts.start(1, as_it_is));
    let totals = again.wait().done().totals();
    other.wait().done();
    signal("CONT", follower.pid());
    let back = follower.wait();
    assert!(back.code == Some(75) || back.code == Some(1), "{back:?}");
    assert_same(&hosts.data_dir, &totals, "after a straggler came back");
}

/// One that stood still with lines in hand, right before it would write them: they are of a generation that is over.
#[test]
fn what_a_straggler_has_in_hand_is_never_written() {
    let writes = |processes: usize| RowKey::of(b"decisions.ndjson").group.worker(processes);
    let processes = (2..9).find(|processes| writes(*processes) > 0).expect("not always the first");
    let hosts = Hosts::new(processes);
    let straggling = writes(processes);
    let as_it_is = |text| text;
    let stall = [("FAILPOINTS".to_owned(), "output.flush=4*off->1*return(stall)->off".to_owned())];
    let mut straggler = hosts.start_in(straggling, as_it_is, &stall);
    let others: Vec<_> = (0..processes).filter(|n| *n != straggling).map(|n| hosts.start(n, as_it_is)).collect();
    let said = straggler.stderr_file();
    straggler.running_until("lines in hand", || {
        fs::read_to_string(&said).is_ok_and(|text| text.contains("fault point output.flush fired"))
    });
    signal("STOP", straggler.pid());
    others.into_iter().for_each(|other| drop(other.wait().refused(75, &["ends: "])));
    let again: Vec<_> = (0..processes).map(|n| hosts.start(n, as_it_is)).collect();
    let totals = again.into_iter().map(|process| process.wait().done()).next().expect("the first reports").totals();
    signal("CONT", straggler.pid());
    let back = straggler.wait();
    assert!(back.code == Some(75) || back.code == Some(1), "{back:?}");
    assert_same(&hosts.data_dir, &totals, "after a straggler came back with lines in hand");
}

#[test]
fn a_first_process_that_stands_still_is_noticed_by_those_that_were_started_one_by_one() {
    let hosts = Hosts::new(2);
    let as_it_is = |text| text;
    let (mut leader, follower) = (hosts.start(0, as_it_is), hosts.start(1, as_it_is));
    leader.running_until("two snapshots", || newest(&hosts.data_dir) >= 2);
    signal("STOP", leader.pid());
    follower.wait().refused(75, &["process 1 ends: process 0 gave no sign of life"]);
    // It has the data directory, so there is no other first process until it has ended.
    hosts.start(0, as_it_is).wait().refused(2, &["another aerie runs"]);
    let follower = hosts.start(1, as_it_is);
    signal("CONT", leader.pid());
    leader.wait().refused(75, &["ends: "]);
    let totals = hosts.start(0, as_it_is).wait().done().totals();
    follower.wait().done();
    assert_same(&hosts.data_dir, &totals, "after the first process came back");
}

#[test]
fn each_started_anew_by_itself_they_find_each_other_again() {
    let hosts = Arc::new(Hosts::new(2));
    let pids: [Arc<AtomicU32>; 2] = Default::default();
    let keep_up = |index: usize| {
        let (hosts, pid) = (hosts.clone(), pids[index].clone());
        std::thread::spawn(move || {
            for losses in 0.. {
                let running = hosts.start(index, |text| text);
                pid.store(running.pid(), Ordering::SeqCst);
                let ended = running.wait();
                if ended.code == Some(0) {
                    return (losses, (!ended.stdout.is_empty()).then(|| ended.totals()));
                }
                assert!(matches!(ended.code, None | Some(75)), "{ended:?}");
            }
            unreachable!("a process ends at some time")
        })
    };
    let (leader, follower) = (keep_up(0), keep_up(1));
    for index in [1, 0] {
        let before = newest(&hosts.data_dir);
        until("two new snapshots", || newest(&hosts.data_dir) >= before + 2);
        signal("KILL", pids[index].load(Ordering::SeqCst));
    }
    let (losses, totals) = leader.join().expect("it ends well");
    assert!(losses >= 2, "{losses} losses were noticed: the input is too small for this machine");
    assert_eq!(follower.join().expect("it ends well").1, None, "only the first process reports");
    assert_same(&hosts.data_dir, &totals.expect("totals"), "after kills of processes that were started one by one");
}

#[test]
fn any_process_can_be_told_to_stop() {
    let hosts = Hosts::new(2);
    let (mut leader, follower) = (hosts.start(0, |text| text), hosts.start(1, |text| text));
    leader.running_until("two snapshots", || newest(&hosts.data_dir) >= 2);
    follower.terminate().done();
    let ended = leader.wait().done();
    ended.totals().assert_conserved();
    assert!(ended.totals() != alone().totals, "over too soon");
}

/// The data of every connection's caller, up to a few hundred bytes.
type Recorded = Arc<Mutex<Vec<Vec<u8>>>>;

/// Passes connections on to `to`, and keeps what the callers say first.
fn listen_in(to: String) -> (String, Recorded) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it has an address").to_string();
    let recorded = Recorded::default();
    let record = recorded.clone();
    std::thread::spawn(move || {
        for caller in listener.incoming() {
            let Ok(mut caller) = caller else { return };
            let Ok(mut called) = TcpStream::connect(&to) else { continue };
            let (Ok(mut from), Ok(mut back)) = (called.try_clone(), caller.try_clone()) else { return };
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut back);
                let _ = back.shutdown(std::net::Shutdown::Write);
            });
            let record = record.clone();
            std::thread::spawn(move || {
                let mut said = [0; 512];
                let mut all = Vec::new();
                while let Ok(read @ 1..) = caller.read(&mut said) {
                    if all.len() < said.len() {
                        all.extend_from_slice(&said[..read]);
                        record.lock().expect("nobody panics").push(all.clone());
                    }
                    if called.write_all(&said[..read]).is_err() {
                        return;
                    }
                }
                let _ = called.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    (address, recorded)
}

/// Says something to a port, and waits until it is hung up on.
fn knock(host: &str, said: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host).expect("somebody listens");
    // An error says that it was hung up on before the end.
    let _ = stream.write_all(said);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn strangers_at_the_ports_disturb_nothing() {
    let hosts = Hosts::new(3);
    let leader = hosts.start(0, |text| text);
    until("the leader listens", || TcpStream::connect(&hosts.hosts[0]).is_ok());
    let silent: Vec<_> = (0..100).filter_map(|_| TcpStream::connect(&hosts.hosts[0]).ok()).collect();
    assert_eq!(silent.len(), 100);
    knock(&hosts.hosts[0], &[0xa5; 4_096]);
    knock(&hosts.hosts[0], &b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(9));
    knock(&hosts.hosts[0], &2u64.to_be_bytes().repeat(64));

    // One that has another secret.
    hosts.place.write("other", "another secret that is long enough\n");
    let impostor = |text: String| text.replace("/secret\"", "/other\"").replace("\"30s\"", "\"300ms\"");
    hosts.start(2, impostor).wait().refused(1, &["process 2 has waited 300ms for process 0"]);

    // The second process comes by way of somebody who listens in.
    let (between, recorded) = listen_in(hosts.hosts[0].clone());
    let first = hosts.hosts[0].clone();
    let second = hosts.start(1, move |text| text.replace(&first, &between));
    // A hello of 91 bytes and a proof of 32.
    let said = || recorded.lock().expect("nobody panics").iter().find(|said| said.len() == 123).cloned();
    until("it has proved itself", || said().is_some());
    let replayed = knock(&hosts.hosts[0], &said().expect("it was there"));
    assert_eq!(replayed.len(), 40, "what was said again got no further than the welcome");

    // Another second process, as good as the first.
    let (own, other) = (hosts.hosts[1].clone(), free_ports(1).remove(0));
    let twin = hosts.start(1, move |text| text.replace(&own, &other).replace("\"30s\"", "\"300ms\""));
    twin.wait().refused(1, &["process 1 has waited 300ms for process 0"]);

    let third = hosts.start(2, |text| text);
    let ended = leader.wait().done();
    for told in ["it speaks something else", "does not know the secret", "a second process 1"] {
        assert!(ended.stderr.contains(told), "`{told}` in {}", ended.stderr);
    }
    second.wait().done();
    third.wait().done();
    drop(silent);
    assert_same(&hosts.data_dir, &ended.totals(), "among strangers");
}

#[test]
fn a_child_without_its_parent_is_refused() {
    let place = Place::new();
    let words = ["run", "--input", "none", "--data-dir", "none", "--member", "0"];
    start_in(&words, &place.path("child"), &[("AERIE__JOB__WORKERS".to_owned(), "1".to_owned())])
        .wait()
        .refused(2, &["--processes"]);
}
