//! No rule changes what another finds: with any one taken out, or made to speak when it should not, all others come to
//! the same. Compared per reason are the anomalies and their evidence, the ends of cases, what the org is taught, and
//! decisions.
//!
//! Left out of the comparison, because they are meant to hang together: whether the marks of an anomaly are known, which
//! decision asks of what happened outside *any* case; and of decisions, which of those that an earlier response holds
//! back were (`already_answered`, `loop_protected`, `rate_limited`), because a response to one reason ends the session
//! for all and counts for the user's and the org's limits. Where the rule is one that is never answered, only the
//! former is left out.

use super::*;
use crate::decide::rows::{OrgRow, UserRow};
use crate::decide::{Stance, decide};
use crate::detect::few;
use crate::detect::ip_address::Network;
use crate::detect::signal::{Bar, BarSource, Change, Excess, Signal};
use crate::detect::spoofed_user_agent::By;
use crate::detect::unexpected_admin_action::Clues;
use crate::detect::volume;
use crate::model::anomaly::Evidence;
use crate::model::decision::Outcome;
use crate::model::event::Method;
use crate::model::software::Nature;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What is changed about one rule.
#[derive(Clone, Copy, Debug)]
pub(in crate::detect) enum Edit {
    /// It finds nothing.
    Without(Reason),
    /// It finds something in every so many-th event, too.
    Eager(Reason, u64),
}

impl Edit {
    /// Changes what the rules found in an event.
    pub(in crate::detect) fn apply(self, event: &Event, signals: &mut Vec<Signal>) {
        match self {
            Edit::Without(reason) => signals.retain(|signal| signal.reason() != reason),
            Edit::Eager(reason, every) => {
                let found = signals.iter().any(|signal| signal.reason() == reason);
                if !found && event.id_hash.is_multiple_of(every) {
                    signals.push(of(reason));
                }
            }
        }
    }

    fn reason(self) -> Reason {
        match self {
            Edit::Without(reason) | Edit::Eager(reason, _) => reason,
        }
    }
}

/// A signal of a reason, as its rule might give it.
fn of(reason: Reason) -> Signal {
    let bar = Bar { value: 1, source: BarSource::Prior, samples: 0 };
    let excess = Excess { count: 2, start: Micros::ZERO, end: Micros::ZERO, bar };
    match reason {
        Reason::Asn => Signal::SuspiciousAsn(7),
        Reason::IpAddress => Signal::Network(Network::default()),
        Reason::SessionFingerprint => Signal::ClientChanged(Change { tls: true, ..Change::default() }),
        Reason::SpoofedUserAgent => Signal::SpoofedAgent(By::Measured),
        Reason::Tor => Signal::Tor,
        Reason::UnexpectedClient => Signal::UnexpectedClient(By::Measured),
        Reason::UnexpectedUserAgent => Signal::UnexpectedAgent(Nature::Automation),
        Reason::UserAgent => Signal::AgentChanged,
        Reason::UnexpectedAdminAction => {
            Signal::AdminAction(Clues { days: 9, hour: None, network: true, client: true, kinds: None })
        }
        _ => {
            let of_volume = volume::RULES.iter().find(|rule| rule.reason == reason);
            let of_few = few::RULES.iter().find(|rule| rule.reason == reason);
            match (of_volume, of_few) {
                (Some(rule), _) => Signal::Volume(rule, excess),
                (_, Some(rule)) => Signal::Crowd(rule, few::Crowd { count: rule.bar, end: Micros::ZERO }),
                _ => unreachable!("{reason} has a rule"),
            }
        }
    }
}

const CLOUD: u32 = 64_700;
const SUSPICIOUS: u32 = 64_666;
const TRUSTED: u32 = 64_500;
const IOC: &str = "192.0.2.77";
const SCRIPT: &str = "python-requests/2.32.3";

fn world() -> World {
    let mut world = World::new();
    let list = |world: &mut World, key: &str, list| world.control("*", key, ControlValue::ThreatList(Some(list)));
    list(&mut world, "suspicious_asn", ThreatList::SuspiciousAsn([SUSPICIOUS].into()));
    list(&mut world, "cloud_asn", ThreatList::CloudAsn([CLOUD].into()));
    list(&mut world, "ioc_ip", ThreatList::IocIp(["192.0.2.64/26".parse().expect("a prefix")].into()));
    let trusted = AllowList { trusted_asn: [TRUSTED].into(), ..AllowList::default() };
    world.control("E1", "trusted", ControlValue::AllowList(Some(trusted)));
    world.state.standing = Some(Standing { is_admin: true, ..Standing::default() });
    world
}

fn pick<T: Copy>(dice: &mut ChaCha8Rng, of: &[T]) -> T {
    of[dice.random_range(0..of.len())]
}

