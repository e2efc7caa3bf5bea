//! What the rules on agents and clients say of written-out activity: what honest life looks like, and what does not
//! belong in it. Where they count or compare, a slow version of the rule says the same.

use super::*;
use crate::baseline::{Rollback, TakenBack};
use crate::model::event::Method;
use crate::model::software::Nature;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const GO_TLS: &str = "t13d1312h2_f57a46bbacb6_ab7e3b40a677";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                   Version/18.1 Safari/605.1.15";

fn chrome(system: &str, major: u64) -> String {
    format!("Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36")
}

fn on_windows(major: u64) -> String {
    chrome("Windows NT 10.0; Win64; x64", major)
}

fn slack(version: &str) -> String {
    format!("{} Slack_SSB/{version}", on_windows(134))
}

/// An event with this agent, so many seconds after noon.
fn with(ua: impl Into<String>, secs: u64) -> Act {
    Act { ua: ua.into(), ..act(format!("at{secs}"), secs) }
}

fn measured(client: (&'static str, &'static str), act: Act) -> Act {
    Act { client: Some((client.0, client.1, "1")), ..act }
}

fn api(method: Method, act: Act) -> Act {
    Act { action: Action::ApiCall(method), ..act }
}

/// The reasons of the anomalies that these raise, one after the other.
fn reasons(acts: impl IntoIterator<Item = Act>) -> Vec<Vec<Reason>> {
    let mut world = World::new();
    world.run(acts);
    world.raised().into_iter().map(|(_, reasons)| reasons).collect()
}

fn silent(what: &str, acts: impl IntoIterator<Item = Act>) {
    assert_eq!(reasons(acts), Vec::<Vec<Reason>>::new(), "{what}");
}

/// What the anomaly's evidence says, as (reason, metric, observed, threshold).
fn evidence(anomaly: &Anomaly) -> Vec<(&str, &str, &str, &str)> {
    let told = anomaly.evidence.iter();
    told.map(|e| (e.reason.as_str(), e.metric.as_str(), e.observed.as_str(), e.threshold.as_str())).collect()
}

const SPOOFED: [Reason; 2] = [Reason::SpoofedUserAgent, Reason::UnexpectedClient];
const UNEXPECTED: [Reason; 2] = [Reason::UnexpectedUserAgent, Reason::UserAgent];

#[test]
fn honest_changes_of_agent_raise_nothing() {
    silent("updates", (0..30).map(|n| with(on_windows(120 + n), n * 600)));
    silent("an app's update", [with(slack("4.9.81"), 0), with(slack("4.10.2"), 60), with(slack("4.10.11"), 90)]);
    silent("a browser beside the app", [with(slack("4.41.1"), 0), with(on_windows(131), 5).session("s2")]);
    silent(
        "two browsers",
        (0..20).map(|n| {
            let firefox = "Mozilla/5.0 (Windows NT 10.0; rv:133.0) Gecko/20100101 Firefox/133.0";
            let (ua, session) = if n % 2 == 0 { (on_windows(131), "s1") } else { (firefox.to_owned(), "s2") };
            with(ua, n).session(session)
        }),
    );
    let ipad = "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 \
                Mobile/15E148 Safari/604.1";
    silent("an iPad that asks for desktop pages", [with(ipad, 0), with(MAC, 10), with(ipad, 20)]);
    let phone = chrome("Linux; Android 10; K", 131);
    silent("a phone that does", [with(&phone, 0), with(chrome("X11; Linux x86_64", 131), 10), with(&phone, 20)]);
    let web_view = format!("{IPHONE} Mobile/15E148");
    let app = "com.tinyspeck.chatlyio/25.1.10 (iPhone; iOS 18.3; Scale/3.00)";
    silent("a web page within the app", [with(app, 0), with(&web_view, 1), with(app, 2)]);
    silent("of another system, but unheard of", [with(on_windows(131), 0), with("my own/2 (Linux)", 9)]);
    silent("absent and unheard of", ["", "my own/2", "", "my own/1", "okhttp/4.1"].map(|ua| with(ua, 9)));
    silent(
        "stragglers of an update",
        [131, 132, 131, 132, 131].iter().zip([0, 100, 110, 140, 219]).map(|(major, at)| with(on_windows(*major), at)),
    );
    silent("late", [with(on_windows(131), 0), with(on_windows(132), 900), with(on_windows(131), 300).late(901)]);
    let guess = Act { action: Action::LoginFailed, ..with("curl/8.1", 3).session("") };
    silent("somebody else tries to log in", [act("own", 0), guess]);
    let app = Act { by_app: true, ..with("python-requests/2.32", 3) };
    silent("an app on the person's behalf", [act("own", 0), measured(("Python", "Linux"), app)]);
}

