//! Tests of `cluster`: real sockets on loopback, honest processes and strangers.

use super::handshake::{Purpose, accept, connect};
use super::*;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::thread::{JoinHandle, spawn};

const PATIENCE: Duration = Duration::from_secs(20);

/// Nonces that are never the same; what chance they have does not matter here.
fn nonces() -> Nonces {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Arc::new(|| {
        let mut nonce = [7; 32];
        nonce[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Ok(nonce)
    })
}

/// The processes of a job, each with what it heard of losses.
struct Job {
    members: Vec<Membership>,
    losses: Vec<Arc<Mutex<Vec<String>>>>,
}

fn job(processes: usize) -> Job {
    let free = |_| TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners: Vec<_> = (0..processes).map(free).collect();
    let hosts: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let losses: Vec<Arc<Mutex<Vec<String>>>> = hosts.iter().map(|_| Arc::default()).collect();
    let member = |index: usize| {
        let heard = losses[index].clone();
        Membership {
            hosts: hosts.clone(),
            index,
            secret: Secret::new(*b"sixteen bytes or more"),
            run: run_id(&BTreeMap::new(), processes, 1),
            start_timeout: PATIENCE,
            peer_timeout: PATIENCE,
            nonces: nonces(),
            stop: Arc::default(),
            lost: Arc::new(move |what| heard.lock().unwrap().push(what.to_owned())),
        }
    };
    Job { members: (0..processes).map(member).collect(), losses }
}

type Running = JoinHandle<Result<Option<(Gathered, Mesh)>, Error>>;

/// Runs a process up to its mesh; the first one says `word`.
fn start(member: &Membership, generation: u64, word: &[u8]) -> Running {
    let (member, word) = (member.clone(), word.to_vec());
    spawn(move || {
        let gathered = if member.index == 0 { member.lead()?.gather(generation, word) } else { member.join() };
        let Some(mut gathered) = gathered? else { return Ok(None) };
        Ok(gathered.mesh()?.map(|mesh| (gathered, mesh)))
    })
}

fn meet(running: Vec<Running>) -> Vec<(Gathered, Mesh)> {
    running.into_iter().map(|process| process.join().unwrap().unwrap().expect("nobody was told to stop")).collect()
}

/// Every process can tell every other one something over the connection for records.
fn assert_connected(meshes: &[(Gathered, Mesh)]) {
    for (own, (_, mesh)) in meshes.iter().enumerate() {
        for (other, socket) in mesh.sockets.iter().enumerate() {
            assert_eq!(socket.is_none(), own == other);
            if let Some(mut socket) = socket.as_ref() {
                socket.write_all(&[own as u8, other as u8]).unwrap();
            }
        }
    }
    for (own, (_, mesh)) in meshes.iter().enumerate() {
        for (other, socket) in mesh.sockets.iter().enumerate() {
            let Some(mut socket) = socket.as_ref() else { continue };
            let mut said = [0; 2];
            socket.read_exact(&mut said).unwrap();
            assert_eq!(said, [other as u8, own as u8]);
            assert!(socket.nodelay().unwrap() && socket.read_timeout().unwrap().is_none());
        }
    }
}

fn dial(member: &Membership) -> TcpStream {
    let waiting = Stopwatch::start();
    loop {
        match TcpStream::connect(&member.hosts[0]) {
            Ok(stream) => return stream,
            Err(error) => assert!(waiting.elapsed() < PATIENCE, "{error}"),
        }
    }
}

/// Waits until the other side has hung up, and gives what it had said.
fn until_hung_up(mut stream: TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => said,
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = Stopwatch::start();
    while !holds() {
        assert!(waiting.elapsed() < PATIENCE, "still not: {what}");
        pause(LOOK);
    }
}

#[test]
fn processes_find_each_other_and_part_in_order() {
    let Job { members, losses } = job(3);
    let met = meet(members.iter().map(|member| start(member, 7, b"snapshot 12")).collect());
    for (gathered, mesh) in &met {
        assert_eq!((gathered.generation(), gathered.word()), (7, &b"snapshot 12"[..]));
        assert_eq!(mesh.processes(), 3);
    }
    assert_connected(&met);
    for (gathered, _) in met.into_iter().rev() {
        gathered.leave();
    }
    assert!(losses.iter().all(|heard| heard.lock().unwrap().is_empty()), "an end is no loss: {losses:?}");
}

#[test]
fn a_secret_prints_as_stars() {
    assert_eq!(format!("{:?}", Secret::new(*b"hunter2")), "***");
}

#[test]
fn a_run_is_known_by_all_that_must_agree() {
    let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let ids = [
        run_id(&one("a", "bc"), 2, 1),
        run_id(&one("ab", "c"), 2, 1),
        run_id(&one("a", "bc"), 1, 2),
        run_id(&BTreeMap::new(), 2, 1),
    ];
    let different: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), ids.len());
    assert_eq!(run_id(&one("a", "bc"), 2, 1), ids[0]);
}

