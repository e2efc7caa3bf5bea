//! What a running job serves over HTTP to this machine: whether it lives, whether it is ready, its figures, its
//! version. Owned here: the server's thread and its routes. Not owned here: what the figures are (`telemetry`).

use crate::cli::{Failure, tell};
use crate::inspect;
use crate::run::{Phase, Watch};
use crate::telemetry;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::Ordering;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use url::form_urlencoded::parse;

/// What to do when the port is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Somebody chose it: refuse.
    AsGiven,
    /// It is only a default: take any free one.
    OrAnyFree,
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    _running: oneshot::Sender<()>,
}

/// Serves `watch` on a thread of its own. Port 0 is any free port.
///
/// # Errors
/// [`Failure::Usage`] if the address cannot be listened on.
pub fn start(listen: SocketAddr, port: Port, watch: Watch) -> Result<Server, Failure> {
    let listener = bind(listen, port)?;
    let failed = |error| Failure::Failed(format!("cannot serve HTTP on {listen}: {error}"));
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    watch.http.get_or_init(|| address);
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
    let (running, ended) = oneshot::channel::<()>();
    let serve = move || {
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let ended = async { drop(ended.await) };
            axum::serve(listener, routes(watch)).with_graceful_shutdown(ended).await
        });
        if let Err(error) = served {
            tell(&format!("no longer serving HTTP on {address}: {error}"));
        }
    };
    std::thread::Builder::new().name("http".to_owned()).spawn(serve).map_err(failed)?;
    Ok(Server { address, _running: running })
}

fn bind(listen: SocketAddr, port: Port) -> Result<TcpListener, Failure> {
    match TcpListener::bind(listen) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse && port == Port::OrAnyFree => {
            bind(SocketAddr::new(listen.ip(), 0), Port::AsGiven)
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => Err(Failure::Usage(format!(
            "cannot serve HTTP on {listen}: the port is in use; set [http] listen = \"{}:0\" for any free one",
            Ipv4Addr::LOCALHOST
        ))),
        Err(error) => Err(Failure::Usage(format!("cannot serve HTTP on {listen}: {error}"))),
    }
}

const INDEX: &str = "aerie\n/livez    whether the process answers\n/readyz   whether the job has its state and reads\n\
                     /metrics  figures for Prometheus\n/version  what runs\n\
                     /api/job  where each source stands\n/api/user?org=ORG&user=USER\n          what is held of one user\n";

fn routes(watch: Watch) -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .route("/api/job", get(job))
        .route("/api/user", get(user))
        .with_state(watch)
}

async fn readyz(State(watch): State<Watch>) -> Response {
    match readiness(&watch) {
        Ok(()) => json_of(StatusCode::OK, &json!({"ready": true})),
        Err(reason) => json_of(StatusCode::SERVICE_UNAVAILABLE, &json!({"ready": false, "reason": reason})),
    }
}