#[test]
fn a_lower_version_or_another_program_within_a_session_is_told_once() {
    let mut world = World::new();
    world.run([132, 131, 131, 130, 131].iter().enumerate().map(|(n, major)| with(on_windows(*major), n as u64 * 900)));
    assert_eq!(world.raised(), [("at900".to_owned(), vec![Reason::UserAgent])]);
    let anomaly = world.anomalies()[0];
    assert_eq!(anomaly.previous_ua, on_windows(132));
    let change = ("user_agent", "user_agent_change_details", &*on_windows(131), &*on_windows(132));
    assert_eq!(evidence(anomaly), [change]);
    // Who goes on with it is not told of again.
    world.run((0..40).map(|n| Act { id: format!("more{n}"), ..with(on_windows(131), 10_000 + n * 600) }));
    assert_eq!(world.anomalies().len(), 1);
    let user_agent = || vec![vec![Reason::UserAgent]];
    assert_eq!(reasons([with(slack("4.41.105"), 0), with(slack("4.41.104"), 9)]), user_agent());
    assert_eq!(reasons([with(slack("4.41.105"), 0), with(on_windows(134), 9)]), user_agent());
    assert_eq!(reasons([with(on_windows(131), 0), with(MAC, 9)]), user_agent());
    let edge = format!("{} Edg/132.0.0.0", on_windows(132));
    assert_eq!(reasons([with(on_windows(131), 0), with(edge, 9)]), user_agent());
    // After the grace the version before an update is a second holder's, however often the two take turns.
    let turns = (0..9).map(|n| with(on_windows(131 + n % 2), n * 50));
    assert_eq!(reasons(turns), user_agent());
}

#[test]
fn the_first_who_go_down_are_told_of_and_then_nobody_for_four_weeks() {
    let from = |version: &str| {
        let down = with(slack("4.40.2"), 4_000 + 9);
        [with(slack(version), 4_000), Act { id: version.to_owned(), ..down }]
    };
    let mut world = World::new();
    world.run(from("4.41.0"));
    assert_eq!(world.raised_ids(), ["4.41.0"]);
    let downs: Vec<_> = world
        .out
        .iter()
        .filter_map(|out| if let DetectOut::WentDown(d) = out { Some(d.clone()) } else { None })
        .collect();
    assert_eq!((downs.len(), downs[0].org.as_str()), (1, "E1"));
    let taken_back = |rollback| TakenBack { at: Micros::from_secs(NOON), org: "E1".to_owned(), rollback };
    let mut other = World::new();
    other.references.taken_back(taken_back(downs[0].rollback));
    other.run(from("4.41.0"));
    assert!(other.anomalies().is_empty());
    assert!(other.out.iter().any(|out| matches!(out, DetectOut::WentDown(_))), "still counted");
    // To another version, of another program, or much later: raised.
    for rollback in [Rollback { version: 1, ..downs[0].rollback }, Rollback { family: 1, ..downs[0].rollback }] {
        let mut other = World::new();
        other.references.taken_back(taken_back(rollback));
        other.run(from("4.41.0"));
        assert_eq!(other.raised_ids(), ["4.41.0"]);
    }
    let mut later = World::new();
    later.references.taken_back(taken_back(downs[0].rollback));
    later.run(from("4.41.0").map(|act| Act { time: act.time.plus(Span::from_days(28)), ..act }));
    assert_eq!(later.raised_ids(), ["4.41.0"]);
}

