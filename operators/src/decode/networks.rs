//! What databases in MaxMind's format say of an address: its AS number, its country, and whether it hides its users.
//! Owned here: which fields of them are read, and that the event's own win. Not owned here: reading the files.
//!
//! A database is untrusted: what cannot be read of it says nothing, and no lookup takes more than the walk down its
//! tree and the field that is asked for.

use super::address::public_ip;
use super::value;
use maxminddb::{PathElement, Reader, WithinOptions, path};
use serde::Deserialize;
use std::net::IpAddr;

/// What a database is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// `autonomous_system_number`.
    Asn,
    /// `country.iso_code`.
    Country,
    /// Proxies, VPNs and the like: `is_anonymous_vpn` and its kin.
    Anonymous,
}

impl About {
    /// All of them.
    pub const ALL: [About; 3] = [About::Asn, About::Country, About::Anonymous];

    /// As a setting.
    pub const fn name(self) -> &'static str {
        match self {
            About::Asn => "asn",
            About::Country => "country",
            About::Anonymous => "anonymous",
        }
    }
}

/// The databases of a job, as far as it has them.
#[derive(Debug, Default)]
pub struct Networks {
    asn: Option<Reader<Vec<u8>>>,
    country: Option<Reader<Vec<u8>>>,
    anonymous: Option<Reader<Vec<u8>>>,
}

/// What they say of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its AS number.
    pub asn: Option<u32>,
    /// Its country, two capital letters.
    pub country: Option<[u8; 2]>,
    /// Whether it hides its users.
    pub is_anonymous: bool,
}

/// How many networks of a database are looked at for what it is said to be about.
const LOOKED_AT: usize = 1_000;

impl Networks {
    /// Takes up a database.
    ///
    /// # Errors
    /// What is wrong with it, if it is no database or is about something else.
    pub fn add(&mut self, about: About, content: Vec<u8>) -> Result<(), String> {
        let reader = Reader::from_source(content).map_err(|error| format!("it is no MaxMind database: {error}"))?;
        let tells = |ip| match about {
            About::Asn => asn(&reader, ip).is_some(),
            About::Country => country(&reader, ip).is_some(),
            About::Anonymous => is_anonymous(&reader, ip),
        };
        let networks =
            reader.networks(WithinOptions::default()).map_err(|error| format!("it cannot be read: {error}"))?;
        let mut addresses = networks.take(LOOKED_AT).filter_map(|network| Some(network.ok()?.network().ok()?.ip()));
        if !addresses.any(tells) {
            let kind = &reader.metadata().database_type;
            return Err(format!(
                "nothing in its first {LOOKED_AT} networks is about `{}`; its type is `{kind}`",
                about.name()
            ));
        }
        drop(addresses);
        match about {
            About::Asn => self.asn = Some(reader),
            About::Country => self.country = Some(reader),
            About::Anonymous => self.anonymous = Some(reader),
        }
        Ok(())
    }

    /// Looks an address up. Those of no network that can be told, such as private ones, are not asked for.
    pub fn find(&self, ip: IpAddr) -> Found {
        if !public_ip(ip) {
            return Found::default();
        }
        Found {
            asn: self.asn.as_ref().and_then(|reader| asn(reader, ip)),
            country: self.country.as_ref().and_then(|reader| country(reader, ip)),
            is_anonymous: self.anonymous.as_ref().is_some_and(|reader| is_anonymous(reader, ip)),
        }
    }
}

fn field<'r, T: Deserialize<'r>>(reader: &'r Reader<Vec<u8>>, ip: IpAddr, path: &[PathElement<'_>]) -> Option<T> {
    reader.lookup(ip).ok()?.decode_path(path).ok()?
}

fn asn(reader: &Reader<Vec<u8>>, ip: IpAddr) -> Option<u32> {
    field(reader, ip, &path!["autonomous_system_number"])
}

fn country(reader: &Reader<Vec<u8>>, ip: IpAddr) -> Option<[u8; 2]> {
    let code: &str = field(reader, ip, &path!["country", "iso_code"])?;
    value::country(code).ok()?;
    let code = <[u8; 2]>::try_from(code.as_bytes()).ok()?;
    Some(code.map(|letter| letter.to_ascii_uppercase()))
}