/// What a stranger says to a door before the job has met; the door has to hang up on all of them.
fn strangers(members: &[Membership]) -> Vec<JoinHandle<Vec<u8>>> {
    let knock = |said: Vec<u8>| {
        let member = members[0].clone();
        spawn(move || {
            let mut stream = dial(&member);
            // An error says that the door has hung up before the end.
            let _ = stream.write_all(&said);
            until_hung_up(stream)
        })
    };
    let shake = |change: fn(&mut Membership), purpose: Purpose, generation: Option<u64>| {
        let mut member = members[1].clone();
        change(&mut member);
        spawn(move || {
            let stream = dial(&member);
            let refused = connect(&stream, &member.terms(), 0, purpose, generation, [1; 32]);
            assert!(refused.is_err(), "a stranger was let in");
            until_hung_up(stream)
        })
    };
    vec![
        knock(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(10)),
        knock(vec![0; 4_096]),
        knock(vec![0xff; 4_096]),
        knock(1u64.to_le_bytes().to_vec()),
        shake(|member| member.secret = Secret::new(*b"another secret that is long"), Purpose::Control, None),
        shake(|member| member.run = [9; 32], Purpose::Control, None),
        shake(|member| member.index = 0, Purpose::Control, None),
        shake(|member| member.index = 3, Purpose::Control, None),
        shake(|member| member.index = usize::MAX >> 32, Purpose::Data, Some(7)),
        shake(|_| (), Purpose::Data, Some(6)),
        shake(|_| (), Purpose::Data, Some(8)),
        shake(|_| (), Purpose::Control, Some(7)),
    ]
}

#[test]
fn strangers_are_dropped_and_disturb_nobody() {
    let Job { members, losses } = job(3);
    let leader = start(&members[0], 7, b"word");
    let silent: Vec<_> = (0..CROWD).map(|_| dial(&members[0])).collect();
    for stranger in strangers(&members) {
        let said = stranger.join().unwrap();
        assert!(!said.windows(4).any(|part| part == b"word"), "a stranger was told the word");
    }
    let met = meet(vec![leader, start(&members[1], 0, b""), start(&members[2], 0, b"")]);
    assert_connected(&met);
    drop(silent);
    assert!(losses.iter().all(|heard| heard.lock().unwrap().is_empty()));
}

/// More silent strangers than there may be handshakes at once.
const CROWD: usize = 2 * crate::limits::CLUSTER_HANDSHAKES_MAX;

#[test]
fn a_second_connection_of_one_process_is_dropped() {
    let Job { members, losses } = job(3);
    let leader = start(&members[0], 7, b"");
    let mut first = members[1].clone().join().unwrap().unwrap();
    let again = connect(&dial(&members[0]), &members[1].terms(), 0, Purpose::Control, None, [2; 32]);
    assert!(again.is_err_and(|refusal| refusal.proved), "refused although it knows the secret");
    let first = spawn(move || Ok(first.mesh()?.map(|mesh| (first, mesh))));
    let met = meet(vec![leader, first, start(&members[2], 0, b"")]);
    assert_connected(&met);
    assert!(losses.iter().all(|heard| heard.lock().unwrap().is_empty()));
}

#[test]
fn what_was_said_once_is_worth_nothing_again() {
    let Job { members, .. } = job(2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Listens in on an honest handshake.
    let (member, recorded) = (members[0].clone(), Arc::new(Mutex::new(Vec::new())));
    let record = recorded.clone();
    let between = spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = dial(&member);
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        spawn(move || {
            let mut bytes = [0; 1_024];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                record.lock().unwrap().extend_from_slice(&bytes[..read]);
                to.write_all(&bytes[..read]).unwrap();
            }
            let _ = to.shutdown(Shutdown::Both);
        });
        let (mut from, mut to) = (server, client);
        spawn(move || std::io::copy(&mut from, &mut to));
    });
    let leader = members[0].clone();
    let host_terms = leader.terms();
    let open = || {
        let door = Door::open(TcpListener::bind(&leader.hosts[0]).unwrap(), &leader).unwrap();
        door.tell(7, b"word".to_vec());
        door
    };
    let door = open();
    let stream = TcpStream::connect(address).unwrap();
    let (generation, word) = connect(&stream, &members[1].terms(), 0, Purpose::Control, None, [3; 32]).unwrap();
    assert_eq!((generation, word.as_slice(), host_terms.index), (7, &b"word"[..], 0));
    between.join().unwrap();
    drop(door);
    // A new door, as after a restart: the seat is free, only the nonce is another.
    let door = open();
    let mut stream = dial(&leader);
    stream.write_all(&recorded.lock().unwrap()).unwrap();
    let said = until_hung_up(stream);
    assert_eq!(said.len(), 40, "after the welcome nothing was said");
    assert!(door.next().is_none());
}