/// Who is behind a session, most of the time.
fn holder(act: Act, who: usize) -> Act {
    let chrome = Some(("Chrome", "Windows", "131"));
    let own = Act {
        tls: Some("t1"),
        client: chrome,
        device: Some("laptop"),
        asn: Some(1),
        country: Some("DE"),
        ..act.session(["laptop", "phone", "hotel", "kit", "script", "job", ""][who])
    };
    let ua = |text: &str| text.to_owned();
    match who {
        1 => Act { tls: Some("t2"), client: Some(("Slack iOS", "iOS", "25")), device: Some("phone"), ..own },
        2 => Act { asn: Some(77), country: Some("FR"), ..own.ip("198.51.100.7") },
        3 => Act {
            tls: Some("t9"),
            client: Some(("Firefox", "Linux", "128")),
            device: Some("kit"),
            asn: Some(CLOUD),
            country: Some("US"),
            ..own.ip("198.51.100.9")
        },
        4 => Act { ua: ua(SCRIPT), tls: Some("t4"), client: Some(("Python", "Linux", "3")), asn: Some(5), ..own },
        5 => Act { ua: ua("curl/8.11.1"), client: Some(("curl", "Linux", "8")), asn: Some(TRUSTED), ..own },
        _ => own,
    }
}

/// The same with one thing otherwise.
fn otherwise(dice: &mut ChaCha8Rng, act: Act) -> Act {
    const UA: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/";
    match dice.random_range(0..12) {
        0 => Act { asn: Some(pick(dice, &[1, 2, 3, 77, CLOUD, SUSPICIOUS, TRUSTED])), ..act },
        1 => Act { ip: pick(dice, &[TOR, IOC, HOME, "203.0.113.77"]), ..act },
        2 => Act { country: Some(pick(dice, &["DE", "FR", "US", "JP"])), ..act },
        3 => Act { tls: Some(pick(dice, &["t1", "t2", "t3", "t4", "t9"])), ..act },
        4 => Act { device: Some(pick(dice, &["laptop", "phone", "kit"])), ..act },
        5 => Act { client: Some(("Chrome", pick(dice, &["Windows", "macOS"]), pick(dice, &["131", "132"]))), ..act },
        6 => Act { client: Some((pick(dice, &["Python", "HeadlessChrome", "Go"]), "Linux", "1")), ..act },
        7 => Act { ua: format!("{UA}{}.0.0.0 Safari/537.36", dice.random_range(129..133)), ..act },
        8 => Act { ua: pick(dice, &[SCRIPT, "curl/8.11.1", "Slack/4.41", ""]).to_owned(), ..act },
        9 => Act { is_anonymous: true, ..act },
        10 => Act { by_app: true, ..act },
        _ => act.session(["laptop", "phone", "hotel", "kit", ""][dice.random_range(0..5)]),
    }
}

fn action(dice: &mut ChaCha8Rng) -> Action {
    pick(
        dice,
        &[
            Action::Other,
            Action::Other,
            Action::FileDownloaded,
            Action::FileShared,
            Action::MaliciousFile,
            Action::MessageDeleted,
            Action::ApiCall(Method::Search),
            Action::ApiCall(Method::Read),
            Action::ApiCall(Method::Publish),
            Action::ApiCall(Method::Publish),
            Action::ApiCall(Method::Credential),
            Action::LoginFailed,
            Action::Administrative(1),
            Action::Administrative(2),
        ],
    )
}

/// Weeks of somebody, or of an app, who does everything that any rule looks at, now in this session and now in that.
fn stream(seed: u64) -> Vec<Act> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let kind = if seed.is_multiple_of(5) { KeyKind::App } else { KeyKind::User };
    let start = (0..7 * 3).map(|n| holder(act(format!("own{n}"), n * 28_800), usize::from(n % 3 == 1)));
    let mut acts: Vec<Act> = start.map(|act| Act { kind, ..act }).collect();
    let (mut secs, mut who, mut doing) = (7 * 86_400u64, 0, Action::Other);
    let (eager, wild) = (dice.random_range(3..60), dice.random_range(3..20));
    for n in 0..900u64 {
        secs +=
            if dice.random_range(0..30) == 0 { dice.random_range(3_000..90_000) } else { dice.random_range(1..120) };
        if dice.random_range(0..12) == 0 {
            who = dice.random_range(0..7);
        }
        if dice.random_range(0..eager) == 0 {
            doing = action(&mut dice);
        }
        let action = match doing {
            Action::Administrative(_) => Action::Administrative(1 + dice.random_range(0..30)),
            doing => doing,
        };
        let (entity, person) = (Some(format!("F{}", n % 300)), format!("U{}", dice.random_range(0..40)));
        let ok = !matches!(action, Action::LoginFailed | Action::ApiCall(Method::Credential));
        let plain = Act { kind, action, entity, person, ok, ..act(n, secs) };
        let plain = holder(plain, who);
        let one = if dice.random_range(0..wild) == 0 { otherwise(&mut dice, plain) } else { plain };
        // Some of it comes late.
        let late = dice.random_range(0..40) == 0;
        acts.push(if late { Act { time: Micros::from_secs(NOON + secs - 1_800), ..one.late(secs) } } else { one });
    }
    acts
}

fn run(acts: &[Act], edit: Option<Edit>) -> World {
    let mut world = world();
    world.settings.edit = edit;
    world.run(acts.iter().cloned());
    world.advance(Micros(u64::MAX));
    world
}