/// Whether an address hides its users. A hosting provider's is anonymous in the eyes of such databases, too; whether it
/// hides anybody is not known of it.
fn is_anonymous(reader: &Reader<Vec<u8>>, ip: IpAddr) -> bool {
    let holds = |name| field::<bool>(reader, ip, &path![name]).unwrap_or(false);
    ["is_anonymous_vpn", "is_public_proxy", "is_residential_proxy", "is_tor_exit_node"].into_iter().any(holds)
        || holds("is_anonymous") && !holds("is_hosting_provider")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mmdb")
    }

    fn read(name: &str) -> Vec<u8> {
        fs::read(folder().join(name)).expect(name)
    }

    /// One database of each kind.
    pub fn all() -> Networks {
        let mut networks = Networks::default();
        networks.add(About::Asn, read("GeoLite2-ASN-Test.mmdb")).unwrap();
        networks.add(About::Country, read("GeoLite2-Country-Test.mmdb")).unwrap();
        networks.add(About::Anonymous, read("GeoIP2-Anonymous-IP-Test.mmdb")).unwrap();
        networks
    }

    #[test]
    fn an_address_has_a_number_and_a_country_and_may_be_hidden() {
        let networks = all();
        let find = |ip: &str| networks.find(ip.parse().unwrap());
        let sweden = Found { asn: Some(29_518), country: Some(*b"SE"), is_anonymous: false };
        assert_eq!(find("89.160.20.128"), sweden);
        assert_eq!(find("::ffff:89.160.20.128"), sweden);
        assert_eq!(find("2001:250::1"), Found { country: Some(*b"CN"), ..Found::default() });
        assert_eq!(find("203.0.113.9"), Found::default());
        assert!(find("1.2.0.1").is_anonymous && find("81.2.69.1").is_anonymous);
        // A hosting provider's, and what is not public.
        assert!(!find("71.160.223.1").is_anonymous && !find("10.0.0.1").is_anonymous);
        assert_eq!(Networks::default().find("89.160.20.128".parse().unwrap()), Found::default());
    }

    #[test]
    fn what_is_no_database_or_about_something_else_is_refused() {
        let refused = |about, content| Networks::default().add(about, content).unwrap_err();
        assert!(refused(About::Asn, b"<html>".to_vec()).starts_with("it is no MaxMind database"));
        assert!(refused(About::Asn, Vec::new()).starts_with("it is no MaxMind database"));
        let other = refused(About::Asn, read("GeoLite2-Country-Test.mmdb"));
        assert!(other.contains("is about `asn`; its type is `GeoLite2-Country`"), "{other}");
        assert!(refused(About::Country, read("bad/MaxMind-DB-test-ipv4-24.mmdb")).contains("about `country`"));
        assert!(refused(About::Anonymous, read("GeoLite2-ASN-Test.mmdb")).contains("about `anonymous`"));
        let whole = read("GeoLite2-ASN-Test.mmdb");
        for end in (0..whole.len()).step_by(97) {
            let _ = Networks::default().add(About::Asn, whole[..end].to_vec());
        }
    }

    #[test]
    fn damaged_and_hostile_databases_say_nothing() {
        let mut seen = 0;
        for entry in fs::read_dir(folder().join("bad")).unwrap() {
            let content = fs::read(entry.unwrap().path()).unwrap();
            for about in About::ALL {
                let mut networks = Networks::default();
                let _ = networks.add(about, content.clone());
                for ip in ["89.160.20.128", "1.1.1.1", "2001:250::1", "255.255.255.254", "9.9.9.9"] {
                    assert_eq!(networks.find(ip.parse().unwrap()), Found::default());
                }
            }
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn a_database_with_any_byte_changed_is_survived() {
        let whole = read("GeoIP2-Anonymous-IP-Test.mmdb");
        for place in (0..whole.len()).step_by(7) {
            let mut content = whole.clone();
            content[place] ^= 0xff;
            for about in [About::Anonymous, About::Country] {
                let mut networks = Networks::default();
                let _ = networks.add(about, content.clone());
                networks.find("81.2.69.1".parse().unwrap());
            }
        }
    }
}
