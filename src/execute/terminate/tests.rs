//! Tests of ending sessions: what each receiver hears, and what its answers come to.

use super::*;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use config::{Job, JobFile, Layers};
use connectors::sign::WebhookKeys;
use connectors::store::Store;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Mutex;

const NOW: u64 = 1_760_000_000_000;

/// The secret of the scheme's published example, and another.
const SECRETS: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Head and body of what a receiver heard.
type Heard = Arc<Mutex<Vec<(String, String)>>>;

/// A receiver that gives every call the same answer.
fn receiver(answer: &str) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, answer) = (Heard::default(), answer.to_owned());
    let hears = heard.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let mut body = vec![0; header(&head, "content-length").parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            hears.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
            stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).unwrap();
        }
    });
    (address, heard)
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {head}")).split_once(':').unwrap().1.trim()
}

fn sessions(lines: &str, environment: &[(&str, &str)]) -> Sessions {
    let text = format!(
        "[job]\ndata_dir = \"d\"\n[[source]]\nkind = \"file\"\npaths = [\"e\"]\n\
         [destinations]\nallow_private = [\"127.0.0.1\"]\n[sessions]\n{lines}"
    );
    let file = Some(JobFile { name: "job.toml".to_owned(), text });
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let job = Job::load(&Layers { file, environment, ..Layers::default() });
    job.unwrap_or_else(|problems| panic!("{problems}")).sessions
}

fn call(id: &str, org: &str) -> EndSessions {
    EndSessions {
        idempotency_key: id.to_owned(),
        org: org.to_owned(),
        user: "U1".to_owned(),
        anomaly: "a1".to_owned(),
        reasons: vec!["tor"],
        body: format!("{{\"response_id\":\"{id}\"}}"),
    }
}

fn times(now_ms: u64, doubtful_since_ms: Option<u64>) -> Times {
    Times { now_ms, first_ms: NOW, doubtful_since_ms }
}

/// A terminator, and what it needs to be asked.
struct Stage {
    terminator: Terminator,
    ledger: Store,
    responses: Arc<Responses>,
    _dir: tempfile::TempDir,
}

impl Stage {
    fn new(sessions: &Sessions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Store::open_file(&dir.path().join("ledger")).unwrap();
        let responses = Arc::<Responses>::default();
        let terminator = Terminator::open(sessions, responses.clone()).unwrap();
        Stage { terminator, ledger, responses, _dir: dir }
    }

    fn end(&mut self, call: &EndSessions, times: Times) -> Answer {
        self.terminator.end(&mut self.ledger, call, times).unwrap()
    }

    fn ended(&self) -> u64 {
        self.responses.sessions_ended.load(Ordering::Relaxed)
    }
}

#[test]
fn the_local_one_records_a_call_once() {
    let mut stage = Stage::new(&Sessions::Local);
    for _ in 0..2 {
        assert_eq!(stage.end(&call("r1", "E1"), times(NOW, None)), Answer::Done { detail: None });
    }
    assert_eq!(stage.ended(), 1);
}

