//! Asking the job that runs on a data directory. It notes there where it serves HTTP; whoever answers at that address says
//! which data directory it is of, so a note that was left behind, or another job at the same port, misleads nobody.

use engine::error::Error;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// File of the address in a data directory.
const NOTE: &str = "http";

/// How long the running job may take to connect, and to answer: more than it takes to say that it cannot.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// The note of a job that runs; it is gone when this is dropped.
pub(crate) struct Note(PathBuf);

impl Note {
    /// Notes where the job of a data directory serves. Only who holds the directory's lock may.
    ///
    /// # Errors
    /// As the file can be written.
    pub(crate) fn leave(data_dir: &Path, address: SocketAddr) -> Result<Self, Error> {
        let path = data_dir.join(NOTE);
        fs::write(&path, format!("{address}\n")).map_err(Error::io("write", &path))?;
        Ok(Note(path))
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // What cannot be removed is told from a job that runs by asking.
        let _ = fs::remove_file(&self.0);
    }
}

/// A job that may run.
pub(crate) struct Running<'a> {
    data_dir: &'a Path,
    address: SocketAddr,
}

impl<'a> Running<'a> {
    /// The job of a data directory, at the address that it has noted unless one is given; or why there is none.
    pub(crate) fn find(data_dir: &'a Path, given: Option<SocketAddr>) -> Result<Self, String> {
        let noted = || fs::read_to_string(data_dir.join(NOTE)).ok()?.trim().parse().ok();
        let address = given.or_else(noted).ok_or_else(|| format!("no job runs in {}", data_dir.display()))?;
        Ok(Running { data_dir, address })
    }

    /// What the job answers to a GET, if it is the job of the data directory; or why there is no answer.
    pub(crate) fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let address = self.address;
        let answer = get(address, path).map_err(|error| format!("nothing answers at {address}: {error}"))?;
        let stranger = || format!("what answers at {address} is no aerie of this version");
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(stranger)?;
        let body: Value = serde_json::from_str(body).map_err(|_| stranger())?;
        if !head.starts_with("HTTP/1.1 200") {
            return Err(body["error"].as_str().map_or_else(stranger, str::to_owned));
        }
        let own = self.data_dir.canonicalize().map_err(|error| error.to_string())?;
        match body["data_dir"].as_str() {
            Some(dir) if Path::new(dir) == own => serde_json::from_value(body).map_err(|_| stranger()),
            Some(dir) => Err(format!("the job at {address} runs in {dir}; name the right one with --http")),
            None => Err(format!("the job at {address} has not started yet")),
        }
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    #[test]
    fn only_the_job_of_the_data_directory_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().canonicalize().unwrap();
        assert!(Running::find(&own, None).is_err_and(|why| why.contains("no job runs")));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let note = Note::leave(&own, listener.local_addr().unwrap()).unwrap();
        let answer = |text: String| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut stream, _) = listener.accept().unwrap();
                    // Closed with anything unread, the connection would be reset and the answer lost.
                    let asked = BufReader::new(&stream).lines().map(Result::unwrap);
                    assert!(asked.take_while(|line| !line.is_empty()).count() > 0);
                    stream.write_all(text.as_bytes()).unwrap();
                });
                Running::find(&own, None).unwrap().ask::<Value>("/")
            })
        };
        let body = |dir: &str| format!("HTTP/1.1 200 OK\r\n\r\n{}", serde_json::json!({"data_dir": dir}));
        assert!(answer(body(&own.display().to_string())).is_ok());
        assert!(answer(body("/elsewhere")).is_err_and(|why| why.contains("/elsewhere")));
        assert!(answer("HTTP/1.1 200 OK\r\n\r\nhello".to_owned()).is_err_and(|why| why.contains("no aerie")));
        let refused = "HTTP/1.1 503 No\r\n\r\n{\"error\": \"busy\"}".to_owned();
        assert_eq!(answer(refused), Err("busy".to_owned()));
        drop(note);
        assert!(Running::find(&own, None).is_err(), "the note is gone with the job");
    }
}