#[test]
fn who_connects_finds_out_a_false_host() {
    let Job { members, .. } = job(2);
    let terms = members[1].terms();
    let with = |serve: fn(TcpStream, Membership)| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let member = members[0].clone();
        let serving = spawn(move || serve(listener.accept().unwrap().0, member));
        let stream = TcpStream::connect(address).unwrap();
        let refused = connect(&stream, &terms, 0, Purpose::Control, None, [4; 32]).unwrap_err();
        drop(stream);
        serving.join().unwrap();
        refused.why
    };
    let says = |serve: fn(TcpStream, Membership), part: &str| {
        let why = with(serve);
        assert!(why.contains(part), "{why}");
    };
    says(|stream, _| drop(stream), "hung up");
    says(
        |mut stream, _| {
            stream.write_all(&[0; 40]).unwrap();
            // A word longer than any is not even read.
            stream.write_all(&u32::MAX.to_be_bytes()).unwrap();
            until_hung_up(stream);
        },
        "a word of 4294967295 bytes",
    );
    says(
        |mut stream, _| {
            stream.write_all(&[0; 40 + 4 + 32]).unwrap();
            until_hung_up(stream);
        },
        "does not know the secret",
    );
    says(
        |stream, mut member| {
            member.secret = Secret::new(*b"another secret that is long");
            let terms = member.terms();
            let host = super::handshake::Host { terms: &terms, generation: 7, word: b"" };
            assert!(accept(&stream, &host, [5; 32], |_, _| true).is_err());
        },
        "hung up",
    );
}

/// Two processes that have met, the second one given as its bare control connection.
fn leader_and_wire(job: &Job) -> (Gathered, TcpStream) {
    let leader = start(&job.members[0], 7, b"");
    let stream = dial(&job.members[0]);
    connect(&stream, &job.members[1].terms(), 0, Purpose::Control, None, [6; 32]).unwrap();
    let data = dial(&job.members[0]);
    connect(&data, &job.members[1].terms(), 0, Purpose::Data, Some(7), [7; 32]).unwrap();
    let (gathered, _) = leader.join().unwrap().unwrap().unwrap();
    (gathered, stream)
}

#[test]
fn silence_is_a_loss_and_so_is_a_sudden_end() {
    let mut silent = job(2);
    silent.members[0].peer_timeout = Duration::from_millis(300);
    let (gathered, wire) = leader_and_wire(&silent);
    let heard = |job: &Job| job.losses[0].lock().unwrap().first().cloned().unwrap_or_default();
    until("silence is noticed", || heard(&silent).contains("process 1 gave no sign of life for 300ms"));
    drop((gathered, wire));

    let sudden = job(2);
    let (gathered, wire) = leader_and_wire(&sudden);
    drop(wire);
    until("the end is noticed", || heard(&sudden).contains("process 1 has ended"));
    drop(gathered);

    let babbling = job(2);
    let (gathered, mut wire) = leader_and_wire(&babbling);
    wire.write_all(b"?").unwrap();
    until("nonsense is noticed", || heard(&babbling).contains("nobody understands"));
    drop(gathered);
}

#[test]
fn signs_of_life_and_goodbyes_are_no_loss() {
    let mut quick = job(2);
    for member in &mut quick.members {
        member.peer_timeout = Duration::from_millis(400);
    }
    let mut met = meet(quick.members.iter().map(|member| start(member, 1, b"")).collect());
    let since = Stopwatch::start();
    until("three times the patience is over", || since.elapsed() > Duration::from_millis(1_200));
    assert!(quick.losses.iter().all(|heard| heard.lock().unwrap().is_empty()), "{:?}", quick.losses);
    // Being told to stop reaches the first process.
    assert!(!quick.members[0].stop.load(Ordering::SeqCst));
    quick.members[1].stop.store(true, Ordering::SeqCst);
    until("the wish to stop is heard", || quick.members[0].stop.load(Ordering::SeqCst));
    let (leader, _mesh) = met.remove(0);
    leader.leave();
    until("the goodbye is heard", || met[0].0.links.left());
    assert!(quick.losses.iter().all(|heard| heard.lock().unwrap().is_empty()), "{:?}", quick.losses);
}

