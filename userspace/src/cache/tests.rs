//! What a shard promises, checked against a map that forgets nothing.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Key, Scope, Shard, Times, TooLarge};

const SEED: u64 = 0x0123_4567_89ab_cdef;
const AAAA: u16 = 28;
const IN: u16 = 1;

/// A name of its own for each number: one label of eight digits.
fn name(number: u32) -> [u8; 10] {
    let mut name = [0; 10];
    name[0] = 8;
    name[1..9].copy_from_slice(format!("{number:08x}").as_bytes());
    name
}

fn key(name: &[u8]) -> Key<'_> {
    Key::new(name, AAAA, IN, 0, SEED)
}

fn until(expires_secs: u32, stale_until_secs: u32) -> Times {
    Times { stored_secs: 0, expires_secs, stale_until_secs }
}

const FOREVER: Times = Times { stored_secs: 0, expires_secs: u32::MAX, stale_until_secs: u32::MAX };

#[test]
fn what_was_inserted_is_found_under_its_key_only() {
    let mut shard = Shard::new(64 * 1024);
    let times = Times { stored_secs: 5, expires_secs: 10, stale_until_secs: 20 };
    shard.insert(&key(&name(1)), b"value", times).expect("short");
    let hit = shard.get(&key(&name(1)), 5).expect("inserted");
    assert_eq!((hit.value, hit.times), (&b"value"[..], times));
    assert!(shard.get(&key(&name(2)), 5).is_none());
    assert!(shard.get(&Key::new(&name(1), 1, IN, 0, SEED), 5).is_none(), "type");
    assert!(shard.get(&Key::new(&name(1), AAAA, 3, 0, SEED), 5).is_none(), "class");
    assert!(shard.get(&Key::new(&name(1), AAAA, IN, 1, SEED), 5).is_none(), "flags");
    shard.check();
}

#[test]
fn a_walk_by_buckets_meets_each_entry_once_though_others_come_and_go() {
    let mut shard = Shard::new(2 << 20);
    for number in 0..500 {
        shard.insert(&key(&name(number)), &number.to_le_bytes(), FOREVER).expect("short");
    }
    let mut met = Vec::new();
    for bucket in 0..shard.buckets() {
        let values = shard.bucket(bucket).map(|entry| entry.value.try_into().expect("a number"));
        met.extend(values.map(u32::from_le_bytes).filter(|number| *number < 500));
        // The walk goes on among entries that are new, and entries that move in the log.
        let other = name(1_000 + bucket);
        shard.insert(&key(&other), &[0xff; 4], FOREVER).expect("short");
        shard.insert(&key(&name(bucket % 500)), &(bucket % 500).to_le_bytes(), FOREVER).expect("");
    }
    met.sort_unstable();
    assert_eq!(met, (0..500).collect::<Vec<_>>());
    assert_eq!(shard.stats().evictions + shard.stats().bucket_evictions, 0, "all were there");
    assert_eq!(shard.bucket(shard.buckets()).count(), 0, "past the last");
}

#[test]
fn keys_of_one_hash_are_told_apart_by_their_names() {
    let mut shard = Shard::new(64 * 1024);
    let (first, second) = (name(1), name(2));
    let first = Key::with_hash(&first, AAAA, IN, 0, 42);
    let second = Key::with_hash(&second, AAAA, IN, 0, 42);
    shard.insert(&first, b"first", FOREVER).expect("short");
    shard.insert(&second, b"second", FOREVER).expect("short");
    assert_eq!(shard.get(&first, 0).expect("inserted").value, b"first");
    assert_eq!(shard.get(&second, 0).expect("inserted").value, b"second");
    assert!(shard.remove(&first));
    assert!(shard.get(&first, 0).is_none());
    assert!(shard.get(&second, 0).is_some());
    shard.check();
}

#[test]
fn an_entry_is_fresh_then_stale_then_gone() {
    let mut shard = Shard::new(64 * 1024);
    let (name, stale) = (name(1), until(10, 20));
    shard.insert(&key(&name), b"value", stale).expect("short");
    assert!(shard.get(&key(&name), 9).expect("fresh").times.is_fresh(9));
    assert!(!shard.get(&key(&name), 10).expect("stale").times.is_fresh(10));
    assert!(shard.peek(&key(&name), 19).is_some());
    assert!(shard.peek(&key(&name), 20).is_none());
    assert_eq!(shard.stats().entries, 1, "peek leaves no trace");
    assert!(shard.get(&key(&name), 20).is_none());
    assert_eq!((shard.stats().entries, shard.stats().expired), (0, 1));
    assert!(shard.get(&key(&name), 9).is_none(), "gone for good");
    shard.check();
}

