//! The job's dataflow, read top to bottom: from sources to responses. Owned here: what of a job's settings it takes,
//! which stream goes where, and how memory is shared out. What each operator does stands in `operators`.

use crate::input::{self, SpeaksFor};
use crate::store::StorePlace;
use config::ImportedAnomalies;
use connectors::file::{Fence, Length, OrderedFile};
use engine::error::Error;
use engine::flow::{Flow, Read, Stream};
use engine::keyed::operator::Input;
use engine::ledger::Issued;
use engine::source::scheduled::Inbox;
use engine::state::memory::MemoryStores;
use engine::state::rocks::RocksStores;
use engine::time::{Micros, Span};
use engine::writer::{Append, Line, OpenAppend, Writer, Written};
use operators::baseline::distribution::distribution;
use operators::baseline::histograms::Histograms;
use operators::baseline::rollbacks::Rollbacks;
use operators::baseline::thresholds::Thresholds;
use operators::baseline::{Metric, VolumeRule, VolumeRules};
use operators::decide::{Decide, DecideOut, DecideRecord, decision_line};
use operators::decode::networks::Networks;
use operators::decode::source::{DEAD_LETTER, LATE, PartitionDecoder, late_applied};
use operators::decode::{EventDecoder, WorkspaceDirectory, read_text};
use operators::detect::record::{DetectOut, DetectRecord, Directory, UserChange};
use operators::detect::{Detect, DetectSettings};
use operators::model::anomaly::{Active, Anomaly, CaseClosed};
use operators::model::control::ControlRecord;
use operators::policy::{self, Exemption};
use operators::respond::{Respond, RespondRecord};
use std::path::PathBuf;
use std::sync::Arc;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate};

/// File of decisions.
pub const DECISIONS: &str = "decisions.ndjson";

/// Class of lines about decisions; see [`operators::decode::source`] for the others.
pub const CLASS_DECISION: u8 = 11;

/// Names of the operators whose totals are shown.
pub const DETECT: &str = "detect";
/// See [`DETECT`].
pub const DECIDE: &str = "decide";
/// Name of the operator that holds what an org's counts are held against.
pub const THRESHOLDS: &str = "thresholds";
/// See [`DETECT`].
pub const WRITER: &str = "writer";

/// Thresholds learned up to an hour ago apply.
const THRESHOLD_DELAY: Span = Span::from_hours(1);

/// What the dataflow is assembled from, the same on every worker.
pub struct Parts {
    /// Names of the partitions, by index.
    pub names: Arc<[String]>,
    /// Of each partition: the org of events that name none, and the orgs that it may speak for.
    pub sources: Vec<SpeaksFor>,
    /// Control records in order of time, whole milliseconds.
    pub control: Arc<[ControlRecord]>,
    /// Where control records come in while the job runs.
    pub inbox: Inbox<ControlRecord>,
    /// Databases that say of an address what its event does not.
    pub networks: Arc<Networks>,
    /// How detection is set.
    pub detection: DetectSettings,
    /// Decide, but do not act.
    pub shadow: bool,
    /// A blast-radius stop lasts until an admin lifts it.
    pub latch: bool,
    /// Bytes for decoded rows, over all workers of all processes.
    pub rows_memory: usize,
    /// Stores of operators with much state.
    pub rocks: RocksStores,
    /// Opens the output files.
    pub outputs: Arc<OpenAppend>,
    /// Where the ledger is, and the generation that this run acts for.
    pub ledger: (StorePlace, u64),
    /// Hears what became of each batch of the sink.
    pub issued: Arc<dyn Fn(&Issued) + Send + Sync>,
}

/// How the bars of volume rules are made, as the job sets them.
pub(crate) fn volume_rules(detect: &config::Detect) -> VolumeRules {
    VolumeRules::new(|metric| {
        let volume = match metric {
            Metric::FileDownloads => &detect.excessive_downloads,
            Metric::FileShares => &detect.excessive_file_shares,
            Metric::ApiCalls => &detect.unexpected_api_call_volume,
            Metric::Searches => &detect.search_volume,
            Metric::MessageDeletions => &detect.unexpected_message_deletion,
            Metric::DistinctReads => &detect.unexpected_scraping,
        };
        VolumeRule::new(volume.floor, volume.margin, volume.prior, volume.untaught)
    })
}

