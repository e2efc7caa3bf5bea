//! The one client of a topic in this process. Owned here: what it tells beside messages (whether brokers answer,
//! partitions that were added, complaints), and offsets that are told to the cluster once a snapshot exists.

use super::Brokers;
use engine::error::Error;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, Message};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes that are fetched ahead of reading, over all partitions of a topic in a process.
const AHEAD_BYTES: usize = 64 << 20;

/// Of each partition at least, and at most.
const AHEAD_KIB: (usize, usize) = (512, 16 << 10);

/// How often the client says how it is.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A broker that is asked for messages answers twice a second, even without any. One that was silent for longer than this
/// is not there.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How long partitions may be out of reach before it is told.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// How long the last offsets may take to be told when a job ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// One look at what the client has to say, and the next.
const LISTEN: Duration = Duration::from_millis(100);

/// The client, and the thread that hears it. Both end with this.
pub(super) struct Consumer {
    client: Arc<BaseConsumer<Ears>>,
    ended: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Consumer")
    }
}

impl Consumer {
    /// Makes a client that will read `count` partitions of a topic. Does not wait for brokers.
    pub(super) fn start(brokers: &Brokers, topic: &str, count: usize) -> Result<Self, Error> {
        let share = (AHEAD_BYTES / 1_024 / count.max(1)).clamp(AHEAD_KIB.0, AHEAD_KIB.1);
        let mut config = brokers.client();
        config
            // Where to read is the job's to say, never the group's or a default.
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("allow.auto.create.topics", "false")
            .set("topic.metadata.refresh.interval.ms", "60000")
            .set("statistics.interval.ms", REPORT_EVERY.as_millis().to_string())
            .set("queued.max.messages.kbytes", share.to_string())
            // What was full is fetched again as soon as there is room.
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.max.bytes", (16 << 20).to_string());
        let client = BaseConsumer::from_config_and_context(&config, Ears::new(topic, count));
        let client = Arc::new(client.map_err(|error| brokers.unusable(&error))?);
        let ended = Arc::new(AtomicBool::new(false));
        let keeping = (client.clone(), ended.clone());
        let keeper = thread::Builder::new().name("kafka".to_owned()).spawn(move || keep(&keeping.0, &keeping.1));
        let keeper = keeper.map_err(|error| Error::Unavailable(format!("cannot start a thread: {error}")))?;
        Ok(Consumer { client, ended, keeper: Some(keeper) })
    }

    /// The client itself.
    pub(super) fn client(&self) -> &Arc<BaseConsumer<Ears>> {
        &self.client
    }

    /// What it has told.
    pub(super) fn ears(&self) -> &Ears {
        self.client.client().context()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(keeper) = self.keeper.take() {
            // What it could still say is of no use to anybody.
            let _ = keeper.join();
        }
    }
}

/// Hears the client and tells it offsets, until the end.
fn keep(client: &BaseConsumer<Ears>, ended: &AtomicBool) {
    let ears = client.client().context();
    while !ended.load(Ordering::SeqCst) {
        listen(client, ears, LISTEN);
        commit(client, ears);
    }
    commit(client, ears);
    let since = Instant::now();
    while ears.underway.load(Ordering::SeqCst) > 0 && since.elapsed() < FAREWELL {
        listen(client, ears, LISTEN);
    }
}

/// Waits for one thing that the client has to say, which the ears hear. Messages have queues of their own.
fn listen(client: &BaseConsumer<Ears>, ears: &Ears, patience: Duration) {
    if let Some(Ok(message)) = client.poll(patience) {
        let (partition, offset) = (message.partition(), message.offset());
        ears.astray.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((partition, offset));
    }
}

/// Tells the cluster what is to be told.
fn commit(client: &BaseConsumer<Ears>, ears: &Ears) {
    let kept = std::mem::take(&mut *ears.kept.lock().unwrap_or_else(PoisonError::into_inner));
    if kept.is_empty() {
        return;
    }
    let mut list = TopicPartitionList::new();
    for (partition, offset) in kept {
        let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        if let Err(error) = list.add_partition_offset(&ears.topic, partition, offset) {
            return ears.not_told(&error);
        }
    }
    ears.underway.fetch_add(1, Ordering::SeqCst);
    if let Err(error) = client.commit(&list, CommitMode::Async) {
        ears.underway.fetch_sub(1, Ordering::SeqCst);
        ears.not_told(&error);
    }
}

/// Hears what a client tells beside messages.
pub(super) struct Ears {
    topic: String,
    /// Of each partition that may be read here, whether its leader answers.
    reached: Vec<AtomicBool>,
    /// Partitions that are read, and that the topic has as far as was told.
    known: usize,
    told_of: AtomicUsize,
    /// Since when some are out of reach, and whether that was told.
    lost: Mutex<Option<(Instant, bool)>>,
    /// What was last wrong with a connection.
    complaint: Mutex<Option<String>>,
    /// Offsets to be told, by partition.
    kept: Mutex<BTreeMap<i32, u64>>,
    /// How many times telling is under way.
    underway: AtomicUsize,
    /// Whether it was told that they could not be.
    mute: AtomicBool,
    /// A message that came where nobody reads.
    astray: Mutex<Option<(i32, i64)>>,
}

