//! An Apache Kafka of a test's own: one broker on loopback, from the jars that scripts/kafka.sh fetches. Owned here:
//! starting, killing and ending it, and what tests do to topics. It ends with the test, however that ends.

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::fs;
use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Who may ask at [`Kafka::private`].
pub const LOGIN: (&str, &str) = ("job", "hunter2-of-the-test");

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker that is its own controller.
pub struct Kafka {
    folder: TempDir,
    /// Of the plain listener, the controller's and the private one.
    ports: [u16; 3],
    keeper: Child,
}

impl Kafka {
    /// Makes a broker in `folder` and starts it.
    pub fn start(folder: TempDir) -> Self {
        let ports = [free_port(), free_port(), free_port()];
        certify(folder.path());
        fs::write(folder.path().join("broker"), settings(ports)).expect("a file can be written");
        let (name, password) = LOGIN;
        let scram = format!("SCRAM-SHA-512=[name={name},iterations=4096,password={password}]");
        let formatted = java(folder.path(), "kafka.tools.StorageTool")
            .args(["format", "--config", "broker", "--cluster-id", "q1Sh-9_ISia_zwGINzRvyQ", "--add-scram", &scram])
            .output()
            .expect("java starts: scripts/setup.sh installs it");
        let said = String::from_utf8_lossy(&formatted.stderr);
        assert!(formatted.status.success(), "{said}{}", String::from_utf8_lossy(&formatted.stdout));
        let keeper = launch(folder.path());
        let mut kafka = Kafka { folder, ports, keeper };
        kafka.wait();
        kafka
    }

    /// Where it is.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Where it is encrypted, and asks for a login.
    pub fn private(&self) -> String {
        format!("localhost:{}", self.ports[2])
    }

    /// Who vouches for it there.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// SIGKILL: what was acknowledged is there after a [`Kafka::restart`].
    pub fn kill(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().expect("a child can be waited for");
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.keeper = launch(self.folder.path());
        self.wait();
    }

    fn wait(&mut self) {
        let since = Instant::now();
        let client: BaseConsumer = self.client().create().expect("a client can be made");
        while client.fetch_metadata(None, Duration::from_secs(1)).map_or(true, |found| found.brokers().is_empty()) {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let ended = self.keeper.try_wait().expect("a child can be waited for");
            assert!(ended.is_none() && since.elapsed() < PATIENCE, "the broker does not come up: {}", log());
        }
    }

    /// Settings of a client.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.address());
        client
    }

    fn admin<T>(&self, act: impl AsyncFnOnce(AdminClient<DefaultClientContext>, AdminOptions) -> T) -> T {
        let admin = self.client().create().expect("a client can be made");
        wait_for(act(admin, AdminOptions::new().operation_timeout(Some(PATIENCE))))
    }

    /// Makes a topic.
    pub fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let new =
            settings.iter().fold(NewTopic::new(topic, partitions, TopicReplication::Fixed(1)), |new, (key, value)| {
                new.set(key, value)
            });
        let made = self.admin(async |admin, options| admin.create_topics([&new], &options).await);
        made.expect("the broker answers").into_iter().for_each(|made| drop(made.expect("a topic can be made")));
        self.until_found(topic, |found| usize::try_from(partitions).is_ok_and(|partitions| found == partitions));
    }

    /// Removes a topic.
    pub fn remove(&self, topic: &str) {
        let gone = self.admin(async |admin, options| admin.delete_topics(&[topic], &options).await);
        gone.expect("the broker answers").into_iter().for_each(|gone| drop(gone.expect("a topic can be removed")));
        self.until_found(topic, |found| found == 0);
    }

    /// Gives a topic so many partitions.
    pub fn extend(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        let added = self.admin(async |admin, options| admin.create_partitions([&new], &options).await);
        added.expect("the broker answers").into_iter().for_each(|added| drop(added.expect("partitions can be added")));
        self.until_found(topic, |found| found == partitions);
    }

    /// Removes what stands before an offset, as retention does.
    pub fn forget(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(before)).expect("an offset");
        let gone = self.admin(async |admin, options| admin.delete_records(&offsets, &options).await);
        gone.expect("the broker answers");
        let client: BaseConsumer = self.client().create().expect("a client can be made");
        let low = || client.fetch_watermarks(topic, partition, PATIENCE).expect("the broker answers").0;
        while low() < before {
            std::thread::yield_now();
        }
    }

    fn until_found(&self, topic: &str, holds: impl Fn(usize) -> bool) {
        let client: BaseConsumer = self.client().create().expect("a client can be made");
        let since = Instant::now();
        loop {
            let found = client.fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
            let led = |topic: &rdkafka::metadata::MetadataTopic| {
                topic.partitions().iter().filter(|partition| partition.leader() >= 0).count()
            };
            if holds(found.topics().first().map_or(0, led)) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "topic {topic} is not as it was made");
        }
    }

    /// Writes messages, each to its partition, and waits until they are there.
    pub fn write<'a>(&self, topic: &str, messages: impl IntoIterator<Item = (i32, &'a [u8])>) {
        let producer: BaseProducer = self
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "20")
            .set("compression.type", "zstd")
            .set("queue.buffering.max.messages", "100000")
            .create()
            .expect("a client can be made");
        for (partition, message) in messages {
            send(&producer, topic, partition, message);
        }
        producer.flush(PATIENCE).expect("the broker takes them");
    }

    /// Writes messages that are taken back, and then some that stay.
    pub fn write_and_take_back(&self, topic: &str, partition: i32, gone: &[&[u8]], kept: &[&[u8]]) {
        let producer: BaseProducer =
            self.client().set("transactional.id", topic).create().expect("a client can be made");
        producer.init_transactions(PATIENCE).expect("the broker takes them");
        for (messages, stay) in [(gone, false), (kept, true)] {
            producer.begin_transaction().expect("none is under way");
            messages.iter().for_each(|message| send(&producer, topic, partition, message));
            producer.flush(PATIENCE).expect("the broker takes them");
            match stay {
                true => producer.commit_transaction(PATIENCE),
                false => producer.abort_transaction(PATIENCE),
            }
            .expect("the transaction ends");
        }
    }

    /// How far a group is told to have read a partition.
    pub fn told(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let client: BaseConsumer = self.client().set("group.id", group).create().expect("a client can be made");
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition(topic, partition);
        let told = client.committed_offsets(wanted, PATIENCE).expect("the broker answers");
        told.find_partition(topic, partition)?.offset().to_raw().filter(|offset| *offset >= 0)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // Its keeper hears that nobody is there any more, and ends it.
        self.kill();
    }
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, message: &[u8]) {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(message);
    while let Err((error, returned)) = producer.send(record) {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        assert_eq!(error, full, "a message can be written");
        producer.poll(Duration::from_millis(10));
        record = returned;
    }
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime can be made").block_on(future)
}

