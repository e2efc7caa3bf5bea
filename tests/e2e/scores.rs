//! The promise: blatant and moderate attacks are found, and nobody is signed out wrongfully. Held against generated
//! activity with labels, by the commands that a person would use: `generate`, `run`, `evaluate`.

use crate::outputs::{lines, text};
use crate::support::{Place, aerie};
use serde_json::Value;
use std::sync::OnceLock;

const SEEDS: [u64; 2] = [81, 82];
/// Nine days, since some rules need a week's history; so many users that most scenarios have somebody to play in them.
const PLAN: [&str; 6] = ["--orgs", "3", "--users", "70", "--days", "9"];
/// Every reason.
const FOUND: [&str; 18] = [
    "asn",
    "excessive_downloads",
    "excessive_file_shares",
    "excessive_malware_uploads",
    "ip_address",
    "potential_spam",
    "search_volume",
    "session_fingerprint",
    "spoofed_user_agent",
    "tor",
    "unexpected_admin_action",
    "unexpected_api_call_volume",
    "unexpected_client",
    "unexpected_credential_testing",
    "unexpected_message_deletion",
    "unexpected_scraping",
    "unexpected_user_agent",
    "user_agent",
];

fn score(seed: u64) -> Value {
    let place = Place::new();
    let out = place.path("activity");
    let out_text = out.display().to_string();
    println!("seed {seed}: {PLAN:?}");
    let seed_text = seed.to_string();
    aerie(&[&["generate", "--seed", &seed_text][..], &PLAN, &["--out", &out_text]].concat()).done();
    let again = place.path("again").display().to_string();
    aerie(&[&["generate", "--seed", &seed_text][..], &PLAN, &["--out", &again]].concat()).done();
    for name in ["events.ndjson", "control.ndjson", "tor.txt", "labels.ndjson"] {
        assert!(text(&out.join(name)) == text(&place.path("again").join(name)), "{name}: same seed, same bytes");
        assert!(!lines(&out.join(name)).is_empty(), "{name} is empty");
    }
    let job = place.job("data", &[out.join("events.ndjson")]).control(&out.join("control.ndjson"));
    let totals = job.clone().tor_list(&out.join("tor.txt")).run();
    totals.assert_conserved();
    assert_eq!(totals.of("rejected") + totals.of("too_late") + totals.of("duplicate"), 0, "{totals:?}");
    let file = |path: std::path::PathBuf| path.display().to_string();
    let (labels, audit) = (file(out.join("labels.ndjson")), file(job.data_dir.join("audit.ndjson")));
    let decisions = file(job.data_dir.join("decisions.ndjson"));
    let words = ["evaluate", "--labels", &labels, "--audit", &audit, "--decisions", &decisions];
    println!("{}", aerie(&words).done().stdout);
    aerie(&[&words[..], &["--json"]].concat()).done().json()
}

fn row<'a>(report: &'a Value, reason: &str) -> Option<&'a Value> {
    let rows = report["reasons"].as_array().expect("reasons are listed");
    rows.iter().find(|row| row["reason"] == reason)
}

fn findings(report: &Value) -> String {
    let of = report["findings"].as_array().into_iter().flatten();
    of.map(|finding| format!("\n  {finding}")).collect()
}

/// The reports on all seeds, made once.
fn reports() -> &'static [(u64, Value)] {
    static REPORTS: OnceLock<Vec<(u64, Value)>> = OnceLock::new();
    REPORTS.get_or_init(|| SEEDS.map(|seed| (seed, score(seed))).to_vec())
}

#[test]
fn blatant_and_moderate_attacks_are_found() {
    for (reason, difficulty) in FOUND.iter().flat_map(|reason| [(reason, "blatant"), (reason, "moderate")]) {
        let mut planted = 0;
        for (seed, report) in reports() {
            let rows = row(report, reason).and_then(|row| row["by_difficulty"].as_array()).into_iter().flatten();
            for row in rows.filter(|row| row["difficulty"] == difficulty) {
                planted += row["planted"].as_u64().expect("a count");
                assert_eq!(row["recall"], 1.0, "seed {seed}: {reason}, {difficulty}: {row}{}", findings(report));
            }
        }
        assert!(planted > 0, "nothing {difficulty} was planted of {reason}");
    }
}

#[test]
fn what_must_be_answered_is_answered() {
    for (seed, report) in reports() {
        for row in FOUND.iter().filter_map(|reason| row(report, reason)) {
            assert_eq!(row["given"], row["owed"], "seed {seed}: {row}{}", findings(report));
        }
    }
}

#[test]
fn nobody_is_signed_out_who_did_nothing() {
    for (seed, report) in reports() {
        let responses = &report["responses"];
        for name in ["on_look_alike", "unlabelled", "against_policy"] {
            assert_eq!(responses[name], 0, "seed {seed}: {name}: {responses}{}", findings(report));
        }
    }
}
