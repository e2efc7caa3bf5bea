//! The promise: killed between any two steps of a response, again and again, a job ends the sessions of each under one
//! key, leaves one audit entry, and tells each person once, with its ledger in a file and on a server.
//! `AERIE_KILLS=n` kills n times; `make crash-test KILLS=n` is that too.

use crate::chat_server::ChatServer;
use crate::inputs::{EXIT, Event, control, recently};
use crate::mail_server;
use crate::outputs::{ledger, lines_so_far};
use crate::receiver::{Act, Receiver};
use crate::scratch;
use crate::server::{PASSWORD, Postgres};
use crate::support::{Config, Dice, Place};
use connectors::store::Store;
use connectors::store::postgres::{Server, Tls};
use engine::ledger::{AttemptResult, Ledger, Page, State, lane};
use operators::respond::steps::LANES;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SEED: u64 = 5;

/// Without `AERIE_KILLS`.
const KILLS: usize = 10;

/// From so many on, each kind of step has been struck on both sides.
const MANY: usize = 150;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Where it is struck, and at one of how many passes: before an effect, after it and before that is on record, at the log's
/// file, and around each commit.
const POINTS: [(&str, u64); 5] = [
    ("execute.claimed", 14),
    ("execute.attempted", 14),
    ("execute.project", 4),
    ("store.commit", 40),
    ("store.committed", 40),
];

/// Who is answered: two of an org that has its admins told, one of another.
const USERS: [(&str, &str); 3] = [("E1", "U1"), ("E1", "U2"), ("E2", "U3")];

/// By how many mails somebody is told, and by how many direct messages.
const TOLD: [(&str, usize, usize); 6] = [
    ("u1@corp.example", 1, 0),
    ("u2@corp.example", 1, 0),
    ("U3@example.com", 1, 0),
    ("owner@corp.example", 2, 0),
    ("admin@corp.example", 2, 0),
    ("D-WOWNER", 0, 2),
];

/// A job, and the servers that it knows.
struct Round {
    _place: Place,
    config: Config,
    /// Where its ledger is, if that is on a server.
    schema: Option<Server>,
    receiver: Receiver,
    mail: mail_server::Server,
    chat: ChatServer,
}

impl Round {
    fn new(number: usize, postgres: &Postgres) -> Self {
        let place = Place::new();
        let (mail, chat) = (mail_server::Server::plain(), ChatServer::start());
        let receiver = Receiver::start(|_, _| Act::answer(200, "", "{\"sessions_ended\": 2}"));
        let start = recently();
        let sections = format!(
            "[respond]\nmax_response_age = \"7d\"\n[destinations]\nallow_private = [\"127.0.0.1\"]\n\
             [sessions]\nkind = \"webhook\"\nurl = \"http://{}/end\"\n\
             [mail]\nserver = \"127.0.0.1:{}\"\ntls = \"none\"\nfrom = \"security@aerie.example\"\n\
             [chat]\nurl = \"http://{}/api/\"\n",
            receiver.address,
            mail.address.port(),
            chat.address,
        );
        let events = place.write_lines("events.ndjson", &events(start));
        let config = place.config("data", &[events], "", &sections);
        let config = config.control(&place.write_lines("control.ndjson", &directory(start)));
        let config = config.tor_list(&place.write("tor.txt", format!("{EXIT}\n")));
        let mut config = config.env("AERIE__SESSIONS__SECRET", SECRET).env("AERIE__CHAT__TOKEN", "xoxb-1");
        let name = format!("round{number}");
        let schema = (number % 2 == 1).then(|| {
            let server = Server::parse(&postgres.url(), &name, Tls::Off).expect("the URL is one");
            server.with_password(PASSWORD)
        });
        if schema.is_some() {
            let set = [("URL", &*postgres.url()), ("SCHEMA", &*name), ("PASSWORD", PASSWORD), ("TLS", "false")];
            config = set.into_iter().fold(config, |job, (key, value)| job.env(&format!("AERIE__LEDGER__{key}"), value));
        }
        Round { _place: place, config, schema, receiver, mail, chat }
    }

    fn store(&self) -> Option<Store> {
        match &self.schema {
            None => ledger(&self.config.data_dir),
            Some(server) => Store::existing_on_server(server).ok(),
        }
    }

    /// Kills at most so often, then lets it run to its end. How often it was killed.
    fn kill(&self, dice: &mut Dice, kills: usize, struck: &mut BTreeMap<(String, String), usize>) -> usize {
        for killed in 0..kills {
            let (point, passes) = dice.pick(&POINTS);
            let pass = dice.below(passes);
            let armed = format!("{point}={pass}*off->1*return(kill)->off");
            let ended = self.config.clone().env("FAILPOINTS", &armed).start().wait();
            match ended.code {
                None => {}
                Some(_) => {
                    ended.done();
                    return killed;
                }
            }
            for lane in self.under_way() {
                *struck.entry((point.to_owned(), lane)).or_default() += 1;
            }
        }
        self.config.start().wait().done();
        kills
    }

    /// Kinds of the steps that were claimed when it was killed.
    fn under_way(&self) -> BTreeSet<String> {
        let page = Page { state: Some(State::Claimed), group: None, before: None, limit: 100 };
        let claimed = self.store().map_or(Vec::new(), |store| store.orders(page).expect("orders can be read"));
        claimed.iter().map(|status| lane(&status.order.steps[status.step]).to_owned()).collect()
    }