/// What comes of one reason: its anomalies as if it were the only one, the ends of its cases, and what it teaches.
fn outcome(world: &World, reason: Reason) -> Vec<DetectOut> {
    let metrics: Vec<Metric> =
        volume::RULES.iter().filter(|rule| rule.reason == reason).map(|rule| rule.metric).collect();
    let of_reason = |evidence: &Evidence| evidence.reason == reason.code();
    let only = |out: &DetectOut| match out {
        DetectOut::Anomaly(anomaly) => anomaly.reasons.contains(&reason).then(|| {
            let mut one = anomaly.clone();
            one.reasons = vec![reason];
            one.evidence.retain(of_reason);
            one.marks.iter_mut().for_each(|mark| mark.known = false);
            DetectOut::Anomaly(one)
        }),
        DetectOut::CaseClosed(closed) => (closed.reason == reason).then(|| out.clone()),
        DetectOut::Move(moved) => metrics.contains(&moved.subject.metric).then(|| out.clone()),
        _ => None,
    };
    world.out.iter().filter_map(only).collect()
}

/// What is decided, with every toggle on but one, by anomaly and reason.
fn decisions(world: &World, blind: bool) -> BTreeMap<(String, Reason), Outcome> {
    let mut org = OrgRow::default();
    for reason in Reason::WITH_TOGGLE {
        let enabled = Some(*reason != Reason::SpoofedUserAgent);
        org.settings.responses.insert(*reason, ResponseSetting { enabled, ..ResponseSetting::default() });
    }
    let (mut user, mut found) = (UserRow::default(), BTreeMap::new());
    for anomaly in world.anomalies() {
        let mut anomaly = anomaly.clone();
        if blind {
            anomaly.marks.iter_mut().for_each(|mark| mark.known = false);
        }
        let decision = decide(anomaly, &org, &user, &Stance::default());
        if decision.response.is_some() {
            user.answers.note(decision.anomaly.at, None);
            org.radius.note(&decision.anomaly.user, decision.anomaly.at);
        }
        let id = decision.anomaly.id.as_str().to_owned();
        found.extend(decision.by_reason.iter().map(|(reason, outcome)| ((id.clone(), *reason), *outcome)));
    }
    found
}

/// Decisions as far as each reason's own go: those that an earlier response may hold back are one.
fn own_decisions(world: &World) -> BTreeMap<(String, Reason), Outcome> {
    let own = |outcome: Outcome| if outcome >= Outcome::AlreadyAnswered { Outcome::Responded } else { outcome };
    decisions(world, false).into_iter().map(|(of, outcome)| (of, own(outcome))).collect()
}

fn without<T>(mut decisions: BTreeMap<(String, Reason), T>, reason: Reason) -> BTreeMap<(String, Reason), T> {
    decisions.retain(|(_, other), _| *other != reason);
    decisions
}

fn compare(seed: u64, whole: &World, edited: &World, edit: Edit) {
    for reason in Reason::ALL.iter().filter(|reason| **reason != edit.reason()) {
        let (expected, found) = (outcome(whole, *reason), outcome(edited, *reason));
        let differs = expected.iter().zip(&found).find(|(one, other)| one != other);
        assert!(differs.is_none(), "seed {seed}, {edit:?} changes {reason}: {differs:#?}");
        assert_eq!(expected.len(), found.len(), "seed {seed}, {edit:?} changes {reason}");
    }
    let own = |world: &World| without(own_decisions(world), edit.reason());
    assert_eq!(own(whole), own(edited), "seed {seed}, {edit:?}");
    if !edit.reason().has_toggle() {
        let exact = |world: &World| decisions(world, true);
        assert_eq!(exact(whole), exact(edited), "seed {seed}, {edit:?}");
    }
}

#[test]
fn no_rule_changes_what_another_finds_or_what_is_decided_about_it() {
    let (mut raised, mut decided) = (BTreeMap::<Reason, usize>::new(), BTreeMap::<Outcome, usize>::new());
    for seed in 0..12 {
        let acts = stream(seed);
        let whole = run(&acts, None);
        for reason in whole.anomalies().iter().flat_map(|anomaly| &anomaly.reasons) {
            *raised.entry(*reason).or_default() += 1;
        }
        decisions(&whole, false).values().for_each(|outcome| *decided.entry(*outcome).or_default() += 1);
        for reason in Reason::ALL {
            for edit in [Edit::Without(*reason), Edit::Eager(*reason, 2 + seed * 7)] {
                compare(seed, &whole, &run(&acts, Some(edit)), edit);
            }
        }
    }
    println!("{raised:?}\n{decided:?}");
    assert!(Reason::ALL.iter().all(|reason| raised.get(reason).is_some_and(|count| *count >= 5)), "{raised:?}");
    let held_back = [Outcome::Responded, Outcome::AlreadyAnswered, Outcome::LoopProtected, Outcome::Disabled];
    assert!(held_back.iter().all(|outcome| decided.contains_key(outcome)), "{decided:?}");
}