#[test]
fn a_webhook_is_signed_with_both_secrets_under_the_id_of_the_response() {
    let (address, heard) = receiver("200 OK\r\nContent-Length: 21\r\n\r\n{\"sessions_ended\": 3}");
    let lines = format!("kind = \"webhook\"\nurl = \"http://{address}/end\"");
    let mut stage = Stage::new(&sessions(&lines, &[("AERIE__SESSIONS__SECRET", SECRETS)]));
    let call = call("r1", "E1");
    assert_eq!(stage.end(&call, times(NOW + 1_500, None)), Answer::Done { detail: Some("3".to_owned()) });
    assert_eq!(stage.ended(), 1);
    let (head, body) = heard.lock().unwrap().remove(0);
    assert!(head.starts_with("POST /end HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, call.body);
    let seconds = NOW / 1_000 + 1;
    for (name, value) in [
        ("webhook-id", "r1"),
        ("idempotency-key", "r1"),
        ("webhook-timestamp", &seconds.to_string()),
        ("webhook-signature", &WebhookKeys::parse(SECRETS).unwrap().sign("r1", seconds, &body)),
        ("content-type", "application/json"),
        ("user-agent", NAME),
    ] {
        assert_eq!(header(&head, name), value);
    }
    assert_eq!(header(&head, "webhook-signature").split(' ').count(), 2);
}

#[test]
fn slack_is_asked_with_the_token_of_the_org_and_left_alone_when_it_says_so() {
    let (address, heard) = receiver("429 Slow\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
    let lines = format!("kind = \"slack\"\nurl = \"http://{address}/api\"");
    let mut stage = Stage::new(&sessions(&lines, &[("AERIE__SESSIONS__TOKEN", "E1 xoxp-1 E2 xoxp-2")]));
    let wait = Duration::from_secs(60);
    let answer = stage.end(&call("r1", "E1"), times(NOW, None));
    assert!(matches!(answer, Answer::NotDone { retry_after: Some(asked), .. } if asked == wait), "{answer:?}");
    // It is about E1's token, and about so long.
    let later = Duration::from_secs(59);
    assert_eq!(stage.end(&call("r2", "E1"), times(NOW + 1_000, None)), Answer::NotTried { wait: later });
    assert!(matches!(stage.end(&call("r3", "E2"), times(NOW, None)), Answer::NotDone { .. }));
    assert!(matches!(stage.end(&call("r2", "E1"), times(NOW + 60_000, None)), Answer::NotDone { .. }));
    assert!(matches!(stage.end(&call("r4", "E3"), times(NOW, None)), Answer::Refused { .. }));
    // What may have happened more than half a minute ago is not repeated.
    let at = NOW + 500_000;
    assert!(matches!(
        stage.end(&call("r5", "E1"), times(at, Some(at - 30_001))),
        Answer::Unknown { repeatable: false, .. }
    ));
    assert!(matches!(stage.end(&call("r5", "E1"), times(at, Some(at - 30_000))), Answer::NotDone { .. }));
    assert_eq!(stage.ended(), 0);

    let heard = heard.lock().unwrap();
    let tokens: Vec<_> = heard.iter().map(|(head, _)| header(head, "authorization")).collect();
    assert_eq!(tokens, ["Bearer xoxp-1", "Bearer xoxp-2", "Bearer xoxp-1", "Bearer xoxp-1"]);
    assert!(heard[0].0.starts_with("POST /api/admin.users.session.reset HTTP/1.1\r\n"), "{}", heard[0].0);
    assert_eq!(heard[0].1, "{\"user_id\":\"U1\"}");
}

#[test]
fn who_is_too_busy_for_one_org_is_left_alone_with_it_and_not_for_a_year() {
    let (address, heard) = receiver("429 Slow\r\nRetry-After: 31536000\r\nContent-Length: 0\r\n\r\n");
    let lines = format!("kind = \"webhook\"\nurl = \"http://{address}/\"");
    let mut stage = Stage::new(&sessions(&lines, &[("AERIE__SESSIONS__SECRET", SECRETS)]));
    let wait = Duration::from_secs(900);
    for (id, org, now, tried) in
        [("r1", "E1", 0, true), ("r2", "E1", 0, false), ("r3", "E2", 0, true), ("r2", "E1", 900_000, true)]
    {
        let answer = stage.end(&call(id, org), times(NOW + now, None));
        match tried {
            true => assert!(matches!(answer, Answer::NotDone { retry_after, .. } if retry_after == Some(wait)), "{id}"),
            false => assert_eq!(answer, Answer::NotTried { wait }),
        }
    }
    assert_eq!(heard.lock().unwrap().len(), 3);
}

#[test]
fn a_security_event_token_is_pushed_and_verified_with_the_public_key() {
    let dir = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    let key = dir.path().join("key.pem");
    std::fs::write(&key, pem).unwrap();
    let (address, heard) = receiver("202 Accepted\r\nContent-Length: 0\r\n\r\n");
    let lines = format!(
        "kind = \"caep\"\nurl = \"http://{address}/events\"\nissuer = \"https://aerie.example\"\n\
         audience = \"https://receiver.example\"\nkey_id = \"k1\"\nkey_file = {key:?}"
    );
    let mut stage = Stage::new(&sessions(&lines, &[("AERIE__SESSIONS__AUTHORIZATION", "Bearer hunter2")]));
    for now in [NOW, NOW + 90_000] {
        assert_eq!(stage.end(&call("r1", "E1"), times(now, None)), Answer::Done { detail: None });
    }

    let heard = heard.lock().unwrap();
    let (head, token) = &heard[0];
    assert_eq!(heard[1].1, *token, "a repeat is the same token");
    assert_eq!(header(head, "content-type"), "application/secevent+jwt");
    assert_eq!(header(head, "authorization"), "Bearer hunter2");
    let (text, signature) = token.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key());
    public.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let said =
        |part: &str| -> serde_json::Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let (top, claims) = text.split_once('.').unwrap();
    assert_eq!(said(top), serde_json::json!({ "alg": "RS256", "typ": "secevent+jwt", "kid": "k1" }));
    assert_eq!((&said(claims)["jti"], &said(claims)["aud"]), (&"r1".into(), &"https://receiver.example".into()));
}

#[test]
fn one_terminator_serves_many_threads() {
    let (address, heard) = receiver("204 No Content\r\n\r\n");
    let lines = format!("kind = \"webhook\"\nurl = \"http://{address}/\"");
    let stage = Stage::new(&sessions(&lines, &[("AERIE__SESSIONS__SECRET", SECRETS)]));
    let (terminator, path) = (&stage.terminator, &stage._dir.path().join("ledger"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let mut ledger = Store::open_file(path).unwrap();
                let answer = terminator.end(&mut ledger, &call(&format!("r{thread}"), "E1"), times(NOW, None));
                assert_eq!(answer.unwrap(), Answer::Done { detail: None });
            });
        }
    });
    assert_eq!((stage.ended(), heard.lock().unwrap().len()), (4, 4));
}