#[test]
fn time_may_come_near_the_end_of_its_32_bits() {
    let mut shard = Shard::new(64 * 1024);
    let name = name(1);
    shard.insert(&key(&name), b"value", until(u32::MAX - 1, u32::MAX)).expect("short");
    assert!(shard.get(&key(&name), u32::MAX - 2).expect("fresh").times.is_fresh(u32::MAX - 2));
    assert!(!shard.get(&key(&name), u32::MAX - 1).expect("stale").times.is_fresh(u32::MAX - 1));
    assert!(shard.get(&key(&name), u32::MAX).is_none());
}

#[test]
fn an_entry_that_may_not_be_stale_lives_until_it_expires() {
    let mut shard = Shard::new(64 * 1024);
    let name = name(1);
    shard.insert(&key(&name), b"value", until(10, 0)).expect("short");
    assert!(shard.get(&key(&name), 9).is_some());
    assert!(shard.get(&key(&name), 10).is_none());
}

#[test]
fn a_later_value_replaces_an_earlier_one_of_any_length() {
    let mut shard = Shard::new(64 * 1024);
    let name = name(1);
    for length in [10, 10, 11, 500, 3, 0] {
        let value = vec![length as u8; length];
        shard.insert(&key(&name), &value, FOREVER).expect("short");
        assert_eq!(shard.get(&key(&name), 0).expect("inserted").value, value);
        shard.check();
    }
    let stats = shard.stats();
    assert_eq!((stats.entries, stats.insertions, stats.replaced), (1, 1, 5));
    assert_eq!(stats.used_octets, 48, "header, name and no value, in units of 16 octets");
}

#[test]
fn an_entry_too_large_is_refused_and_takes_the_earlier_value_with_it() {
    let mut shard = Shard::new(64 * 1024);
    let name = name(1);
    shard.insert(&key(&name), b"value", FOREVER).expect("short");
    assert_eq!(shard.insert(&key(&name), &[0; 8192], FOREVER), Err(TooLarge), "an eighth");
    assert!(shard.get(&key(&name), 0).is_none(), "it was no longer true");
    shard.insert(&key(&name), &[0; 7000], FOREVER).expect("less than an eighth");
    shard.check();

    let mut shard = Shard::new(1 << 20);
    assert_eq!(shard.insert(&key(&name), &[1; 66_048], FOREVER), Err(TooLarge));
    shard.insert(&key(&name), &[1; 66_047], FOREVER).expect("the longest value");
    assert_eq!(shard.get(&key(&name), 0).expect("inserted").value, [1; 66_047]);
    assert_eq!(shard.insert(&key(&[1; 256]), b"", FOREVER), Err(TooLarge), "no name is so long");
    shard.check();
}

#[test]
fn a_shard_without_memory_holds_nothing_and_does_not_mind() {
    for capacity_octets in [0, 1, 64, 100, 500] {
        let mut shard = Shard::new(capacity_octets);
        assert_eq!(shard.insert(&key(&name(1)), b"value", FOREVER), Err(TooLarge));
        assert!(shard.get(&key(&name(1)), 0).is_none());
        assert_eq!(shard.iter().count(), 0);
        assert!(!shard.remove(&key(&name(1))));
        let _ = shard.touch_entry(7);
        shard.clear();
        shard.check();
    }
}

#[test]
fn names_and_subtrees_can_be_removed_whatever_their_type() {
    let mut shard = Shard::new(64 * 1024);
    let names: [&[u8]; 4] =
        [b"\x01a\x03org\0", b"\x01b\x01a\x03org\0", b"\x02xa\x03org\0", b"\x03org\0"];
    for name in names {
        for rtype in [1, 28] {
            shard.insert(&Key::new(name, rtype, IN, 0, SEED), b"value", FOREVER).expect("short");
        }
    }
    assert_eq!(shard.flush(&Scope::Name(b"\x03org\0".to_vec())), 2);
    assert_eq!(shard.flush(&Scope::Name(b"\x03org\0".to_vec())), 0);
    assert_eq!(shard.flush(&Scope::Subtree(b"\x01a\x03org\0".to_vec())), 4);
    let left: Vec<_> = shard.iter().map(|entry| (entry.name, entry.rtype)).collect();
    assert_eq!(left, [(names[2], 1), (names[2], 28)]);
    shard.check();
    shard.clear();
    assert_eq!((shard.stats().entries, shard.stats().removed), (0, 8));
    assert_eq!(shard.iter().count(), 0);
    assert!(shard.get(&Key::new(names[2], 1, IN, 0, SEED), 0).is_none());
    shard.check();
}