async fn metrics(State(watch): State<Watch>) -> Response {
    match telemetry::exposition(&watch) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn version() -> Response {
    json_of(StatusCode::OK, &json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")}))
}

async fn job(State(watch): State<Watch>) -> Response {
    match serde_json::to_value(inspect::Standing::live(&watch)) {
        Ok(body) => json_of(StatusCode::OK, &body),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn user(State(watch): State<Watch>, RawQuery(query): RawQuery) -> Response {
    let query: BTreeMap<_, _> = parse(query.as_deref().unwrap_or_default().as_bytes()).into_owned().collect();
    let refuse = |status, why: &str| json_of(status, &json!({"error": why}));
    let (Some(org), Some(id)) = (query.get("org").cloned(), query.get("user").cloned()) else {
        return refuse(StatusCode::BAD_REQUEST, "ask as /api/user?org=ORG&user=USER");
    };
    let look = move || inspect::live(&watch, inspect::User { org: &org, id: &id });
    let body = match tokio::task::spawn_blocking(look).await {
        Ok(Ok(live)) => serde_json::to_value(live).map_err(|error| error.to_string()),
        Ok(Err(why)) => return refuse(StatusCode::SERVICE_UNAVAILABLE, &why),
        Err(error) => Err(error.to_string()),
    };
    match body {
        Ok(body) => json_of(StatusCode::OK, &body),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

fn json_of(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// Whether the job has its state back and reads, or why not. A source's first report comes after the restore, and goes
/// to the first process; the others are ready once all have met.
/// A job that cannot keep what it does goes on, and would do all of it again after a crash: it asks for help.
fn readiness(watch: &Watch) -> Result<(), String> {
    let phase = watch.phase.load(Ordering::Acquire);
    if phase < Phase::Running as u8 {
        Err("starting: looking for what to start from".to_owned())
    } else if phase == Phase::Running as u8 && !watch.follows && watch.status.partitions().is_empty() {
        Err("restoring: no source has been opened yet".to_owned())
    } else if let Some(why) = watch.status.snapshots().failing {
        Err(format!("the last snapshot could not be stored: {why}"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::coordinator::message::{Activity, Progress};
    use engine::time::Micros;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn report(watch: &Watch) {
        let (newest, watermark) = (Micros::from_secs(10), Micros::from_secs(5));
        let activity = Activity::Active;
        watch.status.report(Progress { partition: 0, newest, watermark, received: 1, position: 1, activity });
    }

    #[test]
    fn not_ready_while_snapshots_cannot_be_stored() {
        let watch = Watch::default();
        watch.phase.store(Phase::Running as u8, Ordering::Release);
        report(&watch);
        watch.status.snapshot_failed("no room");
        assert!(readiness(&watch).is_err_and(|reason| reason.contains("no room")));
    }

    #[test]
    fn ready_once_sources_report_and_until_the_end() {
        let watch = Watch::default();
        assert!(readiness(&watch).is_err_and(|reason| reason.starts_with("starting")));
        watch.phase.store(Phase::Running as u8, Ordering::Release);
        assert!(readiness(&watch).is_err_and(|reason| reason.starts_with("restoring")));
        report(&watch);
        for phase in [Phase::Running, Phase::Draining, Phase::Done] {
            watch.phase.store(phase as u8, Ordering::Release);
            assert_eq!(readiness(&watch), Ok(()));
        }
    }

    #[test]
    fn a_process_that_follows_waits_for_no_report() {
        let watch = Watch { follows: true, ..Watch::default() };
        assert!(readiness(&watch).is_err_and(|reason| reason.starts_with("starting")));
        watch.phase.store(Phase::Running as u8, Ordering::Release);
        assert_eq!(readiness(&watch), Ok(()));
    }

    #[test]
    fn a_complete_job_is_ready_though_no_source_was_opened() {
        let watch = Watch::default();
        watch.phase.store(Phase::Done as u8, Ordering::Release);
        assert_eq!(readiness(&watch), Ok(()));
    }

    #[test]
    fn routes_answer_with_status_and_type() {
        let watch = Watch::default();
        let server = start(ANY_PORT, Port::AsGiven, watch.clone()).unwrap();
        assert_ne!(server.address.port(), 0);
        assert!(fetch(server.address, "/livez").starts_with("HTTP/1.1 200"));
        let waiting = fetch(server.address, "/readyz");
        assert!(waiting.starts_with("HTTP/1.1 503") && waiting.contains("\"reason\":\"starting"), "{waiting}");
        watch.phase.store(Phase::Running as u8, Ordering::Release);
        report(&watch);
        assert!(fetch(server.address, "/readyz").starts_with("HTTP/1.1 200"));
        let metrics = fetch(server.address, "/metrics");
        assert!(metrics.contains("text/plain") && metrics.contains("aerie_events_total"), "{metrics}");
        assert!(fetch(server.address, "/version").contains(env!("CARGO_PKG_VERSION")));
        assert!(fetch(server.address, "/api/user?org=E1").starts_with("HTTP/1.1 400"));
        let unknown = fetch(server.address, "/api/user?org=E1&user=U1");
        assert!(unknown.starts_with("HTTP/1.1 503") && unknown.contains("not started yet"), "{unknown}");
        assert!(fetch(server.address, "/nothing").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn a_port_in_use_is_a_usage_error_or_passed_over() {
        let taken = TcpListener::bind(ANY_PORT).unwrap();
        let listen = taken.local_addr().unwrap();
        let refused = start(listen, Port::AsGiven, Watch::default()).unwrap_err();
        assert!(refused.code() == 2 && refused.to_string().contains("in use"), "{refused}");
        let server = start(listen, Port::OrAnyFree, Watch::default()).unwrap();
        assert_ne!(server.address, listen);
    }
}
