//! What the outside sees of a job: the figures of `/metrics`, and the log on stderr. Owned here: every metric's name,
//! help and labels. Not owned here: the counting; figures are read from the [`Watch`] when somebody asks.

use crate::input::ListChange;
use crate::job::DECIDE;
use crate::lists::{Fetches, TOR_EXIT};
use crate::run::{self, Watch};
use crate::supervise::Cause;
use connectors::intake;
use engine::ledger::State;
use engine::metrics::{Phase, Restoring, STRETCH_BOUNDS, Spent};
use engine::time::Stamp;
use operators::model::decision::Outcome;
use prometheus::proto::{Bucket, Histogram, Metric, MetricFamily, MetricType};
use prometheus::{CounterVec, GaugeVec, Opts, Registry, TextEncoder};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that says what is logged: a level, or a filter such as `engine=debug`.
const LOG_VARIABLE: &str = "AERIE_LOG";

/// Logs warnings, or what `AERIE_LOG` says, to stderr: for people on a terminal, else as JSON.
///
/// # Errors
/// A sentence if `AERIE_LOG` is no filter.
pub fn log_to_stderr() -> Result<(), String> {
    let set = std::env::var(LOG_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let filter = set.unwrap_or_else(|| "warn".to_owned());
    let filter = EnvFilter::builder()
        .parse(&filter)
        .map_err(|error| format!("{LOG_VARIABLE}={filter:?} is no filter: {error}; try info or engine=debug"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match std::io::stderr().is_terminal() {
        true => log.finish().try_init(),
        false => log.json().finish().try_init(),
    };
    started.map_err(|error| format!("the log cannot be started: {error}"))
}

/// A value and its labels.
type Sample = (Vec<String>, f64);

/// A metric: what it is called, what it means, and where its values come from.
struct Figure {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    read: fn(&Watch) -> Vec<Sample>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

use Kind::{Counter, Gauge};

/// Every metric. Totals of events, anomalies and decisions are those of the job, over all its runs.
const FIGURES: &[Figure] = &[
    Figure {
        name: "aerie_events_total",
        help: "Input lines by outcome. received = applied + duplicate + too_late + rejected; late is within applied.",
        kind: Counter,
        labels: &["outcome"],
        read: events,
    },
    Figure {
        name: "aerie_rejected_total",
        help: "Lines in the dead letter by reason.",
        kind: Counter,
        labels: &["reason"],
        read: rejections,
    },
    Figure {
        name: "aerie_anomalies_total",
        help: "Anomalies raised.",
        kind: Counter,
        labels: &[],
        read: |watch| one(watch.status.total(DECIDE, "anomalies")),
    },
    Figure {
        name: "aerie_decisions_total",
        help: "Anomalies by what was decided about them; log_only ones have no reason that can be answered.",
        kind: Counter,
        labels: &["decision"],
        read: decisions,
    },
    Figure {
        name: "aerie_responses_open",
        help: "Responses that were ordered and are not yet carried out to the end.",
        kind: Gauge,
        labels: &[],
        read: |watch| one(load(&watch.responses.open)),
    },
    Figure {
        name: "aerie_responses_held",
        help: "Open responses that are held: by themselves, with their org, or with all.",
        kind: Gauge,
        labels: &[],
        read: |watch| one(load(&watch.responses.held)),
    },
    Figure {
        name: "aerie_responses_oldest_open_seconds",
        help: "Time since the event that the open response answers that was ordered first; zero if none is open.",
        kind: Gauge,
        labels: &[],
        read: |watch| vec![(Vec::new(), load(&watch.responses.oldest_ms) as f64 / 1e3)],
    },
    Figure {
        name: "aerie_responses",
        help: "Responses of all runs by where they stand, but for those that are done.",
        kind: Gauge,
        labels: &["state"],
        read: states,
    },
    Figure {
        name: "aerie_orgs_held_total",
        help: "How often in this run an org was held because too many of its responses were begun within an hour.",
        kind: Counter,
        labels: &[],
        read: |watch| one(load(&watch.responses.orgs_held)),
    },
    Figure {
        name: "aerie_response_steps_total",
        help: "Attempts at steps of responses in this run by kind of step and outcome.",
        kind: Counter,
        labels: &["kind", "outcome"],
        read: steps,
    },
    Figure {
        name: "aerie_responses_differing_total",
        help: "Re-derived items that differ from what was recorded and were not acted on, in this run.",
        kind: Counter,
        labels: &[],
        read: |watch| one(load(&watch.responses.differing)),
    },
    Figure {
        name: "aerie_source_watermark_timestamp_seconds",
        help: "Event time up to which a partition is taken to be complete.",
        kind: Gauge,
        labels: &["partition"],
        read: watermarks,
    },
    Figure {
        name: "aerie_applied_timestamp_seconds",
        help: "Event time up to which everything has been applied.",
        kind: Gauge,
        labels: &[],
        read: |watch| seconds(event_time(watch.status.applied())),
    },
    Figure {
        name: "aerie_threat_list_replaced_timestamp_seconds",
        help: "Event time at which a threat list in force was last replaced; zero for one from the beginning of time.",
        kind: Gauge,
        labels: &["list"],
        read: lists,
    },
    Figure {
        name: "aerie_threat_list_fetches_total",
        help: "Attempts to fetch a threat list in this run by outcome; a list that is refused or not had leaves the last.",
        kind: Counter,
        labels: &["list", "outcome"],
        read: fetches,
    },
    Figure {
        name: "aerie_threat_list_confirmed_timestamp_seconds",
        help: "Wall time at which a fetched threat list was last taken or found unchanged in this run.",
        kind: Gauge,
        labels: &["list"],
        read: confirmed,
    },
    Figure {
        name: "aerie_ingest_requests_total",
        help: "Requests that posted something in this run, by what they came to.",
        kind: Counter,
        labels: &["outcome"],
        read: requests,
    },
    Figure {
        name: "aerie_ingest_lines_total",
        help: "Lines that were posted and accepted in this run, events and control records.",
        kind: Counter,
        labels: &["kind"],
        read: posted,
    },
    Figure {
        name: "aerie_inbox_ahead_bytes",
        help: "What an inbox holds and the job has not read yet.",
        kind: Gauge,
        labels: &["partition"],
        read: ahead,
    },
    Figure {
        name: "aerie_snapshots_total",
        help: "Snapshots published in this run.",
        kind: Counter,
        labels: &[],
        read: |watch| one(watch.status.snapshots().published),
    },
    Figure {
        name: "aerie_snapshot_last_cut_timestamp_seconds",
        help: "Event time of the newest snapshot's cut.",
        kind: Gauge,
        labels: &[],
        read: |watch| seconds(watch.status.snapshots().newest.and_then(event_time)),
    },
    Figure {
        name: "aerie_snapshot_age_seconds",
        help: "Time since the newest snapshot of this run was published.",
        kind: Gauge,
        labels: &[],
        read: |watch| published(watch, |snapshots| snapshots.since.map_or(0.0, |since| since.elapsed().as_secs_f64())),
    },
    Figure {
        name: "aerie_snapshot_last_duration_seconds",
        help: "From announcement to publication of the newest snapshot.",
        kind: Gauge,
        labels: &[],
        read: |watch| published(watch, |snapshots| snapshots.seconds),
    },
    Figure {
        name: "aerie_snapshot_last_bytes",
        help: "Bytes of keyed state in the newest snapshot.",
        kind: Gauge,
        labels: &[],
        read: |watch| published(watch, |snapshots| snapshots.bytes as f64),
    },
    Figure {
        name: "aerie_snapshot_last_new_bytes",
        help: "Bytes of the newest snapshot that were stored for it; the rest was there.",
        kind: Gauge,
        labels: &[],
        read: |watch| published(watch, |snapshots| snapshots.new_bytes as f64),
    },
    Figure {
        name: "aerie_snapshot_last_publish_seconds",
        help: "Writing and confirming the manifest of the newest snapshot.",
        kind: Gauge,
        labels: &[],
        read: |watch| published(watch, |snapshots| snapshots.publishing),
    },
    Figure {
        name: "aerie_snapshot_phase_seconds_total",
        help: "Time that operators spent on their parts of snapshots; the worker stood still in `held` alone.",
        kind: Counter,
        labels: &["phase"],
        read: |watch| phases(watch, |spent| spent.seconds),
    },
    Figure {
        name: "aerie_snapshot_phase_stretches_total",
        help: "Stretches of that time.",
        kind: Counter,
        labels: &["phase"],
        read: |watch| phases(watch, |spent| spent.stretches as f64),
    },
    Figure {
        name: "aerie_snapshot_phase_longest_seconds",
        help: "The longest of these stretches.",
        kind: Gauge,
        labels: &["phase"],
        read: |watch| phases(watch, |spent| spent.longest),
    },
    Figure {
        name: "aerie_snapshot_failures_total",
        help: "Snapshots that could not be stored; the job went on without them.",
        kind: Counter,
        labels: &[],
        read: |watch| one(watch.status.snapshots().failed),
    },
    Figure {
        name: "aerie_restore_seconds",
        help: "What going on from a snapshot took in this process by phase; workers open and resend at the same time.",
        kind: Gauge,
        labels: &["phase"],
        read: restored,
    },
    Figure {
        name: "aerie_generation",
        help: "Number of the present start of the job over its data directory; an older one can write nothing.",
        kind: Gauge,
        labels: &[],
        read: |watch| Some(load(&watch.generation)).filter(|own| *own > 0).map_or_else(Vec::new, one),
    },
    Figure {
        name: "aerie_restarts_total",
        help: "How often all processes of the job were started anew because one was lost, by cause.",
        kind: Counter,
        labels: &["cause"],
        read: restarts,
    },
    Figure {
        name: "aerie_build_info",
        help: "What runs; always 1.",
        kind: Gauge,
        labels: &["version"],
        read: |_| vec![(vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0)],
    },
];

/// A metric that tells how long stretches of time were.
struct Stretches {
    name: &'static str,
    help: &'static str,
    read: fn(&Watch) -> Spent,
}

const STRETCHES: &[Stretches] = &[Stretches {
    name: "aerie_snapshot_held_seconds",
    help: "Stretches for which a worker stood still for its part of a snapshot, over all operators and workers.",
    read: |watch| watch.status.snapshots().phases.of(Phase::Held),
}];

impl Stretches {
    fn family(&self, watch: &Watch) -> MetricFamily {
        let spent = (self.read)(watch);
        let bucket = |(bound, within): (f64, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(within);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(STRETCH_BOUNDS.into_iter().zip(spent.within).map(bucket).collect());
        histogram.set_sample_count(spent.stretches);
        histogram.set_sample_sum(spent.seconds);
        let mut metric = Metric::from_label(Vec::new());
        metric.set_histogram(histogram);
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        family
    }
}

/// The figures of a job as Prometheus reads them, in its text format 0.0.4.
///
/// # Errors
/// If a metric breaks Prometheus' rules for names, which a test rules out.
pub fn exposition(watch: &Watch) -> Result<String, prometheus::Error> {
    let registry = Registry::new();
    for figure in FIGURES {
        let options = Opts::new(figure.name, figure.help);
        match figure.kind {
            Counter => {
                let counters = CounterVec::new(options, figure.labels)?;
                for (labels, value) in (figure.read)(watch) {
                    counters.get_metric_with_label_values(&labels)?.inc_by(value);
                }
                registry.register(Box::new(counters))?;
            }
            Gauge => {
                let gauges = GaugeVec::new(options, figure.labels)?;
                for (labels, value) in (figure.read)(watch) {
                    gauges.get_metric_with_label_values(&labels)?.set(value);
                }
                registry.register(Box::new(gauges))?;
            }
        }
    }
    let mut families = registry.gather();
    families.extend(STRETCHES.iter().map(|stretches| stretches.family(watch)));
    TextEncoder::new().encode_to_string(&families)
}

fn one(value: u64) -> Vec<Sample> {
    vec![(Vec::new(), value as f64)]
}

fn load(value: &AtomicU64) -> u64 {
    value.load(Ordering::Relaxed)
}

fn events(watch: &Watch) -> Vec<Sample> {
    let totals = run::totals(&watch.status);
    let outcomes = [
        ("received", totals.received),
        ("applied", totals.applied),
        ("duplicate", totals.duplicate),
        ("too_late", totals.too_late),
        ("rejected", totals.rejected),
        ("late", totals.late),
    ];
    outcomes.map(|(outcome, count)| (vec![outcome.to_owned()], count as f64)).to_vec()
}

fn rejections(watch: &Watch) -> Vec<Sample> {
    run::rejections(watch).into_iter().map(|(reason, count)| (vec![reason.to_owned()], count as f64)).collect()
}

fn decisions(watch: &Watch) -> Vec<Sample> {
    let names = Outcome::ALL.iter().map(|outcome| outcome.name()).chain(["log_only"]);
    names.map(|name| (vec![name.to_owned()], watch.status.total(DECIDE, name) as f64)).collect()
}

fn steps(watch: &Watch) -> Vec<Sample> {
    let attempts = watch.responses.attempts();
    attempts.map(|(kind, outcome, count)| (vec![kind.to_owned(), outcome.to_owned()], count as f64)).collect()
}

fn states(watch: &Watch) -> Vec<Sample> {
    let counts = State::ALL.iter().zip(&watch.responses.states).filter(|(state, _)| **state != State::Done);
    counts.map(|(state, count)| (vec![state.name().to_owned()], load(count) as f64)).collect()
}

fn restarts(watch: &Watch) -> Vec<Sample> {
    let count = |cause: &Cause| watch.restarts.get(cause.name()).copied().unwrap_or_default();
    Cause::ALL.iter().map(|cause| (vec![cause.name().to_owned()], count(cause) as f64)).collect()
}

fn watermarks(watch: &Watch) -> Vec<Sample> {
    let partitions = watch.status.partitions().into_iter();
    let begun = partitions.filter_map(|(partition, report)| Some((partition, event_time(report.watermark.stamp())?)));
    begun.map(|(partition, at)| (vec![partition.to_string()], at as f64 / 1e3)).collect()
}

fn lists(watch: &Watch) -> Vec<Sample> {
    let applied = watch.status.applied();
    let changes = watch.lists.lock().unwrap_or_else(PoisonError::into_inner);
    let due = changes.iter().filter(|change| change.at.stamp() <= applied);
    let last: BTreeMap<&str, &ListChange> = due.map(|change| (change.list.as_str(), change)).collect();
    let in_force = last.into_values().filter(|change| change.is_set);
    in_force.map(|change| (vec![change.list.clone()], change.at.0 as f64 / 1e6)).collect()
}

fn fetches(watch: &Watch) -> Vec<Sample> {
    let Fetches { replaced, unchanged, refused, failed, .. } = &*watch.fetches;
    let outcomes = [("replaced", replaced), ("unchanged", unchanged), ("refused", refused), ("failed", failed)];
    outcomes.map(|(outcome, count)| (vec![TOR_EXIT.to_owned(), outcome.to_owned()], load(count) as f64)).to_vec()
}

fn confirmed(watch: &Watch) -> Vec<Sample> {
    let at = Some(load(&watch.fetches.confirmed)).filter(|at| *at > 0);
    at.map(|at| (vec![TOR_EXIT.to_owned()], at as f64)).into_iter().collect()
}

fn requests(watch: &Watch) -> Vec<Sample> {
    let of = |outcome: intake::Outcome| (vec![outcome.name().to_owned()], watch.ingest.requests.of(outcome) as f64);
    intake::Outcome::ALL.into_iter().map(of).collect()
}

fn posted(watch: &Watch) -> Vec<Sample> {
    let kinds = [("events", &watch.ingest.events), ("control", &watch.ingest.control)];
    kinds.map(|(kind, count)| (vec![kind.to_owned()], load(count) as f64)).to_vec()
}

fn ahead(watch: &Watch) -> Vec<Sample> {
    let Some(inboxes) = watch.ingest.inboxes.get() else { return Vec::new() };
    inboxes.ahead(&watch.status).into_iter().map(|(name, bytes)| (vec![name.to_owned()], bytes as f64)).collect()
}

/// 2100-01-01 in milliseconds: no event lies beyond.
const STAMP_END: Stamp = 4_102_444_800_000;

/// A stamp that is a point of event time, in milliseconds: not the one before all events, nor that after all.
pub(crate) fn event_time(stamp: Stamp) -> Option<Stamp> {
    (2..STAMP_END).contains(&stamp).then_some(stamp)
}

fn seconds(millis: Option<u64>) -> Vec<Sample> {
    millis.map(|millis| (Vec::new(), millis as f64 / 1e3)).into_iter().collect()
}

/// A figure of each phase of taking snapshots.
fn phases(watch: &Watch, read: fn(Spent) -> f64) -> Vec<Sample> {
    let phases = watch.status.snapshots().phases;
    Phase::ALL.into_iter().map(|phase| (vec![phase.name().to_owned()], read(phases.of(phase)))).collect()
}

fn restored(watch: &Watch) -> Vec<Sample> {
    Restoring::ALL.into_iter().map(|phase| (vec![phase.name().to_owned()], watch.status.restored(phase))).collect()
}

/// A figure of the newest snapshot, if there is one.
fn published(watch: &Watch, read: fn(&engine::metrics::Snapshots) -> f64) -> Vec<Sample> {
    let snapshots = watch.status.snapshots();
    if snapshots.published == 0 { Vec::new() } else { vec![(Vec::new(), read(&snapshots))] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::clock::Stopwatch;
    use engine::coordinator::message::{Activity, Part, Progress};
    use engine::ledger::StepOutcome;
    use engine::metrics::Phases;
    use engine::snapshot::manifest::{Cut, Job, Manifest};
    use engine::snapshot::publisher::Published;
    use engine::snapshot::shelf::StoredFile;
    use engine::time::Micros;
    use std::collections::BTreeSet;
    use std::time::Duration;

    /// Samples by name and labels, and the types by name, as a scraper reads them.
    fn scrape(watch: &Watch) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
        let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
        for line in exposition(watch).unwrap().lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                let (name, kind) = declared.split_once(' ').unwrap();
                types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
            }
        }
        (samples, types)
    }

    fn snapshot(at: Stamp, size: u64) -> Published {
        let cut = Cut { id: 1, generation: 1, at, complete: false };
        let file = StoredFile {
            name: "f".into(),
            size,
            crc32c: 0,
            object: "files/0000000001/a.0/0000000001/f".into(),
            snapshot: 1,
        };
        let part =
            Part { operator: "a".into(), worker: 0, files: vec![file], totals: Vec::new(), partitions: Vec::new() };
        Published { manifest: Manifest::of(cut, &Job::default(), [part]), seconds: 0.125 }
    }

    #[test]
    fn figures_of_the_watch_are_what_is_scraped() {
        let mut watch = Watch::default();
        let names = &["anomalies", "log_only", "responded"];
        for worker in 0..2 {
            watch.status.totals("decide", worker, names, vec![3, 1, 2]);
        }
        let (newest, watermark) = (Micros::from_secs(1_767_225_605), Micros(1_767_225_600_500_000));
        let (received, activity) = (11, Activity::Active);
        watch.status.report(Progress { partition: 7, newest, watermark, received, position: 300, activity });
        watch.status.set_frontiers(1_767_225_600_500, 1_767_225_600_250);
        watch.status.snapshot_published(&snapshot(1_767_225_600_000, 4_096), Duration::from_millis(250));
        watch.status.snapshot_failed("no room");
        for (worker, seconds) in [(0, 1), (0, 2), (1, 2)] {
            watch.status.restoring(Restoring::Open, worker, Duration::from_secs(seconds));
        }
        watch.responses.open.store(4, Ordering::Relaxed);
        for _ in 0..5 {
            watch.responses.count("mail", &StepOutcome::Dead { error: String::new() });
        }
        watch.responses.oldest_ms.store(1_500, Ordering::Relaxed);
        watch.generation.store(6, Ordering::Relaxed);
        watch.restarts = BTreeMap::from([("killed".to_owned(), 2)]).into();
        let (samples, types) = scrape(&watch);
        let expected = [
            ("aerie_events_total{outcome=\"received\"}", 11.0),
            ("aerie_rejected_total{reason=\"not_json\"}", 0.0),
            ("aerie_anomalies_total", 6.0),
            ("aerie_decisions_total{decision=\"responded\"}", 4.0),
            ("aerie_decisions_total{decision=\"log_only\"}", 2.0),
            ("aerie_decisions_total{decision=\"shadow\"}", 0.0),
            ("aerie_responses_open", 4.0),
            ("aerie_responses_oldest_open_seconds", 1.5),
            ("aerie_responses{state=\"dead\"}", 0.0),
            ("aerie_response_steps_total{kind=\"mail\",outcome=\"given_up\"}", 5.0),
            ("aerie_response_steps_total{kind=\"end_sessions\",outcome=\"done\"}", 0.0),
            ("aerie_source_watermark_timestamp_seconds{partition=\"7\"}", 1_767_225_600.5),
            ("aerie_applied_timestamp_seconds", 1_767_225_600.25),
            ("aerie_snapshots_total", 1.0),
            ("aerie_snapshot_last_cut_timestamp_seconds", 1_767_225_600.0),
            ("aerie_snapshot_last_duration_seconds", 0.25),
            ("aerie_snapshot_last_bytes", 4_096.0),
            ("aerie_snapshot_last_new_bytes", 4_096.0),
            ("aerie_snapshot_last_publish_seconds", 0.125),
            ("aerie_snapshot_failures_total", 1.0),
            ("aerie_restore_seconds{phase=\"open\"}", 3.0),
            ("aerie_restore_seconds{phase=\"fetch\"}", 0.0),
            ("aerie_generation", 6.0),
            ("aerie_restarts_total{cause=\"killed\"}", 2.0),
            ("aerie_restarts_total{cause=\"failed\"}", 0.0),
        ];
        for (name, value) in expected {
            assert_eq!(samples.get(name), Some(&value), "{name}");
        }
        assert_eq!(types["aerie_events_total"], "counter");
        assert_eq!(types["aerie_responses_open"], "gauge");
    }

    #[test]
    fn times_before_and_after_all_events_are_not_shown() {
        let watch = Watch::default();
        watch.status.set_frontiers(1, 1);
        assert!(!scrape(&watch).0.contains_key("aerie_applied_timestamp_seconds"));
        watch.status.set_frontiers(Stamp::MAX, Stamp::MAX);
        watch.status.snapshot_published(&snapshot(Stamp::MAX, 1), Duration::from_secs(1));
        let (samples, _) = scrape(&watch);
        assert!(!samples.contains_key("aerie_applied_timestamp_seconds"));
        assert!(!samples.contains_key("aerie_snapshot_last_cut_timestamp_seconds"));
        assert_eq!(samples["aerie_snapshot_last_bytes"], 1.0);
    }

    #[test]
    fn a_list_is_as_old_as_its_last_replacement_that_has_applied() {
        let watch = Watch::default();
        let change =
            |list: &str, secs, is_set| ListChange { list: list.to_owned(), at: Micros::from_secs(secs), is_set };
        let changes = [
            change("tor_exit", 0, true),
            change("cloud_asn", 1_767_225_600, true),
            change("tor_exit", 1_767_225_700, true),
            change("cloud_asn", 1_767_225_800, false),
        ];
        *watch.lists.lock().unwrap() = changes.into();
        let age = |applied: u64, list: &str| {
            watch.status.set_frontiers(applied, applied);
            let name = format!("aerie_threat_list_replaced_timestamp_seconds{{list=\"{list}\"}}");
            scrape(&watch).0.get(&name).copied()
        };
        assert_eq!((age(1, "tor_exit"), age(1, "cloud_asn"), age(1, "ioc_ip")), (Some(0.0), None, None));
        assert_eq!(age(1_767_225_600_000, "cloud_asn"), Some(1_767_225_600.0));
        assert_eq!(age(1_767_225_699_999, "tor_exit"), Some(0.0));
        assert_eq!(age(1_767_225_700_000, "tor_exit"), Some(1_767_225_700.0));
        assert_eq!(age(Stamp::MAX, "cloud_asn"), None);
    }

    #[test]
    fn what_held_the_flow_is_told_so_that_a_quantile_can_be() {
        let watch = Watch::default();
        let totals = watch.status.totals("detect", 0, &[], Vec::new());
        let mut phases = Phases::default();
        // The last takes some time, the others none.
        for _ in 0..4 {
            phases.add(Phase::Held, Stopwatch::start());
        }
        let long = Stopwatch::start();
        while long.elapsed() < Duration::from_millis(4) {}
        phases.add(Phase::Held, long);
        totals.snapshot_part(&phases);
        totals.snapshot_part(&phases);
        let (samples, types) = scrape(&watch);
        assert_eq!(types["aerie_snapshot_held_seconds"], "histogram");
        let bucket = |bound: &str| samples[&format!("aerie_snapshot_held_seconds_bucket{{le=\"{bound}\"}}")];
        assert!(bucket("0.0005") <= 8.0 && bucket("0.002") <= 8.0);
        assert_eq!(bucket("+Inf"), 10.0);
        assert_eq!(samples["aerie_snapshot_held_seconds_count"], 10.0);
        assert!(samples["aerie_snapshot_held_seconds_sum"] >= 0.008);
        let mut bounds = STRETCH_BOUNDS.map(|bound| bucket(&bound.to_string())).to_vec();
        bounds.push(10.0);
        assert!(bounds.is_sorted(), "{bounds:?}");
    }

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        let names = FIGURES.iter().map(|figure| figure.name).chain(STRETCHES.iter().map(|stretches| stretches.name));
        assert_eq!(names.collect::<BTreeSet<_>>().len(), FIGURES.len() + STRETCHES.len());
        for figure in FIGURES {
            assert!(figure.name.starts_with("aerie_") && figure.help.ends_with('.'), "{}", figure.name);
            assert_eq!(figure.name.ends_with("_total"), figure.kind == Counter, "{}", figure.name);
        }
    }
}
