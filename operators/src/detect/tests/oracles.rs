//! Each rule against a slow, obvious version of itself over the whole list of events. Seeds are printed on failure.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BAR: usize = 10;

/// Which downloads raise, from the list of all of them in order: no ring, no case rows, only what the rule says.
fn downloads_oracle(acts: &[Act]) -> Vec<String> {
    let minute = |act: &Act| act.time.secs() / 60;
    let (mut raised, mut cases) = (Vec::new(), BTreeMap::<Option<String>, Micros>::new());
    for (n, act) in acts.iter().enumerate() {
        cases.retain(|_, quiet_since| quiet_since.plus(Span::from_hours(1)) >= act.time);
        let held = |other: &&Act| other.session == act.session || !cases.contains_key(&other.session);
        let within = acts[..=n].iter().filter(|other| minute(other) + 60 > minute(act));
        if within.filter(held).count() > BAR && cases.insert(act.session.clone(), act.time).is_none() {
            raised.push(act.id.clone());
        }
    }
    raised
}

#[test]
fn downloads_agree_with_the_list() {
    for seed in 0..60u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (sessions, pace) = (dice.random_range(1..5), dice.random_range(30..900));
        let mut secs = 0;
        let acts: Vec<Act> = (0..400)
            .map(|n| {
                secs += if dice.random_range(0..40) == 0 { 5_000 } else { dice.random_range(0..pace) };
                let session = ["", "a", "b", "c"][dice.random_range(0..sessions)];
                download(n, secs).session(session)
            })
            .collect();
        let mut world = World::new();
        world.run(acts.clone());
        assert_eq!(world.raised_ids(), downloads_oracle(&acts), "seed {seed}");
    }
}

#[test]
fn a_late_flush_raises_just_when_arrival_in_time_would_have() {
    let mut raised = 0;
    for seed in 0..200u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let count = dice.random_range(8..28);
        let mut seconds: Vec<u64> = (0..count).map(|_| dice.random_range(0..9_000)).collect();
        seconds.sort_unstable();
        let acts: Vec<Act> = seconds.iter().enumerate().map(|(n, secs)| download(n, *secs)).collect();
        let mut in_time = World::new();
        in_time.run(acts.clone());
        // Some of it is held back by its producer and comes at once, up to an hour late.
        let flush = dice.random_range(3_600..9_000);
        let share = dice.random_range(0..100);
        let mut flushed: Vec<Act> = acts
            .into_iter()
            .enumerate()
            .map(|(n, act)| {
                let held_back = (flush - 3_600..flush).contains(&seconds[n]) && dice.random_range(0..100) < share;
                if held_back { act.late(flush) } else { act }
            })
            .collect();
        flushed.sort_by_key(|act| (act.at.unwrap_or(act.time), act.time));
        let mut late = World::new();
        late.run(flushed);
        assert_eq!(late.anomalies().is_empty(), in_time.anomalies().is_empty(), "seed {seed}");
        raised += u64::from(!late.anomalies().is_empty());
    }
    assert!((30..170).contains(&raised), "the streams are on both sides of the bar: {raised}");
}

/// Which events present a stale stamp as a second holder, from the list of all of them.
fn stale_oracle(events: &[(u64, u32, u64)]) -> Vec<usize> {
    const GRACE: u64 = 120;
    let mut found = Vec::new();
    for (n, (time, network, stamp)) in events.iter().enumerate() {
        // A stamp counts as newer from when it was first seen as the newest.
        let mut firsts: Vec<(u64, u64)> = Vec::new();
        let (mut presenter, mut contested) = (events[0].1, false);
        let owner = events[0].1;
        for (then, who, value) in &events[..n] {
            let stale = firsts.iter().any(|(newer, seen)| newer > value && then - seen > GRACE);
            let newest = firsts.last().map_or(0, |first| first.0);
            if stale {
                contested |= *who == owner && *who != presenter;
            } else if *value >= newest {
                presenter = *who;
                contested &= *who == owner;
                if *value > newest {
                    firsts.push((*value, *then));
                }
            }
        }
        let stale = firsts.iter().any(|(newer, seen)| newer > stamp && time - seen > GRACE);
        let newest = firsts.last().map_or(0, |first| first.0);
        let second = stale && *network != owner && *network != presenter;
        let returned = !stale && *stamp >= newest && contested && *network != owner;
        if second || returned {
            found.push(n);
        }
    }
    found
}