/// What the dataflow of a job is assembled from, but for where its results go.
pub(crate) fn parts(
    job: &config::Job,
    input: &input::Input,
    outputs: Arc<OpenAppend>,
    ledger: (StorePlace, u64),
    issued: Arc<dyn Fn(&Issued) + Send + Sync>,
    processes: usize,
) -> Result<Parts, Error> {
    let memory = usize::try_from(job.state_memory_bytes).unwrap_or(usize::MAX);
    Ok(Parts {
        names: input.names(),
        sources: input.orgs()?,
        control: input.control.clone(),
        inbox: None,
        networks: input.networks.clone(),
        detection: DetectSettings {
            respond_to_imported: job.imported_anomalies == ImportedAnomalies::Respond,
            volumes: volume_rules(&job.detect),
            agents: input.agents.clone(),
        },
        shadow: job.shadow,
        latch: job.latch,
        rows_memory: (memory / 2).saturating_mul(processes),
        rocks: RocksStores::new(memory / 2),
        outputs,
        ledger,
        issued,
    })
}

/// Assembles the job on one worker.
pub fn assemble(flow: &mut Flow<'_>, parts: &Parts) -> Result<(), Error> {
    let memory = |share: usize| parts.rows_memory / 100 * share / flow.place().1;
    let (detect_rows, decide_rows, baseline_rows) = (memory(70), memory(20), memory(5));

    let Read { records: events, asides } = flow.sources(decoder(parts))?;
    let known = policy::to_send(parts.control.clone(), flow.restored());
    let control = flow.scheduled(known.map(|record| (record.at, record)), parts.inbox.clone()).map(Arc::new);
    let policy = policy::policy(control);
    let (taught_loop, taught) = flow.feedback(THRESHOLD_DELAY);

    let inputs = vec![
        Input::Keyed(events),
        Input::Keyed(policy.directory.flat_map(|record| DetectRecord::of_control(&record))),
        Input::Keyed(policy.exemptions.map(exemption)),
        Input::Broadcast(policy.reference.flat_map(|record| DetectRecord::of_control(&record))),
        Input::Broadcast(taught),
    ];
    let detect = Detect::new(parts.detection.clone(), read_text);
    let [anomalies, closed, moves, late, active, went_down] =
        ports(flow.keyed(DETECT, detect, &parts.rocks, detect_rows, inputs)?)?;

    let moves = moves.flat_map(|out| match out {
        DetectOut::Move(moved) => Some(moved),
        _ => None,
    });
    let [deltas] =
        ports(flow.keyed("histograms", Histograms, &parts.rocks, baseline_rows, vec![Input::Keyed(moves)])?)?;
    let quantiles = vec![Input::Keyed(distribution(deltas))];
    let learned = Thresholds::new(parts.detection.volumes);
    let [learned] = ports(flow.keyed(THRESHOLDS, learned, &MemoryStores, baseline_rows, quantiles)?)?;
    let went_down = went_down.flat_map(|out| match out {
        DetectOut::WentDown(down) => Some(down),
        _ => None,
    });
    let went_down = vec![Input::Keyed(went_down)];
    let [taken_back] = ports(flow.keyed("rollbacks", Rollbacks, &MemoryStores, baseline_rows, went_down)?)?;
    taught_loop.connect(learned.map(DetectRecord::from).concat(taken_back.map(DetectRecord::from)));

    let inputs = vec![
        Input::Keyed(policy.decide),
        Input::Broadcast(policy.decide_global),
        Input::Keyed(active.flat_map(self::active).map(DecideRecord::from)),
        Input::Keyed(anomalies.flat_map(anomaly).map(DecideRecord::from)),
    ];
    let decide = flow.keyed(DECIDE, Decide::new(parts.shadow, parts.latch), &parts.rocks, decide_rows, inputs)?;
    let [decisions, words] = ports(decide)?;

    let names = parts.names.clone();
    let late = late.flat_map(move |out| match out {
        DetectOut::Late(late) => Some(late_applied(&names, &late)),
        _ => None,
    });
    let decided = decisions.clone().flat_map(decided);
    let lines = decided.scope().concatenate([asides, late, decided]);
    let files = [DECISIONS, DEAD_LETTER, LATE].map(str::to_owned).to_vec();
    let writer = Writer::new(files, flow.place(), parts.outputs.clone());
    flow.keyed(WRITER, writer, &MemoryStores, baseline_rows, vec![Input::Keyed(lines)])?;

    let respond = vec![
        Input::Keyed(policy.holds.map(RespondRecord::from)),
        Input::Keyed(decisions.concat(words).map(RespondRecord::from)),
        Input::Keyed(closed.flat_map(case_closed).map(RespondRecord::from)),
    ];
    let (place, generation) = &parts.ledger;
    let ledger = place.open_as(*generation)?;
    let issued = parts.issued.clone();
    let sink = Respond::new(Box::new(ledger), Box::new(move |batch| issued(batch)));
    flow.keyed("respond", sink, &MemoryStores, baseline_rows, respond)?;
    Ok(())
}

