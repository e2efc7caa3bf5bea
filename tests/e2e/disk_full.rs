//! The promise: a full disk breaks nothing. The job ends with a sentence, and goes on once there is room. A small file
//! system in memory, in a mount namespace of the job's own, is the disk.

use crate::crash::assert_each_once;
use crate::inputs::Sample;
use crate::outputs::Outputs;
use crate::support::Place;
use operators::sample::Plan;
use std::fs;
use std::process::Command;

const PLAN: Plan = Plan { seed: 51, orgs: 3, users: 20, days: 5 };

#[test]
fn a_full_disk_ends_a_job_that_goes_on_once_there_is_room() {
    let allowed = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !allowed.is_ok_and(|done| done.status.success()) {
        println!("not tried: this machine lets nobody mount a file system in a namespace of their own");
        return;
    }
    let place = Place::new();
    let whole = Sample::of(PLAN).whole(&place, "whole").with(&["--snapshot-every", "50ms"]);
    let totals = whole.run();
    let outputs = Outputs::of(&whole.data_dir);
    let mut failed = 0;
    for kilobytes in [300, 700, 1_000, 1_500] {
        let job = whole.beside(&format!("small{kilobytes}"));
        fs::create_dir_all(&job.data_dir).expect("a folder can be made");
        let (first, second) = (job.words().join(" "), place.path("left"));
        let script = format!(
            "mount -t tmpfs -o size={kilobytes}k none {disk} && {{ {aerie} {first} >/dev/null; echo code $? >&2; \
             mount -o remount,size=1g {disk}; {aerie} {first}; code=$?; rm -rf {left}; cp -r {disk} {left}; exit $code; }}",
            disk = job.data_dir.display(),
            aerie = env!("CARGO_BIN_EXE_aerie"),
            left = second.display(),
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["-rm", "sh", "-c", &script]).env("AERIE__HTTP__LISTEN", "127.0.0.1:0");
        let done = unshare.output().expect("unshare is there");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{kilobytes}k: {said}");
        assert!(said.contains("code 1") || said.contains("code 0"), "{kilobytes}k: {said}");
        failed += usize::from(said.contains("code 1"));
        assert!(!said.contains("panicked") && !said.contains("internal fault"), "{kilobytes}k: {said}");
        println!(
            "{kilobytes}k: {}",
            said.lines().filter(|line| !line.contains("serving")).collect::<Vec<_>>().join(" | ")
        );
        let last = String::from_utf8_lossy(&done.stdout).lines().last().unwrap_or_default().to_owned();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&last).expect("totals"), totals.0, "{kilobytes}k");
        let left = Outputs::of(&second);
        left.assert_same(&outputs, &format!("{kilobytes}k"));
        assert_each_once(&second, &left);
    }
    assert!(failed > 1, "{failed} of the disks were too small");
}
