//! The promise: state may be larger than memory. Resident memory stays within `--state-memory` and a fixed part,
//! however many users there are. `AERIE_BIG=n` sets the number of users of the smaller of two runs; the larger has four
//! times as many.

use crate::inputs::{Event, START};
use crate::support::{Place, TICK, peak_memory};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

const USERS: u64 = 100_000;
const STATE_MEMORY: u64 = 64 << 20;
/// For code, threads, sort buffers of RocksDB, batches in flight and whatever the allocator keeps.
const FIXED: u64 = 400 << 20;
const TIME: Duration = Duration::from_secs(3 * 3_600);

/// Every user comes twice, so that all of the state is read again.
fn write_events(place: &Place, users: u64) -> std::path::PathBuf {
    let path = place.path("events");
    let mut file = BufWriter::new(File::create(&path).expect("a file can be made"));
    for n in 0..2 * users {
        let (user, turn) = (n % users, n / users);
        let event = Event::new(&format!("e{n}"), START + n / 200)
            .org(&format!("E{}", user % 50))
            .user(&format!("U{user:010}"))
            .session(&format!("s{user}"))
            .member("/context", "tls_fingerprint", json!("t13d1516h2_8daaf6152771_02713d6af862"))
            .member("/context", "device_id", json!(format!("D{user}")))
            .member("/context", "cookie_ts", json!(START + turn));
        writeln!(file, "{}", event.line()).expect("a file can be written");
    }
    file.flush().expect("a file can be written");
    path
}

/// Runs over so many users; most bytes ever resident.
fn peak(users: u64) -> u64 {
    let place = Place::on_disk();
    let job = place.job("data", &[write_events(&place, users)]).workers(2).with(&[
        "--state-memory",
        &format!("{STATE_MEMORY}B"),
        "--snapshot-every",
        "5s",
    ]);
    let mut running = job.start().patient(TIME);
    let began = Instant::now();
    let (pid, mut peak) = (running.pid(), 0);
    running.until("its end", || {
        peak = peak.max(peak_memory(pid).unwrap_or_default());
        false
    });
    let totals = running.wait().done().totals();
    assert_eq!(totals.of("applied"), 2 * users);
    let rate = 2 * users as u128 * 1_000 / began.elapsed().as_millis().max(1);
    println!("{users} users: {} MiB resident at most, {rate} events/s, looked every {TICK:?}", peak >> 20);
    peak
}

#[test]
#[ignore = "takes minutes and gigabytes; AERIE_BIG sets the number of users"]
fn resident_memory_does_not_grow_with_the_number_of_users() {
    let users = std::env::var("AERIE_BIG").ok().map_or(USERS, |n| n.parse().expect("AERIE_BIG is a number"));
    let (small, large) = (peak(users), peak(4 * users));
    let most = STATE_MEMORY + FIXED;
    assert!(large < most, "{} MiB resident at most, more than {} MiB", large >> 20, most >> 20);
    assert!(large < small + small / 4, "four times the users, {} MiB after {} MiB", large >> 20, small >> 20);
}
