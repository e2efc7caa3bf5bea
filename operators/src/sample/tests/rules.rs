//! The rules as written, slow and obvious, over all events at once: honest life must not set them off, and an attack
//! must, from where its label says. What a rule makes of a user's history is left to the rule's own tests.

use super::*;

/// (org, user, session, reason, time).
type Hit = (String, String, Option<String>, Reason, u64);

const HOUR: u64 = 3_600_000_000;
const AUTOMATION: [&str; 5] = ["Go", "Python", "curl", "Node.js", "HeadlessChrome"];

/// Scenarios that only a user's history tells from honest life.
const BY_HISTORY: [&str; 5] =
    ["ip_new_stranger", "ip_impossible_travel", "admin_takeover", "admin_stranger", "admin_night"];

fn hit(event: &Seen, reason: Reason) -> Hit {
    (event.org.clone(), event.user.clone(), event.session.clone(), reason, event.at)
}

/// What one event says by itself.
fn by_itself(event: &Seen, exits: &BTreeSet<String>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let ip = event.ip.as_deref().unwrap_or_default();
    let mut say = |says: bool, reason| reasons.extend(says.then_some(reason));
    say(exits.contains(ip), Reason::Tor);
    let asn = event.asn.unwrap_or_default();
    say(network::SUSPICIOUS.iter().any(|listed| u64::from(*listed) == asn), Reason::Asn);
    let cloud = network::CLOUD.iter().any(|listed| u64::from(*listed) == asn);
    say(ip.starts_with("45.155.204.") || cloud, Reason::IpAddress);
    let (name, os) = event.client.as_ref().map_or(("", ""), |(name, os, _)| (name, os));
    let claims_script =
        ["python-requests/", "curl/", "axios/", "Go-http-client/"].iter().any(|s| event.ua.starts_with(s))
            || event.ua.contains("HeadlessChrome");
    let odd = event.ua.contains("Windows NT 10.0; iPhone");
    say((claims_script || odd) && event.app.is_none(), Reason::UnexpectedUserAgent);
    let measured = AUTOMATION.contains(&name);
    let claims_person = event.ua.starts_with("Mozilla/5.0") && !claims_script;
    let spoofed = (measured && claims_person) || (event.ua.contains("Windows NT") && os == "Linux");
    say(spoofed, Reason::SpoofedUserAgent);
    say(measured && !claims_person, Reason::UnexpectedClient);
    let reads = event.action == "api_call" || event.action == "file_downloaded";
    say(measured && reads, Reason::UnexpectedScraping);
    reasons
}

