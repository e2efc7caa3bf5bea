//! `[cluster]`: one process of several, each started by somebody else, and how long processes wait for each other.

use crate::job::PROCESSES_MAX;
use crate::read::{self, Refusal, Section};
use crate::secret::{KeyOrigin, Secret};
use crate::value::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Fewest bytes of a secret.
const SECRET_BYTES_MIN: usize = 16;

/// How the processes of a job deal with each other.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Cluster {
    /// Where this process stands among those of `hosts`, if there are any.
    pub own: Option<Own>,
    /// How long a process waits for the others when it starts. While they fetch a snapshot it does not count.
    pub start_timeout: Duration,
    /// How long another process may give no sign of life.
    pub peer_timeout: Duration,
}

/// A process of a job whose processes are started one by one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Own {
    /// Address and port of each process, all different, at least two.
    pub hosts: Vec<String>,
    /// Which of them this process is.
    pub index: usize,
    /// What all of them know.
    pub secret: KeyOrigin,
}

pub(crate) fn read(cluster: &mut Section<'_>) -> Option<Cluster> {
    const HOUR: Duration = Duration::from_secs(3_600);
    let start_timeout = cluster.read("start_timeout", read::duration(Duration::from_millis(100)..=HOUR));
    let peer_timeout = cluster.read("peer_timeout", read::duration(Duration::from_millis(200)..=HOUR));
    let hosts = cluster.read_list("hosts", host);
    let index = cluster.read_if_set("index", read::count(0..=PROCESSES_MAX - 1));
    let secret = cluster.read_secret("secret", secret);
    let file = cluster.read_if_set("secret_file", read::path);
    let own = own(cluster, hosts?, index?, secret?, file?);
    Some(Cluster { own: own?, start_timeout: start_timeout?, peer_timeout: peer_timeout? })
}

/// The settings that belong together: all of them or none.
fn own(
    cluster: &mut Section<'_>,
    hosts: Vec<String>,
    index: Option<u64>,
    secret: Option<Secret>,
    file: Option<PathBuf>,
) -> Option<Option<Own>> {
    let mut refuse = |key, rule: &str, hint: &str| {
        cluster.refuse(key, Refusal::new(rule).hint(hint));
        None
    };
    if hosts.is_empty() {
        return match index.is_none() && secret.is_none() && file.is_none() {
            true => Some(None),
            false => {
                refuse("hosts", "is missing", "name every process: hosts = [\"10.0.0.1:7300\", \"10.0.0.2:7300\"]")
            }
        };
    }
    let different: BTreeSet<_> = hosts.iter().collect();
    if hosts.len() < 2 || hosts.len() as u64 > PROCESSES_MAX || different.len() < hosts.len() {
        let rule = format!("must name from 2 to {PROCESSES_MAX} processes, each once");
        return refuse("hosts", &rule, "a job of one process needs no hosts");
    }
    let secret = match (secret, file) {
        (Some(secret), None) => KeyOrigin::Given(secret),
        (None, Some(file)) => KeyOrigin::File(file),
        (None, None) => {
            return refuse(
                "secret",
                "is missing",
                "set AERIE__CLUSTER__SECRET, or secret_file to a file that holds it",
            );
        }
        (Some(_), Some(_)) => {
            return refuse("secret_file", "cannot be set together with the secret itself", "keep one of them");
        }
    };
    match index.and_then(|index| usize::try_from(index).ok()) {
        Some(index) if index < hosts.len() => Some(Some(Own { hosts, index, secret })),
        Some(_) => refuse("index", &format!("must be from 0 to {}", hosts.len() - 1), "it counts the hosts from 0"),
        None => refuse("index", "is missing", "say which of the hosts this process is: AERIE__CLUSTER__INDEX=0"),
    }
}

/// An address or a name, and a port.
fn host(value: &Value) -> Result<String, Refusal> {
    let text = read::text(value)?;
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(1..) => Ok(text.to_owned()),
        _ => Err(Refusal::new("must be an address and port such as \"10.0.0.1:7300\"")
            .hint("every process has to know the ports, so 0 is none")),
    }
}

/// A secret comes from outside the job file, which people show to each other.
fn secret(value: &Value) -> Result<Secret, Refusal> {
    match value {
        Value::Word(text) if text.len() >= SECRET_BYTES_MIN => Ok(Secret::new(text.clone())),
        Value::Word(_) => Err(Refusal::new(format!("must have at least {SECRET_BYTES_MIN} bytes"))
            .hint("head -c 32 /dev/urandom | base64 makes a good one")),
        _ => Err(Refusal::new("must not stand in a job file")
            .hint("set AERIE__CLUSTER__SECRET, or secret_file to a file that holds it")),
    }
}
