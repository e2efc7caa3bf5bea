//! Topics of a real broker, one for all: what a reader gives of them, and what it says when it cannot.

#[path = "support/kafka.rs"]
mod broker;
#[path = "../../engine/tests/word_count/scratch.rs"]
mod scratch;

use broker::{Kafka, LOGIN};
use connectors::kafka::{Brokers, KafkaPartition, Login, Mechanism, Source, Stretch, Tls, Topic};
use engine::error::Error;
use engine::source::{Block, Partition, Reader, Reading};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long brokers may take that do answer.
const QUESTION: Duration = Duration::from_secs(3);

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn topics_of_a_broker() {
    let mut kafka = Kafka::start(scratch::folder());
    messages_are_lines_in_order_whatever_lies_between(&kafka);
    a_partition_is_read_on_from_a_position_and_to_an_end(&kafka);
    partitions_that_are_added_are_found(&kafka);
    the_cluster_is_told_how_far_the_job_is(&kafka);
    what_was_removed_before_it_was_read_is_refused(&kafka);
    a_topic_that_was_made_anew_is_refused(&kafka);
    a_topic_that_is_not_there_is_refused(&kafka);
    connections_are_encrypted_and_names_are_proved(&kafka);
    brokers_that_are_gone_are_waited_for(&mut kafka);
}

fn brokers(kafka: &Kafka) -> Brokers {
    Brokers::new(vec![kafka.address()], Tls::Off, "readers")
}

fn look(brokers: &Brokers, topic: &str) -> Result<Topic, Error> {
    Topic::look(brokers, topic, QUESTION, || true)
}

/// Partition 0 of a topic, as it goes on.
fn partition(kafka: &Kafka, topic: &str) -> KafkaPartition {
    ending(kafka, topic, Stretch { start: 0, end: None })
}

fn ending(kafka: &Kafka, topic: &str, stretch: Stretch) -> KafkaPartition {
    KafkaPartition::new(format!("kafka:{topic}/0"), Source::new(brokers(kafka), topic, 1), 0, stretch)
}

/// Reads until there are so many lines, or the partition has ended: each with its position.
fn read(reader: &mut dyn Reader, count: usize) -> Result<Vec<(u64, String)>, Error> {
    let (mut lines, since, mut block) = (Vec::new(), Instant::now(), Block::default());
    while lines.len() < count {
        assert!(since.elapsed() < PATIENCE, "{} of {count} lines", lines.len());
        match reader.read(&mut block)? {
            Reading::Lines => lines.extend(block.lines.iter().map(|line| {
                let text = String::from_utf8_lossy(&block.bytes[line.start..line.end]);
                (line.position, format!("{text}{}", line.oversize.map_or(String::new(), |length| length.to_string())))
            })),
            Reading::End => break,
            Reading::Pending | Reading::Unknown => std::thread::yield_now(),
        }
    }
    Ok(lines)
}

/// Waits until a reader has this to say.
fn until(reader: &mut dyn Reader, expected: Reading) {
    let (since, mut block) = (Instant::now(), Block::default());
    while reader.read(&mut block).expect("it can be read") != expected {
        assert!(since.elapsed() < PATIENCE, "it is not {expected:?}");
        std::thread::yield_now();
    }
}

fn lines(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(position, text)| (*position, (*text).to_owned())).collect()
}

fn messages_are_lines_in_order_whatever_lies_between(kafka: &Kafka) {
    kafka.create("mixed", 1, &[]);
    let long = vec![b'x'; 65_537];
    kafka.write("mixed", [(0, &b"a"[..]), (0, b""), (0, b" \n"), (0, b"b\r\n"), (0, &long), (0, b"\xff")]);
    // Two that are taken back, the mark of that, two that stay and the mark of these.
    kafka.write_and_take_back("mixed", 0, &[b"never", b"never"], &[b"c", b"d"]);
    kafka.write("mixed", [(0, &b"e"[..])]);
    let mut reader = partition(kafka, "mixed").open(0).unwrap();
    let head = "x".repeat(1_024) + "65537";
    let expected = [(0, "a"), (3, "b"), (4, &head), (5, "\u{fffd}"), (9, "c"), (10, "d"), (12, "e")];
    assert_eq!(read(&mut *reader, expected.len()).unwrap(), lines(&expected));
    until(&mut *reader, Reading::Pending);
    // What is under way is not there yet.
    kafka.write("mixed", [(0, &b"f"[..])]);
    assert_eq!(read(&mut *reader, 1).unwrap(), lines(&[(13, "f")]));
    assert_eq!(look(&brokers(kafka), "mixed").unwrap().partitions, [0..14]);
}

