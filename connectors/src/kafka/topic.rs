//! A topic as it is found: its partitions, from where to where each reaches, and which cluster it is of.

use super::Brokers;
use super::consumer::{Consumer, Ears};
use engine::error::Error;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one question to the brokers may take at most.
const QUESTION: Duration = Duration::from_secs(10);

/// How much of what a client has to say is heard before it is asked again.
const WORDS_HEARD: usize = 64;

/// How long brokers are left alone before they are asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// A topic as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The cluster's id.
    pub cluster: String,
    /// Of each partition, by number: the first offset that is there and the next one to come.
    pub partitions: Vec<Range<u64>>,
}

impl Topic {
    /// Looks at a topic. Brokers that do not answer are asked again until `patience` has run out or `stopped` says so.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such topic or it may not be read, [`Error::Unavailable`] if nobody answers.
    pub fn look(brokers: &Brokers, name: &str, patience: Duration, stopped: impl Fn() -> bool) -> Result<Self, Error> {
        let ears = Ears::new(name, 0);
        let client = BaseConsumer::from_config_and_context(&brokers.client(), ears);
        let client = client.map_err(|error| brokers.unusable(&error))?;
        let since = Instant::now();
        loop {
            let error = match look(&client, brokers, name, QUESTION.min(patience)) {
                Err(Error::Unavailable(error)) => error,
                looked => return looked,
            };
            // What became of connections is heard in between only, one thing at a time.
            for _ in 0..WORDS_HEARD {
                let _ = client.poll(Duration::ZERO);
            }
            let why = client.client().context().complaint().map_or(error, |why| why.to_string());
            let told = format!("the brokers at {} do not answer: {why}", brokers.place());
            if since.elapsed() >= patience || stopped() {
                return Err(Error::Unavailable(format!("{told}; start again once they do")));
            }
            tracing::warn!(target: "connectors::kafka", "{told}; asking again");
            let _ = client.poll(PAUSE);
        }
    }
}

fn look(client: &BaseConsumer<Ears>, brokers: &Brokers, name: &str, timeout: Duration) -> Result<Topic, Error> {
    let lost = |error: KafkaError| Error::Unavailable(error.to_string());
    let metadata = client.fetch_metadata(Some(name), timeout).map_err(lost)?;
    let refuse = |why: &str| Err(Error::Invalid(format!("cannot read topic {name} at {}: {why}", brokers.place())));
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return refuse("there is none of this name");
    };
    if let Some(error) = topic.error() {
        return match RDKafkaErrorCode::from(error) {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                refuse("there is none of this name, or the job may not know of it")
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => refuse("the job may not; give it leave to read and describe"),
            RDKafkaErrorCode::InvalidTopic => refuse("no topic can have this name"),
            error => Err(Error::Unavailable(error.to_string())),
        };
    }
    let mut numbers: Vec<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
    numbers.sort_unstable();
    let mut partitions = Vec::new();
    for (expected, number) in (0..).zip(numbers) {
        if number != expected {
            return Err(Error::Unavailable(format!("partition {expected} of topic {name} is not known to them")));
        }
        let (low, high) = client.fetch_watermarks(name, number, timeout).map_err(lost)?;
        let low = u64::try_from(low).unwrap_or_default();
        partitions.push(low..u64::try_from(high).unwrap_or_default().max(low));
    }
    let cluster = client.client().fetch_cluster_id(timeout);
    let cluster = cluster.ok_or_else(|| Error::Unavailable("they name no cluster".to_owned()))?;
    Ok(Topic { cluster, partitions })
}

/// A topic as it is read: one client for all its partitions in this process, made when it is first needed. Each partition
/// has a queue of its own in it; so many clients as partitions would be as many connections and threads.
#[derive(Debug)]
pub struct Source {
    brokers: Brokers,
    topic: String,
    /// How many partitions are read.
    count: usize,
    consumer: Mutex<Option<Arc<Consumer>>>,
}

impl Source {
    /// A topic, of which `count` partitions are read.
    pub fn new(brokers: Brokers, topic: impl Into<String>, count: usize) -> Arc<Self> {
        Arc::new(Source { brokers, topic: topic.into(), count, consumer: Mutex::new(None) })
    }

    /// Its name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The client.
    pub(super) fn consumer(&self) -> Result<Arc<Consumer>, Error> {
        let mut consumer = self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(consumer) = &*consumer {
            return Ok(consumer.clone());
        }
        let started = Consumer::start(&self.brokers, &self.topic, self.count)?;
        Ok(consumer.insert(Arc::new(started)).clone())
    }
}
