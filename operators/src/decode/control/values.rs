//! The values of each kind of control record. Owned here: what each kind's org, key and value may be.

use super::ALL_ORGS;
use super::problem::Problems;
use super::reader::{At, Fields, unknown};
use crate::decode::address::parse_ip;
use crate::model::control::{
    AllowList, Channels, ControlValue, DirectoryRow, ResponseSetting, Settings, Switch, ThreatList,
};
use crate::model::reason::Reason;
use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The widest prefix that an org may trust, IPv4.
const TRUSTED_BITS_MIN_V4: u8 = 8;

/// The widest prefix that an org may trust, IPv6.
const TRUSTED_BITS_MIN_V6: u8 = 24;

const KINDS: [&str; 6] = ["user", "settings", "allow_list", "workspace", "control", "threat_list"];
const SWITCHES: [&str; 3] = ["shadow", "hold", "resume"];
const LISTS: [&str; 5] = ["tor_exit", "suspicious_asn", "cloud_asn", "ioc_ip", "automation_tls"];

/// Reads the value of a kind, and checks that org and key fit it. `None` with at least one problem told. `org` and
/// `key` are `None` where a problem with them is told already.
pub(super) fn read(
    kind: &str,
    org: Option<&str>,
    key: Option<&str>,
    value: &Value,
    problems: &mut Problems,
) -> Option<ControlValue> {
    if !KINDS.contains(&kind) {
        problems.tell("kind", kind, &unknown("a kind", kind, KINDS.into_iter()));
        return None;
    }
    check_org(kind, org, problems);
    check_key(kind, key, problems);
    let at = (!value.is_null()).then_some(At { path: "value", value });
    fn set<T>(at: Option<At<'_>>, read: impl FnOnce(At<'_>) -> Option<T>) -> Option<Option<T>> {
        at.map_or(Some(None), |at| read(at).map(Some))
    }
    match kind {
        "user" => set(at, |at| user(at, problems)).map(ControlValue::User),
        "settings" => set(at, |at| settings(at, problems)).map(ControlValue::Settings),
        "allow_list" => set(at, |at| allow_list(at, problems)).map(ControlValue::AllowList),
        "workspace" => set(at, |at| at.object(None, problems).map(drop)).map(ControlValue::Workspace),
        "control" => set(at, |at| switch(at, problems)).map(ControlValue::Switch),
        _ => set(at, |at| threat_list(key?, at, problems)).map(ControlValue::ThreatList),
    }
}

fn check_org(kind: &str, org: Option<&str>, problems: &mut Problems) {
    match (kind, org) {
        ("threat_list", Some(org)) if org != ALL_ORGS => {
            problems.tell("org", org, "must be `*`: lists hold for all orgs")
        }
        ("control" | "threat_list", _) => {}
        (_, Some(ALL_ORGS)) => problems.tell("org", ALL_ORGS, &format!("must be one org for kind `{kind}`")),
        _ => {}
    }
}

fn check_key(kind: &str, key: Option<&str>, problems: &mut Problems) {
    let known: &[&str] = match kind {
        "settings" => &["aer"],
        "allow_list" => &["trusted"],
        "control" => &SWITCHES,
        "threat_list" => &LISTS,
        _ => return,
    };
    if let Some(key) = key.filter(|key| !known.contains(key)) {
        problems.tell("key", key, &unknown(&format!("a key of kind `{kind}`"), key, known.iter().copied()));
    }
}

fn user(at: At<'_>, problems: &mut Problems) -> Option<DirectoryRow> {
    let row = at.object(None, problems)?;
    Some(DirectoryRow {
        name: row.text("name", problems).unwrap_or_default(),
        email: row.text("email", problems).unwrap_or_default(),
        locale: row.text("locale", problems).unwrap_or_default(),
        is_primary_owner: row.flag("is_primary_owner", problems).unwrap_or_default(),
        is_external: row.flag("is_external", problems).unwrap_or_default(),
        is_bot: row.flag("is_bot", problems).unwrap_or_default(),
        roles: row.texts("roles", problems),
        groups: row.texts("groups", problems),
        slack_user_id: row.text("slack_user_id", problems).filter(|id| !id.is_empty()),
    })
}

fn settings(at: At<'_>, problems: &mut Problems) -> Option<Settings> {
    let settings = at.object(Some(&["responses", "notifications"]), problems)?;
    let responses = settings.optional("responses", problems, responses).unwrap_or_default();
    let (primary_owner, security_admins) = settings
        .optional("notifications", problems, |at, problems| {
            let told = at.object(Some(&["primary_owner", "security_admins"]), problems)?;
            let mut of = |name| told.optional(name, problems, channels).unwrap_or_default();
            Some((of("primary_owner"), of("security_admins")))
        })
        .unwrap_or_default();
    Some(Settings { responses, primary_owner, security_admins })
}

/// Every entry is checked; those of reasons without a toggle have no effect and are not kept.
fn responses(at: At<'_>, problems: &mut Problems) -> Option<BTreeMap<Reason, ResponseSetting>> {
    let entries = at.object(None, problems)?;
    let mut responses = BTreeMap::new();
    for code in entries.names() {
        let Ok(reason) = code.parse::<Reason>() else {
            problems.tell(&format!("{}.{code}", at.path), code, &unknown_reason(code));
            continue;
        };
        let setting = entries.optional(code, problems, response).unwrap_or_default();
        if reason.has_toggle() {
            responses.insert(reason, setting);
        }
    }
    Some(responses)
}