fn a_partition_is_read_on_from_a_position_and_to_an_end(kafka: &Kafka) {
    // It ends with messages that were taken back and marks.
    for (end, expected) in [(13, &[(10, "d"), (12, "e")][..]), (11, &[(10, "d")]), (12, &[(10, "d")])] {
        let mut reader = ending(kafka, "mixed", Stretch { start: 0, end: Some(end) }).open(10).unwrap();
        assert_eq!(read(&mut *reader, usize::MAX).unwrap(), lines(expected), "to {end}");
        assert_eq!(reader.read(&mut Block::default()).unwrap(), Reading::End);
    }
    // Many, by several readers of one client.
    kafka.create("many", 3, &[]);
    let texts: Vec<String> = (0..30_000).map(|number| format!("message {number}")).collect();
    kafka.write("many", (0..).zip(&texts).map(|(number, text)| (number % 3, text.as_bytes())));
    let source = Source::new(brokers(kafka), "many", 3);
    let open = |number: i32| {
        let stretch = Stretch { start: 0, end: Some(10_000) };
        KafkaPartition::new(format!("kafka:many/{number}"), source.clone(), number, stretch).open(0).unwrap()
    };
    for (number, mut reader) in [0, 1, 2].map(|number| (number, open(number))) {
        let found = read(&mut *reader, usize::MAX).unwrap();
        let expected = (0..10_000).map(|n| (n as u64, texts[n * 3 + number as usize].clone()));
        assert!(found.into_iter().eq(expected), "partition {number}");
    }
}

fn partitions_that_are_added_are_found(kafka: &Kafka) {
    kafka.extend("many", 4);
    assert_eq!(look(&brokers(kafka), "many").unwrap().partitions, [0..10_000, 0..10_000, 0..10_000, 0..0]);
}

fn the_cluster_is_told_how_far_the_job_is(kafka: &Kafka) {
    assert_eq!(kafka.told("readers", "many", 1), None, "nobody tells it by themselves");
    let source = Source::new(brokers(kafka), "many", 3);
    let stretch = Stretch { start: 5, end: None };
    let partitions = [0, 1].map(|number| KafkaPartition::new(format!("p{number}"), source.clone(), number, stretch));
    partitions[1].kept(0);
    partitions[0].kept(77);
    partitions[0].kept(78);
    drop((partitions, source));
    // The last word is given before the client goes.
    assert_eq!([0, 1, 2].map(|number| kafka.told("readers", "many", number)), [Some(78), Some(5), None]);
    ending(kafka, "many", Stretch { start: 0, end: Some(9) }).kept(9);
    assert_eq!(kafka.told("readers", "many", 0), Some(78), "who reads it again tells nobody");
}

#[track_caller]
fn refused(read: Result<Vec<(u64, String)>, Error>, words: &[&str]) {
    match read {
        Err(Error::Invalid(text)) => {
            assert!(words.iter().all(|word| text.contains(word)), "{words:?} is not all in: {text}");
        }
        other => panic!("that was to be refused: {other:?}"),
    }
}

fn what_was_removed_before_it_was_read_is_refused(kafka: &Kafka) {
    kafka.create("short", 1, &[]);
    let texts: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    kafka.write("short", texts.iter().map(|text| (0, text.as_bytes())));
    kafka.forget("short", 0, 6);
    let found = look(&brokers(kafka), "short").unwrap();
    assert_eq!(found.partitions, [6..10]);
    let told = ["partition 0 of topic short begins at offset 6", "stands at 4", "2 offsets were removed"];
    refused(read(&mut *partition(kafka, "short").open(4).unwrap(), 1), &told);
    // A job that began after that has lost nothing.
    let mut reader = ending(kafka, "short", Stretch { start: 6, end: None }).open(0).unwrap();
    assert_eq!(read(&mut *reader, 1).unwrap()[0], (6, "6".to_owned()));
    // What goes while it is read was read, or is missed.
    refused(read(&mut *partition(kafka, "short").open(11).unwrap(), 1), &["ends at offset 10", "stands at 11"]);
}

