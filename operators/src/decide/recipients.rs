//! Who is told of a response: people, not hats. Owned here: the merge of the affected user with the org's admins, and
//! which mail addresses are fit for use. Not owned here: who the admins are (`policy`) and what they read (`respond`).

use super::rows::UserRow;
use crate::limits::ADDRESS_BYTES_MAX;
use crate::model::anomaly::Anomaly;
use crate::model::decision::Recipient;
use std::collections::BTreeMap;

/// One entry per person: the org's admins as they are to be told, and the affected user, who is told by mail whatever
/// else they are. The directory's address of the affected user is used before the event's.
pub fn recipients(anomaly: &Anomaly, user: &UserRow, admins: &BTreeMap<String, Recipient>) -> Vec<Recipient> {
    let mut people = admins.clone();
    let known = user.known.as_ref();
    let affected = people.entry(anomaly.user.clone()).or_insert_with(|| Recipient {
        user: anomaly.user.clone(),
        name: known.map_or_else(|| anomaly.actor.name.clone(), |known| known.name.clone()),
        email: None,
        dm: None,
        locale: known.map_or_else(String::new, |known| known.locale.clone()),
        affected: true,
        primary_owner: false,
        security_admin: false,
    });
    affected.affected = true;
    affected.email = known.and_then(|known| usable(&known.email)).or_else(|| usable(&anomaly.actor.email));
    people.into_values().collect()
}

/// The address, if mail can be sent to it: one `@` with something on both sides, printable ASCII or letters beyond
/// it, none of the characters that structure a header, bounded.
pub fn usable(address: &str) -> Option<String> {
    let (local, domain) = address.split_once('@')?;
    let fits = !local.is_empty()
        && !domain.is_empty()
        && address.len() <= ADDRESS_BYTES_MAX
        && !domain.contains('@')
        && address.chars().all(|c| c.is_ascii_graphic() || c.is_alphanumeric())
        && !address.contains(['<', '>', '(', ')', '[', ']', ',', ';', ':', '"', '\\']);
    fits.then(|| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_cannot_bend_a_header_are_used() {
        for good in ["ada@example.org", "a.b+c@sub.example.org", "jürgen@bücher.example"] {
            assert_eq!(usable(good).as_deref(), Some(good));
        }
        let long = format!("{}@example.org", "a".repeat(ADDRESS_BYTES_MAX));
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a@b@c",
            "a@b\r\nBcc: c@d",
            "a@b,c@d",
            "a b@c",
            "<a@b>",
            "\"a\"@b",
            "a@b\u{202e}",
            &long,
        ] {
            assert_eq!(usable(bad), None, "{bad:?}");
        }
    }
}
