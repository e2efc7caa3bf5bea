//! Which admins an org has told of responses, and how: notification settings joined with roles. People, not hats:
//! who is Primary Owner and Security Admin is one person with the channels of both. And who its Primary Owner is, whatever
//! is set: somebody has to be told when a limit is reached.

use super::{Set, effective, ever_set, latest};
use crate::decide::DecideRecord;
use crate::decide::recipients::usable;
use crate::decide::record::OrgChange;
use crate::limits::RECIPIENTS_MAX;
use crate::model::control::{Channels, ControlRecord, ControlValue, DirectoryRow};
use crate::model::decision::Recipient;
use differential_dataflow::VecCollection;
use engine::flow::Stream;
use engine::time::Stamp;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

/// The system role of Security Admins in directory rows.
pub const SECURITY_ADMIN: &str = "security_admin";

/// The changes of who is told, and of who the Primary Owner is, from all control records.
pub fn admins<'scope>(control: Stream<'scope, ControlRecord>) -> Stream<'scope, DecideRecord> {
    let channels = latest(control.clone().flat_map(notifications), "notifications");
    let hats =
        latest(control.flat_map(hats).flat_map(ever_set()), "hats").map(|((org, user), admin)| (org, (user, admin)));
    let owners = owners(hats.clone());
    hats.join_map(channels, |org, (user, admin), told| (org.clone(), recipient(user, admin, told)))
        .flat_map(|(org, recipient)| recipient.map(|recipient| (org, (!recipient.primary_owner, recipient))))
        .reduce(|_, told, kept| kept.extend(told.iter().take(RECIPIENTS_MAX).map(|((_, admin), _)| (admin.clone(), 1))))
        .inner
        .map(|((org, admin), stamp, diff): (_, _, isize)| {
            DecideRecord::org(effective(stamp), &org, OrgChange::Admin { on: diff > 0, admin })
        })
        .concat(owners)
}

/// The changes of who an org's Primary Owner is: the first by id whom mail reaches.
fn owners<'scope>(hats: Hats<'scope>) -> Stream<'scope, DecideRecord> {
    let mail = Channels { email: true, dm: false };
    let told = Told { primary_owner: mail, security_admins: Channels::default() };
    hats.flat_map(move |(org, (user, admin))| recipient(&user, &admin, &told).map(|owner| (org, owner)))
        .reduce(|_, owners, kept| kept.extend(owners.first().map(|(owner, _)| ((*owner).clone(), 1))))
        .inner
        .map(|((org, owner), stamp, diff): (_, _, isize)| {
            DecideRecord::org(effective(stamp), &org, OrgChange::Owner { on: diff > 0, owner })
        })
}

/// By org, each admin and what the directory says of them.
type Hats<'scope> = VecCollection<'scope, Stamp, (String, (String, Admin))>;

/// How an org has its admins told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Told {
    primary_owner: Channels,
    security_admins: Channels,
}

/// What a directory row says of an admin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Admin {
    name: String,
    email: String,
    locale: String,
    account: Option<String>,
    primary_owner: bool,
    security_admin: bool,
}

fn notifications(record: ControlRecord) -> Option<Set<String, Told>> {
    let ControlRecord { at, position, org, value, .. } = record;
    let ControlValue::Settings(settings) = value else { return None };
    let told = settings
        .map(|settings| Told { primary_owner: settings.primary_owner, security_admins: settings.security_admins });
    Some(Set { at, position, key: org, value: told })
}

fn hats(record: ControlRecord) -> Option<Set<(String, String), Admin>> {
    let ControlRecord { at, position, org, key, value } = record;
    let ControlValue::User(row) = value else { return None };
    Some(Set { at, position, key: (org, key), value: row.and_then(admin) })
}

fn admin(row: DirectoryRow) -> Option<Admin> {
    let security_admin = row.roles.contains(SECURITY_ADMIN);
    (row.is_primary_owner || security_admin).then_some(Admin {
        name: row.name,
        email: row.email,
        locale: row.locale,
        account: row.slack_user_id,
        primary_owner: row.is_primary_owner,
        security_admin,
    })
}

/// An admin as they are to be told, `None` if no channel leads to them.
fn recipient(user: &str, admin: &Admin, told: &Told) -> Option<Recipient> {
    let worn = |worn: bool, channels: Channels| if worn { channels } else { Channels::default() };
    let owner = worn(admin.primary_owner, told.primary_owner);
    let security = worn(admin.security_admin, told.security_admins);
    let email = if owner.email || security.email { usable(&admin.email) } else { None };
    let dm = (owner.dm || security.dm).then(|| admin.account.clone().unwrap_or_else(|| user.to_owned()));
    (email.is_some() || dm.is_some()).then(|| Recipient {
        user: user.to_owned(),
        name: admin.name.clone(),
        email,
        dm,
        locale: admin.locale.clone(),
        affected: false,
        primary_owner: owner.email || owner.dm,
        security_admin: security.email || security.dm,
    })
}