/// Which changes of a session's agent are odd, from the whole list of its events.
fn changes_oracle(acts: &[Act]) -> bool {
    let majors: Vec<(u64, u64)> = acts
        .iter()
        .map(|act| (act.time.secs(), act.ua.split("Chrome/").nth(1).unwrap()[..3].parse().unwrap()))
        .collect();
    (1..majors.len()).any(|n| {
        let ((_, before), (now, major)) = (majors[n - 1], majors[n]);
        // The highest version of the run of two versions that the event belongs to, and since when.
        let run = majors[..n].iter().rposition(|(_, other)| *other != major && *other != before).map_or(0, |at| at + 1);
        let replaced = majors[run..n].iter().any(|(_, other)| *other == major);
        let since = majors[run..n].iter().find(|(_, other)| *other == before).map(|(secs, _)| *secs);
        let lingering = replaced && majors[run].1 == major && since.is_some_and(|since| now - since <= 121);
        major < before && !lingering
    })
}

#[test]
fn changes_of_version_agree_with_the_list() {
    let (mut odd, mut even) = (0, 0);
    for seed in 0..400u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (mut secs, mut major) = (0, 120);
        let acts: Vec<Act> = (0..8)
            .map(|n| {
                secs += dice.random_range(1..90);
                major += [0, 0, 0, 1, 1, 2][dice.random_range(0..6)];
                let lower = u64::from(dice.random_range(0..6) == 0);
                Act { id: n.to_string(), ..with(on_windows(major - lower), secs) }
            })
            .collect();
        let raised = !reasons(acts.clone()).is_empty();
        assert_eq!(
            raised,
            changes_oracle(&acts),
            "seed {seed}: {:?}",
            acts.iter().map(|a| &a.ua[71..90]).collect::<Vec<_>>()
        );
        if raised { odd += 1 } else { even += 1 }
    }
    assert!(odd > 50 && even > 50, "{odd} and {even}");
}

#[test]
fn an_agent_that_people_do_not_have_is_unexpected_with_or_without_a_session() {
    let mut world = World::new();
    world.run([with(on_windows(131), 0), with("python-requests/2.32.3", 60), with("curl/8.11.1", 90).session("")]);
    let unexpected = |id: &str| (id.to_owned(), UNEXPECTED.to_vec());
    assert_eq!(world.raised(), [unexpected("at60"), unexpected("at90")]);
    let anomaly = world.anomalies()[0];
    assert_eq!(anomaly.previous_ua, on_windows(131));
    assert_eq!(
        evidence(anomaly),
        [
            ("user_agent", "user_agent_change_details", "python-requests/2.32.3", &*on_windows(131)),
            ("unexpected_user_agent", "automation_user_agent", "python-requests/2.32.3", ""),
        ]
    );
    let headless = on_windows(131).replace("Chrome/", "HeadlessChrome/");
    assert_eq!(reasons([with(headless, 0)]), [UNEXPECTED]);
    let mut world = World::new();
    world.apply(&with("Mozilla/5.0", 0));
    assert_eq!(evidence(world.anomalies()[0])[1].1, "implausible_user_agent");
    assert_eq!(world.anomalies()[0].previous_ua, "");
}

#[test]
fn what_a_trusted_network_was_seen_with_on_three_days_is_known_elsewhere() {
    let script = |day: u64, ua: &str| {
        let act = Act { id: day.to_string(), ..with(ua, day * 86_400) };
        measured(("Python", "Linux"), api(Method::Read, act.session("")))
    };
    let mut world = World::new();
    world.trust("203.0.113.0/24");
    world.run((0..3).map(|day| script(day, "python-requests/2.31.0")));
    world.run([script(3, "python-requests/2.32.0").ip("198.51.100.1")]);
    assert!(world.anomalies().is_empty());
    world.apply(&script(4, "curl/8.1").ip("198.51.100.1"));
    assert_eq!(world.raised(), [("4".to_owned(), UNEXPECTED.to_vec())]);
    // Elsewhere it never becomes known, however long it goes on.
    let alone = (0..20).map(|day| script(day, "python-requests/2.31.0"));
    assert_eq!(reasons(alone).len(), 20);
}

