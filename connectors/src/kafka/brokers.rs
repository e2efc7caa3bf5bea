//! How the brokers of a cluster are reached: addresses, encryption, and who asks.

use engine::error::Error;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// How connections are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    Off,
    /// By certificates of whom the system trusts.
    System,
    /// By certificates of the authorities in a PEM file.
    Authorities(PathBuf),
}

/// How a name and a password are shown to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// As they are.
    Plain,
    /// By proof that the password is known.
    ScramSha256,
    /// Likewise, by the longer hash.
    ScramSha512,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// How.
    pub mechanism: Mechanism,
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} ***", self.mechanism, self.name)
    }
}

/// The brokers of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brokers {
    addresses: Vec<String>,
    tls: Tls,
    group: String,
    login: Option<Login>,
}

impl Brokers {
    /// Brokers at these addresses, at least one, each a host and a port. What the job has read is told to them as that of
    /// `group`.
    pub fn new(addresses: Vec<String>, tls: Tls, group: impl Into<String>) -> Self {
        Brokers { addresses, tls, group: group.into(), login: None }
    }

    /// To be asked in somebody's name.
    pub fn with_login(self, login: Login) -> Self {
        Brokers { login: Some(login), ..self }
    }

    /// What people call them.
    pub fn place(&self) -> String {
        self.addresses.join(", ")
    }

    /// Whether nobody between can read what is sent: it is encrypted, or stays on this machine.
    pub fn is_private(&self) -> bool {
        self.tls != Tls::Off || self.addresses.iter().all(|address| is_here(address))
    }

    /// Settings of a client.
    pub(super) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        let protocol = match (&self.tls, &self.login) {
            (Tls::Off, None) => "plaintext",
            (Tls::Off, Some(_)) => "sasl_plaintext",
            (_, None) => "ssl",
            (_, Some(_)) => "sasl_ssl",
        };
        client
            .set("bootstrap.servers", self.addresses.join(","))
            .set("security.protocol", protocol)
            .set("group.id", &self.group)
            .set("socket.keepalive.enable", "true")
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        if let Tls::Authorities(path) = &self.tls {
            client.set("ssl.ca.location", path.display().to_string());
        }
        if let Some(Login { mechanism, name, password }) = &self.login {
            let mechanism = match mechanism {
                Mechanism::Plain => "PLAIN",
                Mechanism::ScramSha256 => "SCRAM-SHA-256",
                Mechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            client.set("sasl.mechanisms", mechanism).set("sasl.username", name).set("sasl.password", password);
        }
        client
    }

    /// That a client cannot even be made. The value of a setting is not told: it may be a password.
    pub(super) fn unusable(&self, error: &KafkaError) -> Error {
        let why = match error {
            KafkaError::ClientConfig(_, why, key, _) => format!("{key}: {why}"),
            error => error.to_string(),
        };
        let by = match &self.tls {
            Tls::Authorities(path) => format!(", with the authorities of {}", path.display()),
            Tls::Off | Tls::System => String::new(),
        };
        Error::Invalid(format!("cannot reach the brokers at {} as they are set{by}: {why}", self.place()))
    }
}

/// Whether an address is of this machine.
fn is_here(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brokers(address: &str, tls: Tls) -> Brokers {
        Brokers::new(vec![address.to_owned()], tls, "readers")
    }

    #[test]
    fn a_password_is_in_no_text() {
        let login = Login { mechanism: Mechanism::Plain, name: "job".to_owned(), password: "hunter2\0".to_owned() };
        let brokers = brokers("localhost:9092", Tls::Off).with_login(login);
        assert!(!format!("{brokers:?} {brokers:#?}").contains("hunter2"));
        let error = KafkaError::ClientConfig(
            rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "no".to_owned(),
            "sasl.password".to_owned(),
            "hunter2".to_owned(),
        );
        let told = brokers.unusable(&error).to_string();
        assert!(told.contains("sasl.password: no") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn what_is_sent_is_private_on_this_machine_or_encrypted() {
        for (address, tls, private) in [
            ("localhost:9092", Tls::Off, true),
            ("127.0.0.1:9092", Tls::Off, true),
            ("[::1]:9092", Tls::Off, true),
            ("kafka.example.com:9092", Tls::Off, false),
            ("localhost.example.com:9092", Tls::Off, false),
            ("kafka.example.com:9093", Tls::System, true),
        ] {
            assert_eq!(brokers(address, tls).is_private(), private, "{address}");
        }
    }
}