#[test]
fn stale_stamps_agree_with_the_list() {
    let mut total = 0;
    for seed in 0..150u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut time = 0u64;
        let events: Vec<(u64, u32, u64)> = (0..60)
            .map(|_| {
                time += dice.random_range(1..120);
                let stamp = 1 + (time / 100).saturating_sub(dice.random_range(0..5));
                (time, dice.random_range(1..4), stamp)
            })
            .collect();
        let mut world = World::new();
        for (n, (secs, network, stamp)) in events.iter().enumerate() {
            world.apply(&Act { asn: Some(*network), cookie: Some(*stamp), ..act(n, *secs) });
        }
        let expected = stale_oracle(&events);
        let raised: Vec<usize> = world.raised_ids().iter().map(|id| id.parse().expect("a number")).collect();
        assert_eq!(raised.first(), expected.first(), "seed {seed}");
        world.advance(Micros(u64::MAX));
        let evidence: u64 = world.closed().iter().map(|closed| closed.count).sum();
        assert_eq!(evidence, expected.len() as u64, "seed {seed}");
        total += expected.len();
    }
    assert!(total > 300, "the streams show something: {total}");
}

#[test]
fn changed_clients_agree_with_the_list() {
    for seed in 0..100u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let pick = |dice: &mut ChaCha8Rng, of: [&'static str; 3]| match dice.random_range(0..12) {
            0 => Some(of[1]),
            1 => Some(of[2]),
            2 | 3 => None,
            _ => Some(of[0]),
        };
        let mut world = World::new();
        let (mut device, mut system, mut expected) = (None, None, 0u64);
        for n in 0..80u64 {
            let (new_device, new_system) = (pick(&mut dice, ["a", "b", "c"]), pick(&mut dice, ["x", "y", "z"]));
            let client = new_system.map(|system| ("Chrome", system, "131"));
            world.apply(&Act { device: new_device, client, ..act(n, n * 10) });
            let differs = |old: Option<&str>, new: Option<&str>| old.is_some() && new.is_some() && old != new;
            expected += u64::from(differs(device, new_device) || differs(system, new_system));
            (device, system) = (new_device.or(device), new_system.or(system));
        }
        world.advance(Micros(u64::MAX));
        assert_eq!(world.closed().iter().map(|closed| closed.count).sum::<u64>(), expected, "seed {seed}");
        assert!(world.anomalies().len() <= 1, "seed {seed}");
    }
}

#[test]
fn every_evidence_of_a_random_stream_is_in_exactly_one_case() {
    for seed in 0..40u64 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (mut secs, mut shown) = (0, 0u64);
        let mut world = World::new();
        for n in 0..300 {
            secs += dice.random_range(0..2_500);
            let tor = dice.random_range(0..3) == 0;
            shown += u64::from(tor);
            let session = ["", "a", "b", "c", "d"][dice.random_range(0..5)];
            world.apply(&act(n, secs).ip(if tor { TOR } else { HOME }).session(session));
        }
        world.advance(Micros(u64::MAX));
        assert_eq!(world.closed().len(), world.anomalies().len(), "seed {seed}");
        assert_eq!(world.closed().iter().map(|closed| closed.count).sum::<u64>(), shown, "seed {seed}");
        assert!(world.closed().iter().all(|closed| closed.at >= closed.last.plus(Span::from_hours(1))), "seed {seed}");
    }
}