#[test]
fn a_client_that_is_not_what_it_claims_is_told_with_what_was_measured() {
    let mut world = World::new();
    world.run([
        measured(("Slack Desktop", "Windows"), with(slack("4.41.105"), 0)),
        measured(("Go", "Linux"), with(slack("4.41.105"), 60).session("s2")),
    ]);
    assert_eq!(world.raised(), [("at60".to_owned(), SPOOFED.to_vec())]);
    assert_eq!(
        evidence(world.anomalies()[0]),
        [
            ("spoofed_user_agent", "claimed_user_agent", &*slack("4.41.105"), "Go Linux"),
            ("unexpected_client", "detected_client", "Go", ""),
            ("unexpected_client", "detected_os", "Linux", ""),
        ]
    );
    let mut world = World::new();
    world.apply(&Act { tls: Some(GO_TLS), ..with(on_windows(131), 0) });
    assert_eq!(world.raised(), [("at0".to_owned(), SPOOFED.to_vec())]);
    assert_eq!(evidence(world.anomalies()[0])[1], ("unexpected_client", "detected_client", "Go-based tool", ""));
    for client in [("HeadlessChrome", "Windows"), ("Chrome", "Linux"), ("Firefox", "Windows"), ("curl", "")] {
        assert_eq!(reasons([measured(client, with(on_windows(131), 0))]), [SPOOFED], "{client:?}");
    }
}

#[test]
fn honest_clients_and_what_is_not_known_are_not_spoofed() {
    let claims = [
        (with(MAC, 0), ("Safari", "iOS")),
        (with(chrome("X11; Linux x86_64", 131), 0), ("Chrome", "Android")),
        (with(chrome("X11; CrOS x86_64 1.0", 131), 0), ("Chrome", "Linux")),
        (with(slack("4.41.105"), 0), ("Chrome", "Windows")),
        (with("com.Slack/25.1.20 (Google Pixel 8; Android 15)", 0), ("Chrome", "Android")),
        (with(format!("{IPHONE} CriOS/131.0.1.2 Mobile/15E148 Safari/604.1"), 0), ("Safari", "iOS")),
        (with(on_windows(131), 0), ("Something New", "Plan 9")),
        (with("my own/2", 0), ("Chrome", "Windows")),
    ];
    for (act, client) in claims {
        silent(&format!("{client:?}"), [api(Method::Read, measured(client, act))]);
    }
    let rewritten = |n: u64| Act { tls: Some("t13d1715h2_5b57614c22b0_7121afd63204"), ..with(on_windows(131), n) };
    silent("a proxy that rewrites the handshake", (0..9).map(|n| api(Method::Read, rewritten(n))));
}

#[test]
fn a_script_that_says_so_is_an_unexpected_client_alone() {
    let say = |ua: &str| measured(("Go", "Linux"), with(ua, 0));
    assert_eq!(reasons([say("")]), [[Reason::UnexpectedClient]]);
    let honest = vec![Reason::UnexpectedClient, Reason::UnexpectedUserAgent, Reason::UserAgent];
    assert_eq!(reasons([say("Go-http-client/2.0")]), [honest]);
    assert_eq!(reasons([Act { tls: Some(GO_TLS), ..with("", 0) }]), [[Reason::UnexpectedClient]]);
    silent("a system alone", [measured(("", "Linux"), with("", 0))]);
}