/// Another family, or a lower version, than the session's before.
fn agent_hits(events: &[Seen]) -> Vec<Hit> {
    let family = |ua: &str| ua.chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect::<String>();
    let version = |ua: &str| -> Vec<u64> {
        ua.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    let mut sessions: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut hits = Vec::new();
    for event in events.iter().filter(|event| !event.ua.is_empty() && event.app.is_none()) {
        let Some(session) = &event.session else { continue };
        let before = *sessions.entry((&event.org, session)).or_insert(&event.ua);
        if before == event.ua {
            continue;
        }
        if family(before) != family(&event.ua) || version(before) > version(&event.ua) {
            hits.push(hit(event, Reason::UserAgent));
        } else {
            sessions.insert((&event.org, session), &event.ua);
        }
    }
    hits
}

/// More of one thing within 60 minutes, in buckets of one, than the least bar.
fn volume_hits(events: &[Seen], world: &World) -> Vec<Hit> {
    let counts = |event: &Seen| {
        let mut volumes = Vec::new();
        let called = event.action == "api_call";
        let mut count = |counts: bool, volume: Volume| volumes.extend(counts.then_some(volume));
        count(event.action == "file_downloaded", Volume::Downloads);
        count(event.action == "file_shared", Volume::Shares);
        count(called, Volume::Calls);
        count(called && event.method == "search.messages", Volume::Searches);
        count(event.action == "message_deleted", Volume::Deletions);
        volumes
    };
    let mut minutes: BTreeMap<(&str, &str, usize), BTreeMap<u64, u64>> = BTreeMap::new();
    let mut hits = Vec::new();
    for event in events.iter().filter(|event| event.ok && event.app.is_none()) {
        let org = world.orgs.iter().find(|org| org.id == event.org).unwrap();
        for volume in counts(event) {
            let minutes = minutes.entry((&event.org, &event.user, volume as usize)).or_default();
            let minute = event.at / 60_000_000;
            *minutes.entry(minute).or_default() += 1;
            let count: u64 = minutes.range(minute - 59..=minute).map(|(_, count)| count).sum();
            if count > org.bar_least(volume) {
                hits.push(hit(event, volume.reason()));
            }
        }
    }
    hits
}

/// More distinct things read steadily within an hour, not by one of our own clients, than the least bar.
fn breadth_hits(events: &[Seen], world: &World) -> Vec<Hit> {
    type Reads<'a> = BTreeMap<&'a str, u64>;
    let mut sessions: BTreeMap<(&str, &str, Option<&str>), Reads<'_>> = BTreeMap::new();
    let mut hits = Vec::new();
    let native = |event: &Seen| event.client.as_ref().is_none_or(|(name, ..)| name.starts_with("Slack"));
    for event in events.iter().filter(|event| event.ok && event.app.is_none() && !native(event)) {
        let read = event.action == "file_downloaded" || event.method.starts_with("conversations.");
        let (true, Some(entity)) = (read, &event.entity) else { continue };
        let org = world.orgs.iter().find(|org| org.id == event.org).unwrap();
        let reads = sessions.entry((&event.org, &event.user, event.session.as_deref())).or_default();
        reads.insert(entity, event.at);
        if reads.len() as u64 <= org.bar_least(Volume::Breadth) {
            continue;
        }
        reads.retain(|_, at| event.at - *at < HOUR);
        let of_part = |part: &u64| reads.values().filter(|at| (event.at - **at) / (HOUR / 6) == *part).count();
        let parts = (0..6).filter(|part| of_part(part) * 12 >= reads.len());
        if reads.len() as u64 > org.bar_least(Volume::Breadth) && parts.count() >= 4 {
            hits.push(hit(event, Reason::UnexpectedScraping));
        }
    }
    hits
}

/// Where a few are many.
fn few_hits(events: &[Seen]) -> Vec<Hit> {
    let mut seen: BTreeMap<(&str, &str, Reason), Vec<&Seen>> = BTreeMap::new();
    let mut hits = Vec::new();
    for event in events {
        let (who, reason, span) = match (&event.app, &event.action[..], &event.method[..]) {
            (None, "file_malicious_content_detected", _) => (&event.user, Reason::ExcessiveMalwareUploads, 24 * HOUR),
            (None, _, "functions.workflows.publish") => (&event.user, Reason::PotentialSpam, HOUR),
            (Some(app), _, "auth.test") if !event.ok => (app, Reason::UnexpectedCredentialTesting, HOUR),
            _ => continue,
        };
        let within = seen.entry((&event.org, who, reason)).or_default();
        within.push(event);
        within.retain(|other| event.at - other.at < span);
        let people: BTreeSet<_> = within.iter().map(|event| &event.user).collect();
        let many = match reason {
            Reason::ExcessiveMalwareUploads => within.len() >= 3,
            Reason::PotentialSpam => within.len() >= 30,
            _ => within.len() >= 20 || people.len() >= 5,
        };
        if many {
            hits.push(hit(event, reason));
        }
    }
    hits
}

/// Two holders of one session, or a client that changes without an upgrade.
fn fingerprint_hits(events: &[Seen]) -> Vec<Hit> {
    struct Holder<'a> {
        last: &'a Seen,
        /// Stamps by when they were first seen.
        stamps: BTreeMap<u64, u64>,
        owner: &'a Seen,
    }
    let mut sessions: BTreeMap<(&str, &str), Holder<'_>> = BTreeMap::new();
    let mut hits = Vec::new();
    for event in events.iter().filter(|event| event.tls.is_some()) {
        let (Some(session), Some(cookie)) = (&event.session, event.cookie) else { continue };
        let held = sessions.entry((&event.org, session)).or_insert(Holder {
            last: event,
            stamps: BTreeMap::new(),
            owner: event,
        });
        let newer = held.stamps.range(cookie + 1..).map(|(_, seen)| *seen).min();
        let stale = newer.is_some_and(|seen| event.at - seen > 120_000_000);
        let owner = (&held.owner.tls, &held.owner.device, held.owner.asn);
        let (name, os, version) = event.client.as_ref().unwrap();
        let (last_name, last_os, last_version) = held.last.client.as_ref().unwrap();
        let upgrade = name == last_name && event.device == held.last.device && version != last_version;
        let changed = event.tls != held.last.tls || event.device != held.last.device || os != last_os;
        if (stale && owner != (&event.tls, &event.device, event.asn)) || (changed && !upgrade) {
            hits.push(hit(event, Reason::SessionFingerprint));
        }
        if newer.is_none() {
            held.stamps.entry(cookie).or_insert(event.at);
            held.owner = event;
        }
        held.last = event;
    }
    hits
}