#[test]
fn a_full_bucket_gives_up_the_oldest_entry_that_nobody_asked_for() {
    let mut shard = Shard::new(64 * 1024);
    let names: Vec<_> = (0..10).map(name).collect();
    // One bucket: the same lower half of the hash for all.
    let same_bucket: Vec<_> =
        names.iter().map(|name| Key::with_hash(name, AAAA, IN, 0, SEED)).collect();
    for key in &same_bucket[..8] {
        shard.insert(key, b"value", FOREVER).expect("short");
    }
    assert!(shard.get(&same_bucket[0], 0).is_some(), "asked for");
    shard.insert(&same_bucket[8], b"value", FOREVER).expect("short");
    assert!(shard.peek(&same_bucket[1], 0).is_none(), "the oldest of the others");
    for key in same_bucket[..9].iter().filter(|key| key.name != names[1]) {
        assert!(shard.get(key, 0).is_some());
    }
    shard.insert(&same_bucket[9], b"value", FOREVER).expect("short");
    assert!(shard.peek(&same_bucket[0], 0).is_none(), "all were asked for: the oldest");
    let stats = shard.stats();
    assert_eq!((stats.entries, stats.bucket_evictions, stats.evictions), (8, 2, 0));
    shard.check();
}

#[test]
fn what_is_asked_for_survives_a_scan_of_ten_times_the_capacity() {
    let mut shard = Shard::new(1 << 20);
    let entry_octets = 192;
    let fit = (1 << 20) * 14 / 15 / entry_octets;
    let (hot, cold) = (fit / 10, fit * 10);
    let value = [7; 150];
    for number in 0..hot {
        shard.insert(&key(&name(number)), &value, FOREVER).expect("short");
    }
    let mut hits = 0;
    for number in 0..cold {
        shard.insert(&key(&name(hot + number)), &value, FOREVER).expect("short");
        let name = name(number % hot);
        let key = key(&name);
        if shard.get(&key, 0).is_some() {
            hits += 1;
        } else {
            shard.insert(&key, &value, FOREVER).expect("short");
        }
    }
    assert!(hits * 100 >= cold * 95, "{hits} of {cold}");
    assert!(shard.stats().reinsertions >= u64::from(hot));
    shard.check();
}

#[test]
fn with_everything_asked_for_the_oldest_still_go() {
    let mut shard = Shard::new(64 * 1024);
    for number in 0..5_000 {
        let name = name(number);
        shard.insert(&key(&name), &[1; 100], FOREVER).expect("short");
        assert!(shard.get(&key(&name), 0).is_some(), "the newest is there");
    }
    let stats = shard.stats();
    assert!(stats.reinsertions <= 16 * stats.insertions);
    assert!(stats.evictions > 0);
    shard.check();
}

#[test]
fn what_is_of_no_more_use_makes_room_even_if_it_was_asked_for() {
    let mut shard = Shard::new(64 * 1024);
    for number in 0..100 {
        let name = name(number);
        shard.insert(&key(&name), &[1; 100], until(10, 20)).expect("short");
        assert!(shard.get(&key(&name), 0).is_some());
    }
    let now = Times { stored_secs: 20, ..FOREVER };
    for number in 100..1_000 {
        shard.insert(&key(&name(number)), &[1; 100], now).expect("short");
    }
    let stats = shard.stats();
    assert_eq!(stats.reinsertions, 0);
    assert!(stats.expired > 50, "{stats:?}");
}

#[test]
fn a_dump_read_back_makes_the_same_shard() {
    let mut shard = Shard::new(16 * 1024);
    for number in 0..1_000_u32 {
        let value = vec![number as u8; number as usize % 300];
        shard.insert(&key(&name(number)), &value, until(number, number + 9)).expect("short");
    }
    let mut copy = Shard::new(16 * 1024);
    for entry in &shard {
        let key = Key::new(entry.name, entry.rtype, entry.class, entry.flags, SEED + 1);
        copy.insert(&key, entry.value, entry.times).expect("it fitted");
    }
    assert!(shard.iter().count() > 20);
    for entry in copy.iter() {
        assert!(shard.iter().any(|other| other == entry));
    }
    copy.check();
}