#[test]
fn a_tool_on_api_calls_and_downloads_is_scraping() {
    let tools = |act: Act| {
        let mut world = World::new();
        world.apply(&act);
        let told = world.anomalies().into_iter().flat_map(|anomaly| &anomaly.evidence);
        told.filter(|e| e.metric == "scraping_tool").map(|e| e.observed.clone()).collect::<Vec<_>>()
    };
    let api = || api(Method::Other, with(slack("4.41.105"), 0));
    assert_eq!(tools(measured(("Go", "Linux"), api())), ["Go-based tool"]);
    assert_eq!(tools(measured(("Node.js", "macOS"), download("d", 0))), ["Node.js-based tool"]);
    assert_eq!(tools(measured(("HeadlessChrome", "Linux"), api())), ["HeadlessChrome"]);
    assert_eq!(tools(Act { tls: Some(GO_TLS), ..api() }), ["Go-based tool"]);
    assert_eq!(tools(measured(("Go", "Linux"), act("login", 0))), [""; 0]);
    assert_eq!(tools(measured(("Chrome", "Windows"), api())), [""; 0]);
    assert_eq!(tools(Act { by_app: true, ..measured(("Go", "Linux"), api()) }), [""; 0]);
    assert_eq!(tools(Act { kind: KeyKind::App, ..measured(("Go", "Linux"), api()) }), [""; 0]);
}

#[test]
fn a_list_of_tools_replaces_the_shipped_one_while_it_is_set() {
    let mut world = World::new();
    let call = |tls, n: u64| Act { tls: Some(tls), ..api(Method::Read, with(on_windows(131), n)) };
    let list = BTreeMap::from([("t13d_own".to_owned(), "slackdump".to_owned())]);
    world.control("*", "automation_tls", ControlValue::ThreatList(Some(ThreatList::AutomationTls(list))));
    world.run([call(GO_TLS, 0), call("t13d_own", 9).session("s2")]);
    assert_eq!(world.raised_ids(), ["at9"]);
    let tool = world.anomalies()[0].evidence.iter().find(|e| e.metric == "scraping_tool").expect("told");
    assert_eq!((tool.observed.as_str(), tool.threshold_source.as_str()), ("slackdump", "automation_tls"));
    world.control("*", "automation_tls", ControlValue::ThreatList(None));
    world.run([call("t13d_own", 20).session("s3"), call(GO_TLS, 30).session("s4")]);
    assert_eq!(world.raised_ids(), ["at9", "at30"]);
}

fn read(entity: impl ToString, secs: u64, act: Act) -> Act {
    let id = format!("{}-{secs}", entity.to_string());
    let time = Micros::from_secs(NOON + secs);
    Act { id, time, entity: Some(entity.to_string()), ..api(Method::Read, act) }
}

#[test]
fn reading_many_things_steadily_is_scraping_unless_slacks_app_does_it() {
    let browser = || with(on_windows(131), 0);
    let steady = |act: &dyn Fn() -> Act| reads(act, 200, 20);
    // The bar is ten: but the fourth ten-minute part begins at 30 minutes, and has its share at 32.
    let mut world = World::new();
    world.run(steady(&browser));
    let scraping: Vec<_> =
        world.anomalies().into_iter().filter(|a| a.reasons.contains(&Reason::UnexpectedScraping)).collect();
    let told = scraping[0].evidence.iter().find(|e| e.reason == "unexpected_scraping").expect("told");
    assert_eq!((told.metric.as_str(), told.threshold.as_str()), ("distinct_reads_1h", "10"));
    assert_eq!(scraping[0].time, Micros::from_secs(NOON + 1_920));
    let scrapes = |acts: Vec<Act>| reasons(acts).iter().flatten().any(|r| *r == Reason::UnexpectedScraping);
    assert!(scrapes(steady(&|| with("my own/1", 0))));
    assert!(!scrapes(steady(&|| with(slack("4.41.105"), 0))), "Slack's app");
    assert!(!scrapes(steady(&|| measured(("Slack Desktop", "Windows"), with("", 0)))), "as measured");
    assert!(!scrapes(reads(&browser, 400, 4)), "in one go");
    assert!(!scrapes(steady(&browser).into_iter().map(|act| Act { entity: Some("C1".to_owned()), ..act }).collect()));
    assert!(!scrapes(steady(&browser).into_iter().map(|act| Act { entity: None, ..act }).collect()));
    assert!(!scrapes(steady(&browser).into_iter().map(|act| Act { action: Action::Other, ..act }).collect()));
    assert!(!scrapes(steady(&browser).into_iter().map(|act| Act { kind: KeyKind::App, ..act }).collect()));
    assert!(!scrapes(steady(&browser).into_iter().map(|act| Act { ok: false, ..act }).collect()));
    let few = (0..200).map(|n| read(n % 10, n * 20, browser()));
    assert!(!scrapes(few.collect()), "ten things again and again");
}

