//! What a user can grow is bounded, the victim's own outlives a flood, and rows stay small and come back whole.

use super::*;
use crate::limits::{CASES_MAX, SESSIONS_MAX};
use engine::state::codec;
use engine::state::rocks::RocksStores;
use engine::state::store::{Stores, Writes};
use engine::time::Stamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn bytes(state: &UserState) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(state, 0 as Stamp, &mut bytes).expect("within bounds");
    bytes
}

#[test]
fn a_thief_who_opens_many_sessions_does_not_evict_the_victim() {
    let mut world = World::new();
    let own =
        |n: u64| Act { tls: Some("t1"), device: Some("laptop"), asn: Some(7), ..act(format!("own{n}"), n * 3_600) };
    world.run((0..80).map(own));
    let victims = world.state.sessions.get(key::hash(b"s1")).cloned();
    for n in 0..3_000u64 {
        let session = format!("thief{n}");
        let thief = Act { tls: Some("t2"), ua: format!("tool/{n}x"), ..act(&session, 300_000 + n).session(&session) };
        world.apply(&thief.ip(if n % 2 == 0 { TOR } else { "198.51.100.1" }));
    }
    assert_eq!(world.state.sessions.get(key::hash(b"s1")), victims.as_ref());
    assert_eq!(world.total(Total::CasesEvicted), world.closed().len() as u64);
    assert_eq!(world.closed().len() + CASES_MAX, world.anomalies().len());
    world.apply(&Act { id: "mine".to_owned(), ..own(90).ip(TOR) });
    let mine = world.anomalies().pop().expect("raised");
    assert!(mine.marks.iter().all(|mark| mark.known), "{:?}", mine.marks);
    assert_eq!(mine.first_seen, victims.expect("there").first_seen);
    assert_eq!((mine.previous_ip_address.as_str(), mine.previous_ua.as_str()), (HOME, ""));
    assert_eq!(world.total(Total::SessionsEvicted), 3_000 - (SESSIONS_MAX as u64 - 1));
    assert!(bytes(&world.state).len() < 40_000, "{}", bytes(&world.state).len());
}

#[test]
fn a_flood_of_downloads_over_many_sessions_is_bounded_and_found() {
    let mut world = World::new();
    world.run((0..5_000u64).map(|n| download(n, n * 2).session(&format!("s{}", n * 7))));
    assert!(!world.anomalies().is_empty());
    assert!(bytes(&world.state).len() < 40_000, "{}", bytes(&world.state).len());
}

#[test]
fn damaged_rows_are_refused_and_take_no_room() {
    let whole = bytes(&UserState::default());
    assert!((0..whole.len()).all(|end| codec::decode::<UserState>(&whole[..end]).is_err()));
}

#[test]
fn a_row_comes_back_whole() {
    let mut world = World::new();
    world.run((0..12).map(|n| download(n, n)));
    world.run([
        Act { cookie: Some(5), tls: Some("a"), device: Some("d"), ..act("x", 100).ip(TOR) },
        Act { cookie: Some(9), tls: Some("b"), device: Some("e"), asn: Some(4), ..act("y", 200) },
    ]);
    world.state.standing = Some(Standing { is_external: false, is_bot: true, is_admin: false });
    world.state.set_exempt(Reason::UserAgent, true);
    let (back, _) = codec::decode::<UserState>(&bytes(&world.state)).expect("just written");
    assert_eq!(back, world.state);
    assert!(back.is_exempt(Reason::UserAgent) && !back.is_exempt(Reason::Tor));
}

const SLACK_IOS: &str = "com.tinyspeck.chatlyio/25.1.10 (iPhone; iOS 18.3; Scale/3.00)";

/// A month of an ordinary user: workdays, one or two devices, some five events an hour, now and then a download.
fn ordinary(seed: u64) -> Vec<u8> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new();
    let phone = dice.random_range(0..4) == 0;
    // Programs are many people's, sessions and devices are not.
    let own = |name: &str| -> &'static str { format!("{name} {seed}").leak() };
    let (laptop, mobile_phone) = (own("laptop"), own("phone"));
    for day in 0..28u64 {
        for hour in 0..8 {
            for n in 0..dice.random_range(1..11u64) {
                let secs = day * 86_400 + hour * 3_600 + n * 240 + dice.random_range(0..200);
                let mobile = phone && dice.random_range(0..4) == 0;
                let device = if mobile { mobile_phone } else { laptop };
                let id = format!("{day}.{hour}.{n}");
                let one = if dice.random_range(0..200) == 0 { download(id, secs) } else { act(id, secs) };
                world.apply(&Act {
                    ua: if mobile { SLACK_IOS.to_owned() } else { one.ua.clone() },
                    tls: Some(if mobile { "t2" } else { "t1" }),
                    client: Some(if mobile { ("Slack", "iOS", "1") } else { ("Chrome", "Windows", "131") }),
                    device: Some(device),
                    cookie: Some(secs / 600 * 600 + 1),
                    asn: Some(if mobile { 2 } else { 1 }),
                    country: Some("DE"),
                    ..one.session(device)
                });
            }
        }
    }
    assert!(world.anomalies().is_empty());
    bytes(&world.state)
}

#[test]
fn the_median_row_is_small() {
    const USERS: u64 = 151;
    let rows: Vec<Vec<u8>> = (0..USERS).map(ordinary).collect();
    let mut sizes: Vec<usize> = rows.iter().map(|row| row.len() - codec::HEADER).collect();
    sizes.sort_unstable();
    let folder = tempfile::tempdir().expect("a folder");
    let store = RocksStores::new(8 << 20).create(&folder.path().join("store")).expect("a store");
    let key = |user| [&[0, 0][..], &key_of(KeyKind::User, "E1", &format!("U{user:07}"))].concat();
    let entries = rows.into_iter().enumerate().map(|(user, row)| (key(user), Some(row))).collect();
    store.write(&Writes { entries }).expect("written");
    let files = store.checkpoint(&folder.path().join("checkpoint")).expect("a checkpoint");
    let on_disk = files.iter().filter(|file| file.lasting).map(|file| file.size).sum::<u64>() / USERS;
    println!("median row {} bytes, largest {}; on disk {on_disk} each", sizes[75], sizes[150]);
    assert!(on_disk > 50 && on_disk <= 300, "{on_disk} bytes on disk each");
    assert!(sizes[75] <= 400, "median {} bytes, largest {}", sizes[75], sizes[150]);
}
