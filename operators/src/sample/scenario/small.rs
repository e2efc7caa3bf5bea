//! Where a few are many: `excessive_malware_uploads`, `potential_spam`, `unexpected_credential_testing` and
//! `unexpected_admin_action`; and the few that are none.

use super::super::act::{App, Verb};
use super::super::client::{CHROME_WINDOWS, FIREFOX_LINUX};
use super::super::label::{Difficulty, Label};
use super::super::machines;
use super::super::org::Org;
use super::super::person::{Kind, Role};
use super::{OF_STRANGER, SERVER, Scenario, Stage, When, is_mobile, measured, program, scene, times};
use crate::model::reason::Reason;
use engine::time::{Micros, Span};

const fn by_admin(name: &'static str, note: &'static str, when: When, play: fn(&mut Stage<'_>) -> Label) -> Scenario {
    Scenario { role: Some(Role::Admin), when, ..measured(name, note, play) }
}

const fn by_app(name: &'static str, note: &'static str, play: fn(&mut Stage<'_>) -> Label) -> Scenario {
    Scenario { fits: has_people, ..scene(name, note, play) }
}

/// Whether enough people are there for an app to try.
fn has_people(org: &Org) -> bool {
    org.users >= 40 && !org.is_plain()
}

pub(super) const SCENARIOS: &[Scenario] = &[
    scene("malware_thief", "A thief with a stolen password uploads ten malicious files.", malware_thief),
    scene("malware_wave", "A ransomware note and its friends: four malicious files in two hours.", malware_wave),
    scene("malware_slow", "Three malicious files, hours apart.", malware_slow),
    scene("malware_analyst", "Someone forwards two suspicious files to the security team.", malware_analyst),
    measured("spam_thief", "A thief publishes workflows to everybody without a pause.", spam_thief),
    measured("spam_moderate", "A user's account publishes a workflow every minute.", spam_moderate),
    measured("spam_slow", "Just too many workflows published within an hour.", spam_slow),
    measured("spam_developer", "A developer publishes a workflow again and again until it works.", spam_developer),
    by_app("credentials_sweep", "An app tries the credentials of thirty people within minutes.", credentials_sweep),
    by_app("credentials_some", "An app tries the credentials of eight people.", credentials_some),
    by_app("credentials_one", "An app tries credentials of one person, patiently.", credentials_one),
    by_app("credentials_expired", "An app's tokens have expired; it asks for three people again.", credentials_expired),
    by_admin("admin_takeover", "A thief takes over an admin at night.", When::Night, admin_takeover),
    by_admin("admin_stranger", "A thief does what the admin never did, by day.", When::Work(5), admin_stranger),
    by_admin("admin_night", "An admin's session is used once, at night, from elsewhere.", When::Night, admin_night),
    Scenario {
        role: Some(Role::Owner),
        when: When::Work(4),
        ..measured("admin_onboarding", "New people start: an admin does a lot of new things.", onboarding)
    },
    Scenario {
        role: Some(Role::SecurityAdmin),
        fits: |org| is_mobile(org) && !org.is_plain(),
        when: When::Night,
        ..measured("admin_on_call", "An admin has to do something new at night, at home.", on_call)
    },
];

/// So many malicious files found by the server's scan, evenly over `minutes`.
fn scanned(stage: &mut Stage<'_>, count: u64, minutes: u64) {
    stage.sends_many((stage.minute(5), count, minutes), SERVER, |dice| Verb::Malware { file: dice.below(9_000) });
}

/// The label of malicious files, the third of which was found at `first`.
fn malware(stage: &Stage<'_>, difficulty: Difficulty, (count, minutes): (u64, u64)) -> Label {
    let (begin, reason) = (stage.minute(5), Reason::ExcessiveMalwareUploads);
    let first = times(begin, count, minutes).nth(2).expect("at least three");
    let label = stage.attack(reason, difficulty, first);
    Label { start: super::at_precision(stage.org(), begin), ..label }
}

fn malware_thief(stage: &mut Stage<'_>) -> Label {
    let (begin, far) = (stage.minute(5), stage.elsewhere());
    let thief = stage.stranger(far, program(&CHROME_WINDOWS, begin), 1, begin);
    stage.sends_many((begin, 10, 10), thief, |dice| Verb::Malware { file: dice.below(9_000) });
    Label { also: OF_STRANGER.to_vec(), ..malware(stage, Difficulty::Blatant, (10, 10)) }
}

fn malware_wave(stage: &mut Stage<'_>) -> Label {
    scanned(stage, 4, 120);
    malware(stage, Difficulty::Moderate, (4, 120))
}

fn malware_slow(stage: &mut Stage<'_>) -> Label {
    scanned(stage, 3, 240);
    malware(stage, Difficulty::Stealthy, (3, 240))
}

fn malware_analyst(stage: &mut Stage<'_>) -> Label {
    scanned(stage, 2, 60);
    stage.benign(Reason::ExcessiveMalwareUploads, stage.minute(5))
}

const PUBLISH: Verb = Verb::Call { method: "functions.workflows.publish" };

/// So many workflows published from the own desktop.
fn publish(stage: &mut Stage<'_>, count: u64, minutes: u64) {
    stage.take(2);
    let place = stage.place();
    for at in times(stage.minute(3), count, minutes) {
        stage.own(Kind::Desktop, at, place, PUBLISH);
    }
}

/// The label of spam that can be told from its thirtieth call on.
fn spam(stage: &Stage<'_>, difficulty: Difficulty, (count, minutes): (u64, u64)) -> Label {
    let begin = stage.minute(3);
    let first = times(begin, count, minutes).nth(29).expect("at least thirty");
    Label { start: begin, ..stage.attack(Reason::PotentialSpam, difficulty, first) }
}

fn spam_thief(stage: &mut Stage<'_>) -> Label {
    let (begin, far) = (stage.minute(3), stage.elsewhere());
    let thief = stage.stranger(far, program(&CHROME_WINDOWS, begin), 1, begin);
    stage.sends_many((begin, 150, 20), thief, |_| PUBLISH);
    Label { also: OF_STRANGER.to_vec(), ..spam(stage, Difficulty::Blatant, (150, 20)) }
}

fn spam_moderate(stage: &mut Stage<'_>) -> Label {
    publish(stage, 50, 45);
    spam(stage, Difficulty::Moderate, (50, 45))
}

fn spam_slow(stage: &mut Stage<'_>) -> Label {
    publish(stage, 33, 56);
    spam(stage, Difficulty::Stealthy, (33, 56))
}

fn spam_developer(stage: &mut Stage<'_>) -> Label {
    publish(stage, 15, 40);
    stage.benign(Reason::PotentialSpam, stage.minute(3))
}

/// An app asks whether credentials are valid, `count` times over `minutes`, of `people` people in turn; none is.
fn probe(stage: &mut Stage<'_>, people: u64, (count, minutes): (u64, u64)) -> Vec<Micros> {
    let users = stage.org().users as usize;
    let (first, index) = (stage.org().index * users, stage.plant.person % users);
    let app = App { id: "PROBER", name: "Mail Merge", ua: "MailMerge/1.0", turn: index };
    let asked: Vec<_> = times(stage.minute(5), count, minutes).collect();
    for (i, at) in asked.iter().enumerate() {
        let person = &stage.world.people[first + (index + i % people as usize) % users];
        let act = machines::by_app(app, stage.org(), person, *at, Verb::Fail { method: "auth.test" });
        stage.acts.push(act);
    }
    asked
}

/// The label of an app's probing, whose events name many people.
fn probing(stage: &Stage<'_>, difficulty: Difficulty, asked: &[Micros], telling: usize) -> Label {
    let label = stage.attack(Reason::UnexpectedCredentialTesting, difficulty, asked[telling - 1]);
    Label { user: "*".to_owned(), start: asked[0], ..label }
}

fn credentials_sweep(stage: &mut Stage<'_>) -> Label {
    let asked = probe(stage, 30, (90, 12));
    probing(stage, Difficulty::Blatant, &asked, 5)
}

fn credentials_some(stage: &mut Stage<'_>) -> Label {
    let asked = probe(stage, 8, (8, 40));
    probing(stage, Difficulty::Moderate, &asked, 5)
}

fn credentials_one(stage: &mut Stage<'_>) -> Label {
    let asked = probe(stage, 1, (23, 55));
    probing(stage, Difficulty::Stealthy, &asked, 20)
}

fn credentials_expired(stage: &mut Stage<'_>) -> Label {
    probe(stage, 3, (15, 50));
    let label = stage.benign(Reason::UnexpectedCredentialTesting, stage.minute(5));
    Label { user: "*".to_owned(), ..label }
}

/// What admins of these orgs never do from day to day.
const RARE: [&str; 7] = [
    "pref.sso_setting_changed",
    "pref.two_factor_auth_changed",
    "role_change_to_owner",
    "manual_export_started",
    "manual_export_downloaded",
    "owner_transferred",
    "ekm_unenrolled",
];

/// The first `count` of what is rarely done, a minute apart.
fn rare(stage: &mut Stage<'_>, begin: Micros, count: usize, origin: super::Origin) {
    for (i, action) in RARE.into_iter().take(count).enumerate() {
        stage.sends(begin.plus(Span::from_mins(i as u64)), Verb::Admin { action }, origin);
    }
}

/// A stranger in an admin's name does `count` things that are rarely done.
fn taken_over(stage: &mut Stage<'_>, difficulty: Difficulty, count: usize) -> Label {
    let (begin, far) = (stage.minute(10), stage.elsewhere());
    let thief = stage.stranger(far, program(&FIREFOX_LINUX, begin), 1, begin);
    stage.sends(begin, Verb::Login, thief);
    let first = begin.plus(Span::from_secs(40));
    rare(stage, first, count, thief);
    let label = stage.attack(Reason::UnexpectedAdminAction, difficulty, first);
    Label { start: begin, also: OF_STRANGER.to_vec(), ..label }
}

fn admin_takeover(stage: &mut Stage<'_>) -> Label {
    taken_over(stage, Difficulty::Blatant, 7)
}

fn admin_stranger(stage: &mut Stage<'_>) -> Label {
    taken_over(stage, Difficulty::Moderate, 2)
}

fn admin_night(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let (first, far) = (stage.minute(10), stage.elsewhere());
    let action = stage.dice.pick(&RARE);
    stage.own(Kind::Desktop, first, far, Verb::Admin { action });
    let also = OF_STRANGER.to_vec();
    Label { also, ..stage.attack(Reason::UnexpectedAdminAction, Difficulty::Stealthy, first) }
}

fn onboarding(stage: &mut Stage<'_>) -> Label {
    const KINDS: [&str; 6] = [
        "user_created",
        "role_assigned",
        "role_change_to_user",
        "user_session_settings_changed",
        "user_reactivated",
        "app_restricted",
    ];
    stage.take(2);
    let place = stage.place();
    for (i, at) in times(stage.minute(5), 60, 80).enumerate() {
        stage.own(Kind::Desktop, at, place, Verb::Admin { action: KINDS[i % KINDS.len()] });
    }
    stage.benign(Reason::UnexpectedAdminAction, stage.minute(5))
}

fn on_call(stage: &mut Stage<'_>) -> Label {
    stage.take(1);
    let home = stage.person().home;
    stage.own(Kind::Desktop, stage.minute(5), home, Verb::Admin { action: RARE[0] });
    stage.benign(Reason::UnexpectedAdminAction, stage.minute(5))
}