/// So many reads of distinct things, so many seconds apart.
fn reads(act: &dyn Fn() -> Act, count: u64, pace: u64) -> Vec<Act> {
    (0..count).map(|n| read(n, n * pace, act())).collect()
}

/// Which reads raise: from the whole list, an entity counts if it did not count within the hour before.
fn scraping_oracle(acts: &[Act]) -> Option<String> {
    let minute = |act: &Act| act.time.secs() / 60;
    let mut counted: Vec<(u64, &str)> = Vec::new();
    for act in acts {
        let entity = act.entity.as_deref().expect("all read something");
        if counted.iter().any(|(at, other)| *other == entity && minute(act) - at < 60) {
            continue;
        }
        counted.push((minute(act), entity));
        let within: Vec<u64> = counted.iter().map(|(at, _)| *at).filter(|at| minute(act) - at < 60).collect();
        let of_part = |part: &u64| within.iter().filter(|at| (minute(act) - **at) / 10 == *part).count();
        let parts = (0..6).filter(|part| of_part(part) > 0 && of_part(part) * 12 >= within.len());
        if within.len() > 10 && parts.count() >= 4 {
            return Some(act.id.clone());
        }
    }
    None
}

#[test]
fn breadth_agrees_with_the_list() {
    let (mut odd, mut even) = (0, 0);
    for seed in 0..200u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (things, pace, mut secs) = (dice.random_range(3..40), dice.random_range(10..900), 0);
        let acts: Vec<Act> = (0..120)
            .map(|n| {
                secs += if dice.random_range(0..30) == 0 { 1_500 } else { dice.random_range(0..pace) };
                let act = read(dice.random_range(0..things), secs, with("", 0));
                Act { id: n.to_string(), ..act }
            })
            .collect();
        let mut world = World::new();
        world.settings.volumes = VolumeRules::new(|metric| {
            VolumeRule::new(if metric == Metric::DistinctReads { 10 } else { 1_000_000 }, 1.0, 1, 1)
        });
        world.run(acts.clone());
        let expected = scraping_oracle(&acts);
        assert_eq!(world.raised_ids().first(), expected.as_ref(), "seed {seed}");
        if expected.is_some() { odd += 1 } else { even += 1 }
    }
    assert!(odd > 30 && even > 30, "{odd} and {even}");
}

#[test]
fn several_reasons_on_one_client_are_one_anomaly() {
    let mut world = World::new();
    world.run([
        with(slack("4.41.105"), 0),
        Act { tls: Some(GO_TLS), ..api(Method::Read, measured(("Go", "Linux"), with(on_windows(131), 60))) },
        Act { tls: Some(GO_TLS), ..api(Method::Read, measured(("Go", "Linux"), with(on_windows(131), 61))) },
    ]);
    let all = vec![Reason::SpoofedUserAgent, Reason::UnexpectedClient, Reason::UnexpectedScraping, Reason::UserAgent];
    assert_eq!(world.raised(), [("at60".to_owned(), all)]);
    world.advance(Micros(u64::MAX));
    let counts: Vec<_> = world.closed().iter().map(|closed| (closed.reason, closed.count)).collect();
    assert_eq!(counts.len(), 4);
    assert!(counts.contains(&(Reason::UnexpectedScraping, 2)) && counts.contains(&(Reason::UserAgent, 1)));
}

#[test]
fn the_nature_of_an_agent_says_what_evidence_calls_it() {
    let metric = crate::detect::unexpected_user_agent::metric;
    assert_eq!(metric(Nature::Implausible), "implausible_user_agent");
    assert_eq!(metric(Nature::Automation), "automation_user_agent");
}