fn decoder(parts: &Parts) -> PartitionDecoder {
    let workspaces = Arc::new(WorkspaceDirectory::new(&*parts.control));
    let of = |(org, speaks_for): &SpeaksFor| {
        let since = |(from, orgs): &(u64, _)| {
            let decoder = EventDecoder::new(workspaces.clone(), org.clone(), Clone::clone(orgs));
            (*from, decoder.with_networks(parts.networks.clone()))
        };
        speaks_for.iter().map(since).collect()
    };
    PartitionDecoder::new(parts.names.clone(), parts.sources.iter().map(of).collect())
}

fn exemption(exemption: Exemption) -> DetectRecord {
    let Exemption { at, org, user, reason, on } = exemption;
    Directory::new(at, &org, &user, UserChange::Exempt { on, reason }).into()
}

fn anomaly(out: DetectOut) -> Option<Anomaly> {
    match out {
        DetectOut::Anomaly(anomaly) => Some(*anomaly),
        _ => None,
    }
}

fn active(out: DetectOut) -> Option<Active> {
    match out {
        DetectOut::Active(active) => Some(active),
        _ => None,
    }
}

fn case_closed(out: DetectOut) -> Option<CaseClosed> {
    match out {
        DetectOut::CaseClosed(closed) => Some(*closed),
        _ => None,
    }
}

/// The line of a decision, ordered by (org, user, id) at one time, with a zero byte between them. Names hold none, so
/// the parts are compared one after the other.
fn decided(out: DecideOut) -> Option<Line> {
    let DecideOut::Decision(decision) = out else { return None };
    let body = decision_line(&decision)?;
    let anomaly = &decision.anomaly;
    let order = [anomaly.org.as_bytes(), anomaly.user.as_bytes(), anomaly.id.as_str().as_bytes()].join(&0);
    Some(Line { at: anomaly.at, file: DECISIONS.to_owned(), order, class: CLASS_DECISION, body })
}

/// File of the fence around output files, in their folder.
pub const FENCE: &str = "fence";

/// Output files in a folder, each cut back to what is kept of it and written by `generation`, for which the fence has been
/// raised.
pub fn open_in(folder: PathBuf, generation: u64) -> Arc<OpenAppend> {
    Arc::new(move |file, Written { bytes, lines }| {
        let fence = Fence::at(&folder.join(FENCE), generation)?;
        let file = OrderedFile::open(&folder.join(file), Length { bytes, lines }, fence)?;
        Ok(Box::new(file) as Box<dyn Append>)
    })
}

fn ports<const N: usize, R>(streams: Vec<Stream<'_, R>>) -> Result<[Stream<'_, R>; N], Error> {
    let count = streams.len();
    streams.try_into().map_err(|_| Error::Fault(format!("an operator has {count} ports where {N} are wired")))
}

/// Control records take effect at whole milliseconds: the first at or after their date, so that none does early.
pub fn at_whole_millis(mut record: ControlRecord) -> ControlRecord {
    record.at = Micros(record.at.0.div_ceil(1_000).saturating_mul(1_000));
    record
}
