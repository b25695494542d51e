//! Checksums of queries, and those of their replies.

use crate::frames::{Query, assert_checksums, frame};
use crate::world::World;
use crate::{AAAA, XDP_TX, client, first};

/// A sender on the same machine leaves the sum of the pseudo-header for hardware to go on from
/// (`CHECKSUM_PARTIAL`), and one of IPv4 may send none (RFC 768): such a query is as good as any.
#[test]
fn a_reply_has_right_checksums_whatever_checksum_its_query_had() {
    let Some(mut world) = World::new(16) else { return };
    let message = Query::new("four1.example", AAAA).message();
    assert!(world.heat(first(), &message));
    for (from, checksum_at) in [(first(), 60), (client("192.0.2.7:4000"), 40)] {
        let right = frame(from, &message, None);
        let expected = world.run(&right);
        assert_eq!(expected.action, XDP_TX);
        assert_checksums(&expected.frame);
        let mut checksums = vec![[0x12, 0x34], [0xff, 0xff], [0, 1]];
        if from.is_ipv4() {
            checksums.push([0, 0]);
        }
        for checksum in checksums {
            let mut query = right.clone();
            query[checksum_at..checksum_at + 2].copy_from_slice(&checksum);
            assert_ne!(query, right);
            assert_eq!(world.run(&query).frame, expected.frame, "{checksum:x?}");
        }
    }
}