/// Everything that the rules say where the org does not trust the network.
fn all_hits(events: &[Seen], world: &World) -> Vec<Hit> {
    let exits: BTreeSet<_> = world.exits.iter().map(ToString::to_string).collect();
    let trusted: BTreeSet<_> = world.orgs.iter().filter(|org| org.trusts_builds()).map(|org| &org.id).collect();
    let from_build = |e: &Seen| e.ip.as_ref().is_some_and(|ip| ip.starts_with("194.")) && trusted.contains(&e.org);
    let events: Vec<Seen> = events.iter().filter(|event| !from_build(event)).cloned().collect();
    let single = events.iter().flat_map(|event| by_itself(event, &exits).into_iter().map(|reason| hit(event, reason)));
    let mut hits: Vec<_> = single.collect();
    hits.extend(agent_hits(&events));
    hits.extend(volume_hits(&events, world));
    hits.extend(breadth_hits(&events, world));
    hits.extend(few_hits(&events));
    hits.extend(fingerprint_hits(&events));
    // One a minute says enough.
    let mut said = BTreeSet::new();
    hits.retain(|(org, user, session, reason, at)| {
        said.insert((org.clone(), user.clone(), session.clone(), *reason, at / 60_000_000))
    });
    hits
}

fn matches(label: &Label, hit: &Hit) -> bool {
    let (org, user, session, reason, at) = hit;
    let named = [&label.reasons, &label.also, &label.tolerated].iter().any(|list| list.contains(reason));
    let wanted = label.kind == Kind::Attack || label.chain || label.tolerated.contains(reason);
    let session = label.session_id.is_none() || session.is_none() || label.session_id == *session;
    let user = label.user == "*" || label.user == *user;
    named && wanted && session && user && label.org == *org && (label.start..=label.end).contains(&Micros(*at))
}

#[test]
fn the_rules_see_the_attacks_and_nothing_else() {
    rules_agree_with_labels(SMALL, &SMALL_MADE);
    rules_agree_with_labels(LONG, &LONG_MADE);
}

fn rules_agree_with_labels(plan: Plan, (files, events): &(Files, Vec<Seen>)) {
    let (world, labels) = (World::new(plan), labels(files));
    let mut events = events.clone();
    events.sort_by_key(|event| event.at);
    let hits = all_hits(&events, &world);
    let mut by_user: BTreeMap<&str, Vec<&Label>> = BTreeMap::new();
    labels.iter().for_each(|label| by_user.entry(&label.user).or_default().push(label));
    for hit in &hits {
        let at = (hit.4 - world.calendar.start().0) as f64 / HOUR as f64;
        let of = |user: &str| by_user.get(user).into_iter().flatten();
        // A script at its developer's desk is for the rules to know from its history.
        let known = |label: &Label| label.scenario == "script_at_desk" && label.reasons.contains(&hit.3);
        let told = of(&hit.1).chain(of("*")).any(|l| matches(l, hit) || (known(l) && l.user == hit.1));
        let labels: Vec<_> = of(&hit.1).collect();
        assert!(told, "{plan:?}: honest life raises {hit:?}, {at:.2} h in; {labels:?}");
    }
    let mut by_reason: BTreeMap<(&String, Reason), Vec<&Hit>> = BTreeMap::new();
    hits.iter().for_each(|hit| by_reason.entry((&hit.0, hit.3)).or_default().push(hit));
    for label in labels.iter().filter(|label| label.kind == Kind::Attack || label.chain) {
        if BY_HISTORY.contains(&&label.scenario[..]) {
            continue;
        }
        let of_reason = by_reason.get(&(&label.org, label.reasons[0])).into_iter().flatten();
        let first = of_reason.filter(|hit| matches(label, hit)).map(|hit| hit.4).min();
        let lag = first.unwrap_or_else(|| panic!("{plan:?}: {label:?}")).abs_diff(label.first_detectable.0);
        // What the person did before a burst counts too; a ramp may be told earlier where the rule knows the org well.
        let slack = match Volume::ALL.iter().any(|volume| volume.reason() == label.reasons[0]) {
            _ if label.scenario == "downloads_ramp" => 3 * 86_400,
            true => 600,
            false => 60,
        };
        assert!(lag <= slack * 1_000_000, "{plan:?}: {} is {lag} µs off", label.scenario);
    }
}
