//! The promise: a running job can be watched. It says on stderr where, answers whether it lives and is ready, and
//! counts in Prometheus's text format.

use crate::inputs::{EXIT, office_hours, recently};
use crate::support::{Dice, Place, get, metric};

const SEED: u64 = 61;

#[test]
fn a_running_job_lives_gets_ready_and_counts() {
    let place = Place::new();
    let lines = office_hours(recently(), 600, &mut Dice::new(SEED));
    let input = place.write_lines("events", &lines);
    let mut running = place
        .config("data", &[input], "follow = true\nmax_delay = \"200ms\"", "")
        .tor_list(&place.write("tor.txt", EXIT))
        .start();
    let address = running.address();
    assert_eq!(get(address, "/livez").0, 200);
    running.running_until("it to be ready", || get(address, "/readyz").0 == 200);
    let applied = "aerie_events_total{outcome=\"applied\"}";
    let mut page = String::new();
    running.running_until("all events to be counted", || {
        page = get(address, "/metrics").1;
        metric(&page, applied) == Some(lines.len() as u64)
    });
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        assert!(series.starts_with("aerie_") || series.starts_with("process_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap_or_default();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!([name, base].iter().any(|name| page.contains(&format!("# TYPE {name} "))), "no type: {line}");
    }
    assert_eq!(get(address, "/nowhere").0, 404);
    let totals = running.terminate().done().totals();
    assert_eq!(totals.of("applied"), lines.len() as u64);
}

/// A caller from elsewhere must not be let in by a name that a browser resolves to this machine.
#[test]
fn hostile_requests_do_not_end_it() {
    use std::io::{Read, Write};
    let place = Place::new();
    let input = place.write("events", "");
    let mut running = place.config("data", &[input], "follow = true", "").start();
    let address = running.address();
    for request in [
        &b"\x16\x03\x01\x02\x00"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        &[b'A'; 100_000],
    ] {
        let mut stream = std::net::TcpStream::connect(address).expect("it accepts connections");
        // It may hang up at any time.
        let _ = stream.write_all(request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(20)));
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(get(address, "/livez").0, 200);
    running.terminate().done();
}