/// Starts a broker under a shell that ends it once this process is gone. Ends when the broker does.
fn launch(folder: &Path) -> Child {
    const KEEP: &str = "exec 3<&0; \"$@\" 3<&- >>log 2>&1 & broker=$!; \
                        (cat <&3 >/dev/null; kill -KILL $broker) & wait $broker; kill $!";
    let java = java(folder, "kafka.Kafka");
    Command::new("sh")
        .current_dir(folder)
        .args(["-c", KEEP, "sh"])
        .arg(java.get_program())
        .args(java.get_args())
        .arg("broker")
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell starts")
}

/// A small Java with Kafka's classes.
fn java(folder: &Path, class: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let jars = [".native/kafka", "../.native/kafka"].map(|jars| root.join(jars)).into_iter().find(|jars| jars.exists());
    let jars = jars.expect("Kafka's jars are there: scripts/kafka.sh fetches them");
    let mut java = Command::new("java");
    java.current_dir(folder).args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp"]);
    java.arg(format!("{}/*", jars.display())).arg(class);
    java
}

fn settings([plain, controller, private]: [u16; 3]) -> String {
    let (name, password) = LOGIN;
    format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},PRIVATE://127.0.0.1:{private}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{plain},PRIVATE://localhost:{private}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PRIVATE:SASL_SSL\n\
         controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAINTEXT\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
         listener.name.private.ssl.keystore.type=PEM\n\
         listener.name.private.ssl.keystore.location=broker.pem\n\
         listener.name.private.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         listener.name.private.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_{name}=\"{password}\";\n\
         log.dirs=data\n\
         auto.create.topics.enable=false\n\
         offsets.topic.num.partitions=1\noffsets.topic.replication.factor=1\n\
         transaction.state.log.num.partitions=1\ntransaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         num.network.threads=1\nnum.io.threads=2\nlog.cleaner.dedupe.buffer.size=4194304\n"
    )
}

/// An authority, and a certificate of localhost by it, with the broker's key in one file.
fn certify(folder: &Path) {
    const MAKE: &str = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tests -keyout authority.key \
                          -out authority.pem &&
                        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout broker.key -out broker.csr &&
                        printf subjectAltName=DNS:localhost >names &&
                        openssl x509 -req -in broker.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \
                          -extfile names -out broker.crt &&
                        cat broker.key broker.crt >broker.pem";
    let made = Command::new("sh").current_dir(folder).args(["-c", MAKE]).output().expect("a shell starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// A port that the system gives nobody by itself; see the PostgreSQL of tests.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 100).expect("it is below 100") * 100;
    let port = || 10_000 + own + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
    let mut ports = std::iter::repeat_with(port).take(100);
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a port is free")
}