fn response(at: At<'_>, problems: &mut Problems) -> Option<ResponseSetting> {
    let setting = at.object(Some(&["enabled", "exclude_users", "exclude_groups"]), problems)?;
    Some(ResponseSetting {
        enabled: setting.flag("enabled", problems),
        exclude_users: setting.texts("exclude_users", problems),
        exclude_groups: setting.texts("exclude_groups", problems),
    })
}

fn channels(at: At<'_>, problems: &mut Problems) -> Option<Channels> {
    let channels = at.object(Some(&["email", "dm"]), problems)?;
    Some(Channels {
        email: channels.flag("email", problems).unwrap_or_default(),
        dm: channels.flag("dm", problems).unwrap_or_default(),
    })
}

fn allow_list(at: At<'_>, problems: &mut Problems) -> Option<AllowList> {
    let list = at.object(Some(&["trusted_cidr", "trusted_asn", "trusted_asns"]), problems)?;
    let asns = |name, list: &Fields<'_>, problems: &mut Problems| -> BTreeSet<u32> {
        list.optional(name, problems, |at, problems| at.each(problems, asn)).unwrap_or_default()
    };
    let mut trusted_asn = asns("trusted_asn", &list, problems);
    trusted_asn.append(&mut asns("trusted_asns", &list, problems));
    let trusted_cidr = list.optional("trusted_cidr", problems, |at, problems| at.each(problems, trusted_prefix));
    Some(AllowList { trusted_cidr: trusted_cidr.unwrap_or_default(), trusted_asn })
}

fn switch(at: At<'_>, problems: &mut Problems) -> Option<Switch> {
    let switch = at.object(Some(&["on", "reasons"]), problems)?;
    let reasons = switch.optional("reasons", problems, |at, problems| {
        at.each(problems, |at, problems| {
            let code = at.text(problems)?;
            code.parse::<Reason>().map_err(|_| at.tell(problems, &unknown_reason(code))).ok()
        })
    });
    Some(Switch { on: switch.required("on", problems, |at, problems| at.flag(problems))?, reasons })
}

fn threat_list(name: &str, at: At<'_>, problems: &mut Problems) -> Option<ThreatList> {
    let list = at.object(Some(&["entries"]), problems)?;
    list.required("entries", problems, |at, problems| match name {
        "tor_exit" => at.each(problems, address).map(ThreatList::TorExit),
        "suspicious_asn" => at.each(problems, asn).map(ThreatList::SuspiciousAsn),
        "cloud_asn" => at.each(problems, asn).map(ThreatList::CloudAsn),
        "ioc_ip" => at.each(problems, prefix).map(ThreatList::IocIp),
        "automation_tls" => at.each(problems, automation).map(ThreatList::AutomationTls),
        _ => None,
    })
}

fn automation(at: At<'_>, problems: &mut Problems) -> Option<(String, String)> {
    let entry = at.object(Some(&["fingerprint", "tool"]), problems)?;
    let text = |at: At<'_>, problems: &mut Problems| {
        let text = at.text(problems)?;
        if text.is_empty() {
            at.tell(problems, "must not be empty");
        }
        Some(text.to_owned())
    };
    let fingerprint = entry.required("fingerprint", problems, text);
    let tool = entry.required("tool", problems, text);
    Some((fingerprint?, tool?))
}

fn unknown_reason(code: &str) -> String {
    unknown("a reason code", code, Reason::ALL.iter().map(|reason| reason.code()))
}

fn asn(at: At<'_>, problems: &mut Problems) -> Option<u32> {
    let asn = at.value.as_u64().and_then(|asn| u32::try_from(asn).ok());
    if asn.is_none() {
        at.tell(problems, "must be an AS number, an integer from 0 to 4294967295");
    }
    asn
}

fn address(at: At<'_>, problems: &mut Problems) -> Option<IpAddr> {
    let ip = parse_ip(at.text(problems)?);
    if ip.is_none() {
        at.tell(problems, "must be an IP address");
    }
    ip
}

/// A prefix without the bits beyond its length; an address is the prefix of itself alone, and IPv4 that comes mapped
/// into IPv6 is IPv4, as in events.
fn prefix(at: At<'_>, problems: &mut Problems) -> Option<IpNet> {
    let text = at.text(problems)?;
    let net = text.parse::<IpNet>().ok().or_else(|| parse_ip(text).map(IpNet::from));
    if net.is_none() {
        at.tell(problems, "must be a prefix such as 203.0.113.0/24 or 2001:db8::/32");
    }
    net.map(|net| {
        match net {
            IpNet::V6(v6) if v6.prefix_len() >= 96 => v6
                .addr()
                .to_ipv4_mapped()
                .map_or(net, |v4| Ipv4Net::new(v4, v6.prefix_len() - 96).map_or(net, IpNet::V4)),
            _ => net,
        }
        .trunc()
    })
}

fn trusted_prefix(at: At<'_>, problems: &mut Problems) -> Option<IpNet> {
    let net = prefix(at, problems)?;
    let bits_min = if matches!(net, IpNet::V4(_)) { TRUSTED_BITS_MIN_V4 } else { TRUSTED_BITS_MIN_V6 };
    if net.prefix_len() < bits_min {
        let hint = format!("must not be wider than /{bits_min}: whoever comes from it would never be found");
        at.tell(problems, &hint);
        return None;
    }
    Some(net)
}
