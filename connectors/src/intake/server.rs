//! The server: its thread, its connections, and the way of a request through its bounds.

use super::body::{Budget, Share, pass_over, read, too_large};
use super::unpack::Packing;
use super::{
    Answer, BODY_BYTES_MAX, BODY_TIMEOUT, CONNECTION_AGE_MAX, CONNECTIONS_MAX, FINISH_TIMEOUT, HEAD_BYTES_MAX,
    HEAD_TIMEOUT, HEADERS_MAX, IN_FLIGHT_MAX, Outcome, Posted, Settings,
};
use bytes::Bytes;
use engine::error::Error;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

/// Threads on which bodies are unpacked and taken; so many can share one sync of an inbox.
const TAKING_THREADS: usize = 64;

/// Before connections are accepted again after that has failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// Forms of lines, by their usual names.
const TYPES: [&str; 3] = ["application/x-ndjson", "application/ndjson", "application/jsonl"];

/// A server that runs; it ends when this is dropped, after what is under way.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    end: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Nobody hears it if the thread has ended.
        let _ = self.end.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic there has been told.
            let _ = thread.join();
        }
    }
}

/// Serves on a thread of its own.
///
/// # Errors
/// [`Error::Invalid`] if the address cannot be listened on.
pub fn serve(settings: Settings) -> Result<Serving, Error> {
    let listen = settings.listen;
    let failed = |error| Error::Invalid(format!("cannot listen on {listen}: {error}; choose another address"));
    let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_io().enable_time().max_blocking_threads(TAKING_THREADS).build().map_err(failed)?;
    let (end, ended) = watch::channel(false);
    let serve = move || run(&runtime, listener, settings, &ended);
    let thread = std::thread::Builder::new().name("intake".to_owned()).spawn(serve).map_err(failed)?;
    Ok(Serving { address, end, thread: Some(thread) })
}

fn run(runtime: &Runtime, listener: std::net::TcpListener, settings: Settings, ended: &watch::Receiver<bool>) {
    let bearers = (0..settings.tokens.bearers()).map(|_| Arc::new(Semaphore::new(IN_FLIGHT_MAX)));
    let shared = Shared { in_flight: bearers.collect(), settings, budget: Arc::default() };
    runtime.block_on(async {
        match TcpListener::from_std(listener) {
            Ok(listener) => accept(&listener, &Arc::new(shared), ended.clone()).await,
            Err(error) => tracing::error!("nothing is taken over HTTP: {error}"),
        }
    });
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>, mut ended: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let end = ended.clone();
    let accepting = async {
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(connection(stream, shared.clone(), end.clone(), permit))),
                // Out of descriptors, or the other side is gone already.
                Err(_) => sleep(ACCEPT_AGAIN).await,
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = ended.wait_for(|ended| *ended) => {}
    }
    // What is under way has its time; what is left then ends with the runtime.
    let _ = timeout(FINISH_TIMEOUT, room.acquire_many(CONNECTIONS_MAX)).await;
}

async fn connection(
    stream: TcpStream,
    shared: Arc<Shared>,
    mut ended: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // How a connection ended is of no interest: what was taken was answered.
        _ = serving.as_mut() => return,
        () = sleep(CONNECTION_AGE_MAX) => {}
        _ = ended.wait_for(|ended| *ended) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(BODY_TIMEOUT + FINISH_TIMEOUT, serving).await;
}

/// What all connections share.
struct Shared {
    settings: Settings,
    /// By bearer.
    in_flight: Vec<Arc<Semaphore>>,
    budget: Arc<Budget>,
}

/// What a request's head says.
struct Head {
    path: usize,
    bearer: usize,
    packing: Packing,
    /// Its place among those of its bearer.
    place: OwnedSemaphorePermit,
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let head = self.head(&parts, body.size_hint().lower());
        let counts = self.settings.counts.clone();
        let (answer, close) = match head {
            Ok(head) => {
                let mut share = self.budget.share();
                match read(body, &mut share, BODY_TIMEOUT).await {
                    Ok(body) => (self.take(head, body, share).await, false),
                    Err(refused) => (refused, true),
                }
            }
            Err(refused) => {
                // Whoever asks before sending a body is told by the answer not to.
                if !parts.headers.contains_key(EXPECT) {
                    pass_over(body).await;
                }
                (refused, true)
            }
        };
        counts.count(answer.outcome());
        answer.into_response(close)
    }

    /// All that can be said before there is a body.
    fn head(&self, parts: &Parts, length: u64) -> Result<Head, Answer> {
        let Settings { tokens, paths, taker, .. } = &self.settings;
        let Some(path) = paths.iter().position(|path| *path == parts.uri.path()) else {
            let places = paths.join(" or ");
            return Err(Answer::refused(Outcome::NotFound, format!("there is nothing here; post to {places}")));
        };
        if parts.method != Method::POST {
            return Err(Answer::refused(Outcome::WrongMethod, "this takes POST only"));
        }
        let Some(bearer) = tokens.bearer(&parts.headers) else {
            return Err(Answer::refused(Outcome::Unauthorized, "this takes a token: Authorization: Bearer TOKEN"));
        };
        if let Some(name) = parts.headers.get(CONTENT_TYPE) {
            let name = name.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
            if !TYPES.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                let why = format!("the Content-Type must be {} or none", TYPES.join(", "));
                return Err(Answer::refused(Outcome::Unsupported, why));
            }
        }
        let packing = Packing::of(&parts.headers)?;
        if length > BODY_BYTES_MAX as u64 {
            return Err(too_large());
        }
        if let Some(refused) = taker.refuses(path, bearer) {
            return Err(refused);
        }
        let place = self.in_flight[bearer].clone().try_acquire_owned().map_err(|_| {
            let why = format!("there are {IN_FLIGHT_MAX} requests with this token under way; try again");
            Answer::refused(Outcome::Busy, why)
        })?;
        Ok(Head { path, bearer, packing, place })
    }

    async fn take(self: Arc<Self>, head: Head, body: Vec<u8>, mut share: Share) -> Answer {
        let Head { path, bearer, packing, place } = head;
        let take = move || {
            let _place = place;
            let body = match packing.unpack(body, &mut share) {
                Ok(body) => body,
                Err(refused) => return refused,
            };
            // What it is cut into is as long again.
            match share.grow(body.len()) {
                Ok(()) => self.settings.taker.take(Posted { path, bearer, body }),
                Err(refused) => refused,
            }
        };
        let taken = tokio::task::spawn_blocking(take).await;
        taken.unwrap_or_else(|_| Answer::refused(Outcome::Failed, "the request could not be handled"))
    }
}