fn a_topic_that_was_made_anew_is_refused(kafka: &Kafka) {
    kafka.create("anew", 1, &[]);
    kafka.write("anew", [(0, &b"a"[..]), (0, b"b"), (0, b"c")]);
    let reading = partition(kafka, "anew");
    let mut reader = reading.open(0).unwrap();
    assert_eq!(read(&mut *reader, 3).unwrap().len(), 3);
    kafka.remove("anew");
    kafka.create("anew", 1, &[]);
    kafka.write("anew", [(0, &b"x"[..])]);
    refused(
        read(&mut *partition(kafka, "anew").open(3).unwrap(), 1),
        &["ends at offset 1", "stands at 3", "made anew"],
    );
    // Who was reading all the while notices as well, one way or the other, and is given nothing of it.
    let met = read(&mut *reader, 1);
    assert!(met.is_err(), "{met:?}");
}

fn a_topic_that_is_not_there_is_refused(kafka: &Kafka) {
    let told = look(&brokers(kafka), "nowhere").unwrap_err();
    assert!(matches!(&told, Error::Invalid(text) if text.contains("topic nowhere")), "{told}");
    let nobody = Brokers::new(vec!["127.0.0.1:9".to_owned()], Tls::Off, "readers");
    let told = look(&nobody, "mixed").unwrap_err();
    assert!(matches!(&told, Error::Unavailable(text) if text.contains("127.0.0.1:9 do not answer")), "{told}");
}

fn connections_are_encrypted_and_names_are_proved(kafka: &Kafka) {
    let (name, password) = LOGIN;
    let private = |tls: Tls, mechanism: Mechanism, password: &str| {
        let login = Login { mechanism, name: name.to_owned(), password: password.to_owned() };
        Brokers::new(vec![kafka.private()], tls, "readers").with_login(login)
    };
    let trusted = || Tls::Authorities(kafka.authority());
    for mechanism in [Mechanism::ScramSha512, Mechanism::Plain] {
        let brokers = private(trusted(), mechanism, password);
        assert_eq!(look(&brokers, "mixed").unwrap().partitions, [0..14], "{mechanism:?}");
        let source = Source::new(brokers, "mixed", 1);
        let mut reader = KafkaPartition::new("p", source, 0, Stretch { start: 0, end: None }).open(13).unwrap();
        assert_eq!(read(&mut *reader, 1).unwrap(), lines(&[(13, "f")]));
        let told = look(&private(trusted(), mechanism, "wrong-password"), "mixed").unwrap_err().to_string();
        assert!(told.contains("uthentication") && !told.contains("wrong-password"), "{told}");
    }
    let told = look(&private(Tls::System, Mechanism::Plain, password), "mixed").unwrap_err().to_string();
    assert!(told.contains("SSL") && !told.contains(password), "whom nobody vouches for is not trusted: {told}");
    let absent = Tls::Authorities("no-such-authority.pem".into());
    let told = look(&private(absent, Mechanism::Plain, password), "mixed").unwrap_err();
    assert!(matches!(&told, Error::Invalid(text) if text.contains("no-such-authority.pem")), "{told}");
}

fn brokers_that_are_gone_are_waited_for(kafka: &mut Kafka) {
    let partition: Arc<dyn Partition> = Arc::new(partition(kafka, "mixed"));
    let mut reader = partition.open(13).unwrap();
    assert_eq!(read(&mut *reader, 1).unwrap(), lines(&[(13, "f")]));
    until(&mut *reader, Reading::Pending);
    kafka.kill();
    until(&mut *reader, Reading::Unknown);
    kafka.restart();
    until(&mut *reader, Reading::Pending);
    kafka.write("mixed", [(0, &b"g"[..])]);
    assert_eq!(read(&mut *reader, 1).unwrap(), lines(&[(14, "g")]));
}
