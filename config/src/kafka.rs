//! `[kafka]`: the brokers of the topics that a job reads, and who asks them.

use crate::read::{self, Refusal, Section};
use crate::secret::{self, KeyOrigin};
use crate::value::Value;
use connectors::kafka::{Brokers, Mechanism, Tls};
use connectors::reach;

/// The brokers of a cluster, and how to get in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Kafka {
    /// The brokers, without a login.
    pub brokers: Brokers,
    /// The login, if they ask for one.
    pub login: Option<KafkaLogin>,
}

/// Who asks the brokers.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaLogin {
    /// How name and password are shown.
    pub mechanism: Mechanism,
    /// The name.
    pub name: String,
    /// The password.
    pub password: KeyOrigin,
}

const BROKERS: &str = "brokers = [\"kafka1.example.com:9093\", \"kafka2.example.com:9093\"]";

const MECHANISMS: &[(&str, Mechanism)] = &[
    ("scram-sha-512", Mechanism::ScramSha512),
    ("scram-sha-256", Mechanism::ScramSha256),
    ("plain", Mechanism::Plain),
];

/// Reads the section; `wanted` is whether the job needs brokers. `Some(None)` is a job without any.
pub(crate) fn read(kafka: &mut Section<'_>, wanted: bool) -> Option<Option<Kafka>> {
    let brokers = kafka.read_list("brokers", broker);
    let group = kafka.read("group", read::text);
    let tls = kafka.read("tls", read::switch);
    let ca_file = kafka.read_if_set("ca_file", read::path);
    let mechanism = kafka.read("mechanism", read::one_of(MECHANISMS));
    let name = kafka.read_if_set("login", read::text);
    let password = secret::read(kafka, "password", "password_file", |_| Ok(()));
    let (brokers, tls, ca_file) = (brokers?, tls?, ca_file?);
    let mut refuse = |key, rule: &str, hint: &str| {
        kafka.refuse(key, Refusal::new(rule).hint(hint));
        None
    };
    let login = match (name?, password?) {
        (Some(name), Some(password)) => Some(KafkaLogin { mechanism: mechanism?, name, password }),
        (None, None) => None,
        (Some(_), None) => return refuse("password_file", "is missing", "set it, or AERIE__KAFKA__PASSWORD"),
        (None, Some(_)) => return refuse("login", "is missing", "it is the name that goes with the password"),
    };
    if brokers.is_empty() {
        let alone = [("ca_file", ca_file.is_some()), ("login", login.is_some())];
        return match alone.into_iter().find(|(_, set)| *set) {
            Some((key, _)) => refuse(key, "is of no use without brokers", BROKERS),
            None if wanted => refuse("brokers", "is missing, and a source reads a topic", BROKERS),
            None => Some(None),
        };
    }
    let tls = match (tls, ca_file) {
        (true, None) => Tls::System,
        (true, Some(path)) => Tls::Authorities(path),
        (false, None) => Tls::Off,
        (false, Some(_)) => return refuse("ca_file", "is of no use with tls = false", "drop one of them"),
    };
    let brokers = Brokers::new(brokers, tls, group?);
    match login.is_none() || brokers.is_private() {
        true => Some(Some(Kafka { brokers, login })),
        false => refuse("tls", "must be true with a login at other machines", "all between could read the password"),
    }
}

/// A host and a port.
fn broker(value: &Value) -> Result<String, Refusal> {
    let refusal = |rule: String| Refusal::new(rule).hint(BROKERS);
    let text = read::text(value)?;
    let (host, port) = text.rsplit_once(':').ok_or_else(|| refusal("must be a host and a port".to_owned()))?;
    let port: u16 =
        port.parse().ok().filter(|port| *port > 0).ok_or_else(|| refusal("must end in a port".to_owned()))?;
    let host = reach::host(host).map_err(refusal)?;
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}