/// What a client reports of itself, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Report {
    brokers: BTreeMap<String, BrokerReport>,
    topics: BTreeMap<String, TopicReport>,
}

#[derive(Debug, Deserialize)]
struct BrokerReport {
    nodeid: i32,
    state: String,
    /// Microseconds since something was received; -1 for never.
    rxidle: i64,
}

#[derive(Debug, Deserialize)]
struct TopicReport {
    partitions: BTreeMap<i32, PartitionReport>,
}

#[derive(Debug, Deserialize)]
struct PartitionReport {
    broker: i32,
    desired: bool,
    fetch_state: String,
}

impl Ears {
    pub(super) fn new(topic: &str, count: usize) -> Self {
        Ears {
            topic: topic.to_owned(),
            reached: (0..count).map(|_| AtomicBool::new(false)).collect(),
            known: count,
            told_of: AtomicUsize::new(count),
            lost: Mutex::new(None),
            complaint: Mutex::new(None),
            kept: Mutex::new(BTreeMap::new()),
            underway: AtomicUsize::new(0),
            mute: AtomicBool::new(false),
            astray: Mutex::new(None),
        }
    }

    /// Whether the leader of a partition answers, as far as is known.
    pub(super) fn reaches(&self, partition: i32) -> bool {
        let reached = usize::try_from(partition).ok().and_then(|partition| self.reached.get(partition));
        reached.is_some_and(|reached| reached.load(Ordering::SeqCst))
    }

    /// Has the cluster told, when there is time, that the job reads a partition on at an offset.
    pub(super) fn keep(&self, partition: i32, offset: u64) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, offset);
    }

    /// What was last wrong with a connection.
    pub(super) fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A message that came where nobody reads would be lost.
    pub(super) fn check(&self) -> Result<(), Error> {
        match *self.astray.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some((partition, offset)) => Err(Error::Fault(format!(
                "offset {offset} of partition {partition} of topic {} came beside its queue",
                self.topic
            ))),
        }
    }

    fn hear(&self, report: &Report) {
        let answers = |node: i32| {
            report.brokers.values().any(|broker| {
                broker.nodeid == node
                    && broker.state == "UP"
                    && u64::try_from(broker.rxidle).is_ok_and(|idle| Duration::from_micros(idle) <= SILENCE_MAX)
            })
        };
        let Some(topic) = report.topics.get(&self.topic) else { return };
        let mut lost = Vec::new();
        for (number, reached) in (0..).zip(&self.reached) {
            let partition = topic.partitions.get(&number);
            let reaches = partition.is_some_and(|found| found.fetch_state == "active" && answers(found.broker));
            reached.store(reaches, Ordering::SeqCst);
            if !reaches && partition.is_some_and(|found| found.desired) {
                lost.push(number);
            }
        }
        self.tell_of_lost(&lost);
        let count = topic.partitions.keys().filter(|number| **number >= 0).count();
        if count > self.told_of.fetch_max(count, Ordering::SeqCst) {
            tracing::warn!(
                target: "connectors::kafka",
                "topic {} has {count} partitions now, and the job reads {}: start it again to have it read all",
                self.topic, self.known
            );
        }
    }

    fn tell_of_lost(&self, partitions: &[i32]) {
        let topic = &self.topic;
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *lost, partitions) {
            (None, []) => {}
            (None, [..]) => *lost = Some((Instant::now(), false)),
            (Some((since, told)), []) => {
                if *told {
                    let secs = since.elapsed().as_secs();
                    tracing::warn!(target: "connectors::kafka", "topic {topic} is read again, after {secs} s");
                }
                *lost = None;
            }
            (Some((since, told)), [..]) => {
                if !*told && since.elapsed() >= TELL_AFTER {
                    *told = true;
                    let why = self.complaint().map_or(String::new(), |why| format!(": {why}"));
                    tracing::warn!(
                        target: "connectors::kafka",
                        "brokers of topic {topic} do not answer, of partitions {partitions:?}; the job waits for them{why}"
                    );
                }
            }
        }
    }

    /// Lag tools show too much from now on; nothing else depends on it.
    fn not_told(&self, error: &KafkaError) {
        if !self.mute.swap(true, Ordering::SeqCst) {
            tracing::warn!(
                target: "connectors::kafka",
                "how far topic {} is read could not be told to its brokers, so that lag shows too high: {error}",
                self.topic
            );
        }
    }
}

impl ClientContext for Ears {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "connectors::kafka", "{level:?} {facility} {message}");
    }

    fn stats_raw(&self, report: &[u8]) {
        match serde_json::from_slice(report) {
            Ok(report) => self.hear(&report),
            // Then nothing counts as reached: the job waits, and says so.
            Err(error) => tracing::error!(target: "connectors::kafka", "the client's report cannot be read: {error}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "connectors::kafka", "{error}: {reason}");
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        // That all are gone follows from why each is, and says less.
        if complaint.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *complaint = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Ears {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.underway.fetch_sub(1, Ordering::SeqCst);
        match result {
            Ok(()) => self.mute.store(false, Ordering::SeqCst),
            Err(error) => self.not_told(&error),
        }
    }
}