#[test]
fn nobody_waits_for_ever() {
    let mut alone = job(3);
    for member in &mut alone.members {
        member.start_timeout = Duration::from_millis(200);
    }
    let refused = |member: &Membership| start(member, 1, b"").join().unwrap().map(|_| ()).unwrap_err().to_string();
    let told = refused(&alone.members[0]);
    assert!(told.contains("waited 200ms for process 1, 2"), "{told}");
    let told = refused(&alone.members[1]);
    assert!(told.contains("for process 0 at 127.0.0.1:"), "{told}");
    let taken = TcpListener::bind(&alone.members[2].hosts[2]).unwrap();
    let told = refused(&alone.members[2]);
    assert!(told.contains("process 2 cannot listen on"), "{told}");
    drop(taken);
}

#[test]
fn who_is_told_to_stop_while_waiting_stops_and_says_so() {
    let Job { members, losses } = job(3);
    let (leader, one) = (start(&members[0], 1, b""), start(&members[1], 0, b""));
    let alone = job(2);
    alone.members[1].stop.store(true, Ordering::SeqCst);
    assert!(start(&alone.members[1], 0, b"").join().unwrap().unwrap().is_none(), "nobody leads");
    members[0].stop.store(true, Ordering::SeqCst);
    members[1].stop.store(true, Ordering::SeqCst);
    assert!(leader.join().unwrap().unwrap().is_none());
    assert!(one.join().unwrap().unwrap().is_none());
    assert!(losses.iter().all(|heard| heard.lock().unwrap().is_empty()), "{losses:?}");
}

/// The time to wait for others does not run while they fetch what the job starts from, neither for the first process, which
/// cannot say yet what that is, nor for the others.
#[test]
fn who_is_fetching_a_snapshot_is_waited_for() {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let Job { mut members, losses } = job(3);
    for member in &mut members {
        (member.start_timeout, member.peer_timeout) = (TIMEOUT, Duration::from_secs(5));
    }
    let fetch = || pause(3 * TIMEOUT);
    let run = |member: Membership| {
        spawn(move || {
            let gathered = if member.index == 0 {
                let leader = member.lead()?;
                fetch();
                leader.gather(7, b"word".to_vec())
            } else {
                let index = member.index;
                let gathered = member.join();
                // One of them has little to fetch.
                (index == 1).then(fetch);
                gathered
            };
            let mut gathered = gathered?.expect("nobody was told to stop");
            Ok(gathered.mesh()?.map(|mesh| (gathered, mesh)))
        })
    };
    // The first one is there before the others come, who would wait for it in vain.
    let leader = run(members.remove(0));
    pause(TIMEOUT / 3);
    let met = meet([leader].into_iter().chain(members.into_iter().map(run)).collect());
    assert_connected(&met);
    assert!(losses.iter().all(|heard| heard.lock().unwrap().is_empty()), "{losses:?}");
}

/// While it fetches, the first process says so to those alone who know the secret, lets in nobody, and one that has ended
/// is not waited for.
#[test]
fn a_leader_that_is_not_ready_lets_nobody_in_and_is_not_waited_for_once_it_is_gone() {
    let Job { mut members, .. } = job(3);
    let leader = members[0].clone().lead().unwrap();
    let call = |member: &Membership, purpose, generation| {
        connect(&dial(&members[0]), &member.terms(), 0, purpose, generation, [8; 32])
    };
    for _ in 0..2 {
        assert_eq!(call(&members[1], Purpose::Control, None).unwrap(), (0, Vec::new()), "it is to come again");
    }
    assert!(call(&members[1], Purpose::Data, Some(0)).is_err());
    assert!(call(&members[1], Purpose::Data, Some(1)).is_err());
    let stranger = Membership { secret: Secret::new(*b"another secret that is long"), ..members[1].clone() };
    assert!(call(&stranger, Purpose::Control, None).is_err());
    assert!(leader.door.next().is_none());
    drop(leader);
    members[1].start_timeout = Duration::from_millis(200);
    let told = start(&members[1], 0, b"").join().unwrap().map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("for process 0 at 127.0.0.1:"), "{told}");
}