#[test]
fn all_memory_is_shown_before_use_and_is_the_capacity() {
    let mut shown = Vec::new();
    let shard = Shard::new_with(1_000_000, |octets| {
        assert!(octets.iter().all(|octet| *octet == 0));
        shown.push(octets.len());
    });
    assert_eq!(shown.iter().sum::<usize>(), 1_000_000);
    assert_eq!(shard.stats().capacity_octets, 1_000_000);
}

/// One thing that can happen to a shard.
#[derive(Clone, Debug)]
enum Step {
    Insert { number: u32, length: usize, ttl_secs: u32, stale_secs: u32 },
    Get { number: u32 },
    Remove { number: u32 },
    RemoveName { number: u32 },
    Clear,
    Wait { secs: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0..120_u32;
    let length = prop_oneof![8 => 0..400_usize, 1 => 0..2_200_usize];
    let step = prop_oneof![
        40 => (number.clone(), length, 1..60_u32, 0..60_u32).prop_map(
            |(number, length, ttl_secs, stale_secs)| Step::Insert {
                number, length, ttl_secs, stale_secs
            }
        ),
        40 => number.clone().prop_map(|number| Step::Get { number }),
        5 => number.clone().prop_map(|number| Step::Remove { number }),
        1 => number.prop_map(|number| Step::RemoveName { number }),
        8 => (0..20_u32).prop_map(|secs| Step::Wait { secs }),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_hit_is_the_last_value_and_not_too_old(
        steps in steps(),
        capacity_octets in prop_oneof![1_500..4_000_usize, 4_000..40_000_usize],
        start_secs in prop_oneof![Just(0), Just(u32::MAX - 20_000)],
    ) {
        let mut shard = Shard::new(capacity_octets);
        let mut model: HashMap<u32, (Vec<u8>, Times)> = HashMap::new();
        let mut now_secs = start_secs;
        for (serial, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert { number, length, ttl_secs, stale_secs } => {
                    let value = vec![serial as u8; length];
                    let times = Times {
                        stored_secs: now_secs,
                        expires_secs: now_secs + ttl_secs,
                        stale_until_secs: now_secs + ttl_secs + stale_secs,
                    };
                    if shard.insert(&key(&name(number)), &value, times).is_ok() {
                        let name = name(number);
                        let hit = shard.peek(&key(&name), now_secs).expect("just inserted");
                        prop_assert_eq!(hit.value, &value[..]);
                        model.insert(number, (value, times));
                    } else {
                        prop_assert!(length + 42 + 15 > capacity_octets / 10, "small enough");
                        model.remove(&number);
                    }
                }
                Step::Get { number } => {
                    if let Some(hit) = shard.get(&key(&name(number)), now_secs) {
                        let (value, times) = model.get(&number).expect("never made up");
                        prop_assert_eq!(hit.value, &value[..]);
                        prop_assert_eq!(hit.times, *times);
                        prop_assert!(times.is_usable(now_secs));
                    }
                }
                Step::Remove { number } => {
                    let was_there = shard.remove(&key(&name(number)));
                    prop_assert!(!was_there || model.contains_key(&number));
                    model.remove(&number);
                }
                Step::RemoveName { number } => {
                    prop_assert!(shard.flush(&Scope::Name(name(number).to_vec())) <= 1);
                    model.remove(&number);
                }
                Step::Clear => {
                    shard.clear();
                    model.clear();
                }
                Step::Wait { secs } => now_secs += secs,
            }
            shard.check();
            let stats = shard.stats();
            prop_assert!(stats.used_octets <= stats.capacity_octets);
            prop_assert!(stats.capacity_octets <= capacity_octets as u64);
            prop_assert_eq!(
                stats.insertions,
                stats.entries
                    + stats.evictions
                    + stats.bucket_evictions
                    + stats.expired
                    + stats.removed
            );
        }
        for entry in &shard {
            let number = std::str::from_utf8(&entry.name[1..9]).expect("digits");
            let number = u32::from_str_radix(number, 16).expect("digits");
            let (value, times) = model.get(&number).expect("never made up");
            prop_assert_eq!((entry.value, entry.times), (&value[..], *times));
        }
    }

    #[test]
    fn with_room_for_all_nothing_is_lost(numbers in prop::collection::vec(0..60_u32, 1..200)) {
        let mut shard = Shard::new(1 << 20);
        for &number in &numbers {
            shard.insert(&key(&name(number)), &number.to_le_bytes(), FOREVER).expect("short");
        }
        for &number in &numbers {
            let name = name(number);
            let hit = shard.get(&key(&name), 0).expect("nothing was evicted");
            prop_assert_eq!(hit.value, number.to_le_bytes());
        }
    }
}
