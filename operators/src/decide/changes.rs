//! What an org changed about its settings and lists, for the audit log. Owned here: what counts as a change, and its id.
//! Not owned here: how it reads (`respond`).

use super::record::OrgChange;
use super::rows::OrgRow;
use crate::model::change::{Change, Preferences, Step, What};
use crate::model::control::{ResponseSetting, Settings};
use crate::model::id::Id;
use crate::model::reason::Reason;
use engine::time::Micros;
use std::collections::{BTreeMap, BTreeSet};

/// What `change` changes about an org at `at`: toggles and notifications as one, then one for each user and each group
/// that is excluded otherwise than before. What holds from the beginning of time is no change.
pub fn changes(at: Micros, org: &str, row: &OrgRow, change: &OrgChange) -> Vec<Change> {
    if at == Micros::ZERO {
        return Vec::new();
    }
    let (position, found) = match change {
        OrgChange::Settings { position, settings } => {
            let default = Settings::default();
            (*position, of_settings(&row.settings, settings.as_ref().unwrap_or(&default)))
        }
        OrgChange::AllowList { position, list } => {
            let (from, to) = (row.allow_list.clone(), list.clone().unwrap_or_default());
            let found = (from != to).then_some(What::AllowList(Step { from, to }));
            (*position, found.into_iter().collect())
        }
        _ => return Vec::new(),
    };
    found.into_iter().map(|what| Change { id: id(at, org, position, &what), at, org: org.to_owned(), what }).collect()
}

fn id(at: Micros, org: &str, position: u64, what: &What) -> Id {
    let (kind, name) = match what {
        What::Preferences(_) => ("preferences", ""),
        What::User(user, _) => ("user", user.as_str()),
        What::Group(group, _) => ("group", group.as_str()),
        What::AllowList(_) => ("allow_list", ""),
    };
    let (at, position) = (at.0.to_le_bytes(), position.to_le_bytes());
    Id::of("change", &[org.as_bytes(), &at, &position, kind.as_bytes(), name.as_bytes()])
}

fn of_settings(from: &Settings, to: &Settings) -> Vec<What> {
    let (before, after) = (preferences(from), preferences(to));
    let preferences = (before != after).then_some(What::Preferences(Step { from: before, to: after }));
    let users = moved(from, to, |response| &response.exclude_users).map(|(user, step)| What::User(user, step));
    let groups = moved(from, to, |response| &response.exclude_groups).map(|(group, step)| What::Group(group, step));
    preferences.into_iter().chain(users).chain(groups).collect()
}

fn preferences(settings: &Settings) -> Preferences {
    Preferences {
        responses: Reason::WITH_TOGGLE.iter().map(|reason| (*reason, settings.enabled(*reason))).collect(),
        primary_owner: settings.primary_owner,
        security_admins: settings.security_admins,
    }
}

/// Who is excluded for other reasons than before.
fn moved(
    from: &Settings,
    to: &Settings,
    excluded: fn(&ResponseSetting) -> &BTreeSet<String>,
) -> impl Iterator<Item = (String, Step<BTreeSet<Reason>>)> {
    let mut steps = BTreeMap::<String, Step<BTreeSet<Reason>>>::new();
    let mut note = |settings: &Settings, of: fn(&mut Step<BTreeSet<Reason>>) -> &mut BTreeSet<Reason>| {
        for (reason, response) in &settings.responses {
            for name in excluded(response) {
                let none = || Step { from: BTreeSet::new(), to: BTreeSet::new() };
                of(steps.entry(name.clone()).or_insert_with(none)).insert(*reason);
            }
        }
    };
    note(from, |step| &mut step.from);
    note(to, |step| &mut step.to);
    steps.into_iter().filter(|(_, step)| step.from != step.to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::control::{AllowList, Channels};

    const AT: Micros = Micros::from_secs(1_767_225_600);

    /// A reason, its toggle, and which users and groups are excluded.
    type Response<'a> = (Reason, Option<bool>, &'a [&'a str], &'a [&'a str]);

    fn set(responses: &[Response<'_>]) -> Settings {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let of = |(reason, enabled, users, groups): &Response<'_>| {
            let (exclude_users, exclude_groups) = (names(users), names(groups));
            (*reason, ResponseSetting { enabled: *enabled, exclude_users, exclude_groups })
        };
        Settings { responses: responses.iter().map(of).collect(), ..Settings::default() }
    }

    fn found(from: Settings, to: Option<Settings>, at: Micros) -> Vec<What> {
        let row = OrgRow { settings: from, ..OrgRow::default() };
        let change = OrgChange::Settings { position: 3, settings: to };
        changes(at, "E1", &row, &change).into_iter().map(|change| change.what).collect()
    }

    #[test]
    fn what_an_org_set_is_told_by_what_it_changes() {
        use Reason::{ExcessiveDownloads, Tor};
        assert_eq!(found(Settings::default(), None, AT), []);
        // The default, said aloud, changes nothing.
        assert_eq!(found(Settings::default(), Some(set(&[(Tor, Some(true), &[], &[])])), AT), []);
        let from = set(&[(Tor, None, &["U1", "U2"], &["S1"])]);
        let to = set(&[(Tor, Some(false), &["U2", "U3"], &["S1"]), (ExcessiveDownloads, None, &["U2"], &["S2"])]);
        let told = found(from.clone(), Some(to.clone()), AT);
        let of = |reasons: &[Reason]| reasons.iter().copied().collect::<BTreeSet<_>>();
        let step = |from: &[Reason], to: &[Reason]| Step { from: of(from), to: of(to) };
        assert_eq!(
            told,
            [
                What::Preferences(Step { from: preferences(&from), to: preferences(&to) }),
                What::User("U1".into(), step(&[Tor], &[])),
                What::User("U2".into(), step(&[Tor], &[ExcessiveDownloads, Tor])),
                What::User("U3".into(), step(&[], &[Tor])),
                What::Group("S2".into(), step(&[], &[ExcessiveDownloads])),
            ]
        );
        assert_eq!(found(from, Some(to), Micros::ZERO), [], "from the beginning of time");
        let mail = Channels { email: true, dm: false };
        let told = found(Settings { security_admins: mail, ..Settings::default() }, None, AT);
        assert!(matches!(&told[..], [What::Preferences(step)] if step.from.security_admins == mail));
    }

    #[test]
    fn each_change_has_an_id_of_its_own_that_does_not_move() {
        let list = AllowList { trusted_asn: BTreeSet::from([64_500]), ..AllowList::default() };
        let change = |position| OrgChange::AllowList { position, list: Some(list.clone()) };
        let ids = |at, org, position| {
            changes(at, org, &OrgRow::default(), &change(position)).into_iter().map(|change| change.id).next()
        };
        let one = ids(AT, "E1", 1);
        assert!(one.is_some());
        assert_eq!(one, ids(AT, "E1", 1));
        let others = [ids(AT, "E1", 2), ids(AT, "E2", 1), ids(Micros(AT.0 + 1_000), "E1", 1)];
        assert!(others.iter().all(|other| *other != one));
        let row = OrgRow { allow_list: list.clone(), ..OrgRow::default() };
        assert_eq!(changes(AT, "E1", &row, &change(1)), []);
    }
}