    /// Each effect was had once. How often the receiver and the mail server heard again of what they knew.
    fn assert_once(&self, what: &str) -> (usize, usize) {
        let store = self.store().expect("there is a store");
        let page = Page { state: None, group: None, before: None, limit: 100 };
        let orders = store.orders(page).expect("orders can be read");
        for status in &orders {
            assert_eq!(status.state, State::Done, "{what}: {:?}", status.error);
            let trail = store.trail(&status.order.id).expect("a trail can be read");
            let done: Vec<_> = trail.iter().filter(|attempt| attempt.result == AttemptResult::Done).collect();
            let steps: BTreeSet<_> = done.iter().map(|attempt| attempt.step).collect();
            assert_eq!((done.len(), steps.len()), (status.order.steps.len(), done.len()), "{what}: {trail:?}");
        }
        let ids: BTreeSet<&str> = orders.iter().map(|status| &*status.order.id).collect();
        assert_eq!(ids.len(), USERS.len(), "{what}");

        let calls = self.receiver.calls();
        let keys: BTreeSet<(String, &str)> =
            calls.iter().map(|call| (call.user(), call.header("idempotency-key"))).collect();
        assert_eq!(keys.len(), USERS.len(), "{what}: one key for each response");
        assert_eq!(keys.iter().map(|(_, key)| *key).collect::<BTreeSet<_>>(), ids, "{what}");

        let entries = lines_so_far(&self.config.data_dir.join("audit.ndjson"));
        let entries = entries.iter().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
        let resets = entries.filter(|entry| entry["action"] == "user_sessions_reset_by_anomaly_event_response");
        let mut resets: Vec<String> = resets.map(|entry| entry["id"].as_str().expect("an id").to_owned()).collect();
        resets.sort_unstable();
        assert_eq!(resets, ids.iter().copied().collect::<Vec<_>>(), "{what}: one entry for each response");
        (calls.len() - keys.len(), self.assert_told_once(what))
    }

    fn assert_told_once(&self, what: &str) -> usize {
        let taken = self.mail.taken();
        let mut mails: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for mail in &taken {
            assert_eq!(mail.to.len(), 1, "{what}: a mail is to one person");
            mails.entry(mail.to[0].clone()).or_default().insert(mail.header("Message-ID"));
        }
        let messages = self.chat.messages();
        let texts: BTreeSet<String> = messages.iter().map(|message| message["metadata"].to_string()).collect();
        assert_eq!(texts.len(), messages.len(), "{what}: a direct message came twice");
        for (person, by_mail, by_message) in TOLD {
            let found = messages.iter().filter(|message| message["channel"] == person).count();
            assert_eq!(
                (mails.remove(person).map_or(0, |ids| ids.len()), found),
                (by_mail, by_message),
                "{what}: {person}"
            );
        }
        assert!(mails.is_empty(), "{what}: nobody else is told: {mails:?}");
        let ids: BTreeSet<String> = taken.iter().map(|mail| mail.header("Message-ID")).collect();
        taken.len() - ids.len()
    }
}

fn events(start: u64) -> Vec<String> {
    let opening = |(n, (org, user)): (usize, &(&str, &str))| {
        let event = Event::new(&format!("e{n}"), start + n as u64).org(org).user(user);
        event.session(&format!("s{n}")).ip(EXIT).line()
    };
    USERS.iter().enumerate().map(opening).collect()
}

/// E1 has a Primary Owner who is told both ways, and a Security Admin who is told by mail; of E2 nothing is known.
fn directory(start: u64) -> Vec<String> {
    let at = start - 86_400;
    let user = |id: &str, owner: bool, roles: &[&str]| {
        let email = format!("{}@corp.example", id.to_lowercase());
        let value = json!({"name": id, "email": email, "is_primary_owner": owner, "roles": roles,
            "slack_user_id": format!("W{id}")});
        control("user", "E1", id, value, at)
    };
    let told = json!({"notifications": {"primary_owner": {"email": true, "dm": true},
        "security_admins": {"email": true, "dm": false}}});
    vec![
        control("settings", "E1", "aer", told, at),
        user("U1", false, &[]),
        user("U2", false, &[]),
        user("OWNER", true, &[]),
        user("ADMIN", false, &["security_admin"]),
    ]
}

#[test]
fn killed_between_any_two_steps_again_and_again_it_does_each_once() {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().expect("a number"));
    let kills = number("AERIE_KILLS").map_or(KILLS, |n| n as usize);
    let mut dice = Dice::new(number("AERIE_SEED").unwrap_or(SEED));
    let postgres = Postgres::start(scratch::folder());
    let (mut killed, mut rounds, mut calls, mut mails) = (0, 0, 0, 0);
    let mut struck = BTreeMap::new();
    while killed < kills {
        let round = Round::new(rounds, &postgres);
        rounds += 1;
        killed += round.kill(&mut dice, kills - killed, &mut struck);
        let again = round.assert_once(&format!("round {rounds}, after {killed} kills"));
        (calls, mails) = (calls + again.0, mails + again.1);
        assert!(rounds <= kills, "only {killed} of {kills} kills came in time");
    }
    println!(
        "{killed} kills over {rounds} jobs, every other one with its ledger on a server; {calls} calls and {mails} mails came \
         again, under the key and Message-ID that they had"
    );
    for ((point, lane), count) in &struck {
        println!("{count:>4} at {point} with a step of {lane} under way");
    }
    if kills >= MANY {
        for (point, lane) in ["execute.claimed", "execute.attempted"].into_iter().flat_map(|p| LANES.map(|l| (p, l))) {
            assert!(struck.contains_key(&(point.to_owned(), lane.to_owned())), "none at {point} of {lane}");
        }
    }
}