#[test]
fn a_file_that_holds_no_secret_is_told_before_anything_starts_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let open = |sessions: &Sessions| match Terminator::open(sessions, Arc::default()) {
        Ok(_) => panic!("{sessions:?}"),
        Err(error) => error.to_string(),
    };
    let webhook = |path: &Path| {
        sessions(&format!("kind = \"webhook\"\nurl = \"https://r.example/\"\nsecret_file = {path:?}"), &[])
    };
    let slack = |path: &Path| sessions(&format!("kind = \"slack\"\ntoken_file = {path:?}"), &[]);
    let caep = |path: &Path| {
        sessions(
            &format!(
                "kind = \"caep\"\nurl = \"https://r.example/\"\nissuer = \"https://a.example\"\naudience = \"a\"\n\
                 key_id = \"k\"\nkey_file = {path:?}"
            ),
            &[],
        )
    };
    for (told, why) in [
        (open(&webhook(&file("bad", "hunter2"))), "24 to 64 bytes"),
        (open(&webhook(&file("empty", " \n"))), "it is empty"),
        (open(&webhook(&dir.path().join("none"))), "secret_file"),
        (open(&slack(&file("odd", "E1 hunter2 E2"))), "by turns"),
        (open(&caep(&file("pem", "hunter2"))), "no private key of RSA"),
    ] {
        assert!(told.contains(why) && !told.contains("hunter2"), "{told}");
    }
    Terminator::open(&webhook(&file("good", &format!("{}\n", SECRETS.replace(' ', "\n")))), Arc::default())
        .map(drop)
        .unwrap();
}
