//! Topics of activity: each partition is one of the job's, named by topic and number. Owned here: that a topic is still the
//! one that a data directory has read, and where reading it began. Partitions that were added since are read from
//! their first message.

use super::describe;
use super::feed::Place;
use super::recorded::Topics;
use crate::secrets;
use config::Kafka;
use connectors::kafka::{Brokers, KafkaPartition, Login, Source, Stretch, Topic};
use engine::error::Error;
use engine::source::Partition;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Before the topic in a fingerprint.
pub(super) const TOPIC: &str = "kafka topic ";

/// How long brokers are asked when a job or a replay starts.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a fingerprint says of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The cluster that it is of.
    cluster: String,
    /// The first offset of each partition that there was when the job began.
    starts: Vec<u64>,
}

impl Mark {
    fn of(found: &Topic) -> Self {
        let starts = found.partitions.iter().map(|partition| partition.start).collect();
        Mark { cluster: found.cluster.clone(), starts }
    }
}

/// As what a fingerprint knows the terms on which a topic is read.
pub(super) fn subject(topic: &str) -> String {
    format!("kafka:{topic}")
}

/// One partition of a topic.
struct TopicPartition {
    name: String,
    subject: String,
    number: i32,
    source: Arc<Source>,
    found: Arc<Topic>,
    /// What a snapshot says of the topic, if there is one.
    was: OnceLock<Mark>,
    /// Whether it is read to its present end only.
    ends: bool,
}

/// The partitions of a topic.
pub(super) fn places(kafka: Option<&Kafka>, topic: &str, stop: &AtomicBool) -> Result<Vec<Box<dyn Place>>, Error> {
    let brokers = brokers(kafka, topic)?;
    let found = Topic::look(&brokers, topic, PATIENCE, || stop.load(Ordering::SeqCst))?;
    let numbers = 0..found.partitions.len();
    Ok(partitions(brokers, topic, found, numbers, None))
}

/// The partitions of a topic that a job has read.
pub(super) fn recorded_places(topics: &Topics<'_>, topic: &str, was: Mark) -> Result<Vec<Box<dyn Place>>, Error> {
    let brokers = brokers(topics.kafka, topic)?;
    let found = Topic::look(&brokers, topic, PATIENCE, || true)?;
    require_same(topic, &was, &found)?;
    let read = |number: &usize| topics.partitions.contains(&name(topic, *number));
    let numbers: Vec<usize> = (0..found.partitions.len()).filter(read).collect();
    Ok(partitions(brokers, topic, found, numbers, Some(was)))
}

fn partitions(
    brokers: Brokers,
    topic: &str,
    found: Topic,
    numbers: impl IntoIterator<Item = usize>,
    recorded: Option<Mark>,
) -> Vec<Box<dyn Place>> {
    let source = Source::new(brokers, topic, found.partitions.len());
    let found = Arc::new(found);
    let place = |number: usize| {
        let partition = TopicPartition {
            name: name(topic, number),
            subject: subject(topic),
            number: i32::try_from(number).unwrap_or(i32::MAX),
            source: source.clone(),
            found: found.clone(),
            was: recorded.clone().map(OnceLock::from).unwrap_or_default(),
            ends: recorded.is_some(),
        };
        Box::new(partition) as Box<dyn Place>
    };
    numbers.into_iter().map(place).collect()
}

fn name(topic: &str, number: usize) -> String {
    format!("{}/{number}", subject(topic))
}

/// The brokers, with the password that they want.
fn brokers(kafka: Option<&Kafka>, topic: &str) -> Result<Brokers, Error> {
    let kafka = kafka.ok_or_else(|| {
        Error::Invalid(format!(
            "topic {topic} was read by this job: say where it is by [kafka] brokers in the file of --config"
        ))
    })?;
    let Some(login) = &kafka.login else { return Ok(kafka.brokers.clone()) };
    let password = secrets::reveal(&login.password, "[kafka] password_file")?;
    Ok(kafka.brokers.clone().with_login(Login {
        mechanism: login.mechanism,
        name: login.name.clone(),
        password: password.expose().to_owned(),
    }))
}

/// Refuses a topic that cannot be the one that was read before. One that was made anew in the same cluster shows when an
/// offset is not there.
fn require_same(topic: &str, was: &Mark, found: &Topic) -> Result<(), Error> {
    let what = if was.cluster != found.cluster {
        format!("is of cluster {}, and the job has read that of {}", found.cluster, was.cluster)
    } else if found.partitions.len() < was.starts.len() {
        format!("has {} partitions, and had {}: it was made anew", found.partitions.len(), was.starts.len())
    } else {
        return Ok(());
    };
    Err(Error::Invalid(format!("topic {topic} {what}. Bring the former one back, or use another --data-dir")))
}

impl Place for TopicPartition {
    fn name(&self) -> &str {
        &self.name
    }

    fn subject(&self) -> &str {
        &self.subject
    }

    fn key(&self) -> String {
        format!("{TOPIC}{}", self.source.topic())
    }

    fn mark(&self) -> Result<String, Error> {
        describe(&Mark::of(&self.found))
    }

    fn since(&self, was: &str, _complete: bool) -> Result<String, Error> {
        let Ok(former) = serde_json::from_str::<Mark>(was) else { return self.mark() };
        require_same(self.source.topic(), &former, &self.found)?;
        self.was.get_or_init(|| former);
        Ok(was.to_owned())
    }

    fn is_live(&self) -> bool {
        !self.ends
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn partition(&self) -> Arc<dyn Partition> {
        let found = usize::try_from(self.number).ok().and_then(|number| self.found.partitions.get(number));
        let found = found.cloned().unwrap_or_default();
        let start = match self.was.get() {
            None => found.start,
            Some(was) => {
                let known = usize::try_from(self.number).ok().and_then(|number| was.starts.get(number));
                known.copied().unwrap_or_default()
            }
        };
        let stretch = Stretch { start, end: self.ends.then_some(found.end) };
        Arc::new(KafkaPartition::new(self.name.clone(), self.source.clone(), self.number, stretch))
    }
}
