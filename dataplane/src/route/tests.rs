//! Beside a naive list, and one by one.

use proptest::prelude::*;

use super::*;
use crate::address::{V4, V6};

fn hops(slots: &[u32]) -> Vec<AdjacencySlot> {
    slots.iter().copied().map(AdjacencySlot).collect()
}

fn addr(octets: [u8; 4]) -> V4 {
    octets.into()
}

/// A table with a default route, 10/8, 10.1/16, 10.1.2/24 and 10.1.2.3.
fn nested() -> ForwardingTable<V4> {
    let mut table = ForwardingTable::new();
    for (len, slot) in [(0, 1), (8, 2), (16, 3), (24, 4), (32, 5)] {
        table.insert(addr([10, 1, 2, 3]), len, &hops(&[slot]));
    }
    table
}

#[test]
fn the_longest_prefix_wins() {
    let table = nested();

    for (octets, slot) in [
        ([10, 1, 2, 3], 5),
        ([10, 1, 2, 4], 4),
        ([10, 1, 3, 3], 3),
        ([10, 2, 2, 3], 2),
        ([11, 1, 2, 3], 1),
    ] {
        let found = table.lookup(addr(octets));
        assert_eq!(found, Some(&*hops(&[slot])), "{octets:?}");
    }
}

#[test]
fn an_empty_table_leads_nowhere_and_a_blackhole_leads_to_nothing() {
    let mut table = ForwardingTable::new();
    assert_eq!(table.lookup(addr([10, 0, 0, 1])), None);

    table.insert(addr([10, 0, 0, 0]), 8, &[]);

    assert_eq!(table.lookup(addr([10, 0, 0, 1])), Some(&[][..]));
    assert_eq!(table.lookup(addr([11, 0, 0, 1])), None);
}

#[test]
fn setting_a_route_tells_what_was_used_before() {
    let mut table = nested();
    let mut before = |octets, len| {
        let before = table.insert(addr(octets), len, &hops(&[9]));
        before.map(|hops| hops.to_vec())
    };

    assert_eq!(before([10, 1, 128, 0], 17), Some(hops(&[3])));
    assert_eq!(before([10, 1, 2, 128], 25), Some(hops(&[4])));
    assert_eq!(before([10, 1, 2, 3], 32), Some(hops(&[5])));
    assert_eq!(before([10, 0, 0, 0], 7), Some(hops(&[1])));
    assert_eq!(before([0, 0, 0, 0], 0), Some(hops(&[1])));
}

#[test]
fn removing_a_route_uncovers_the_shorter_one() {
    let mut table = nested();
    let target = addr([10, 1, 2, 3]);

    for (len, slot, then) in [(32, 5, 4), (16, 3, 4), (24, 4, 2), (8, 2, 1)] {
        let removed = table.remove(target, len);
        assert_eq!(removed.as_deref(), Some(&*hops(&[slot])));
        assert_eq!(table.lookup(target), Some(&*hops(&[then])));
        assert_eq!(table.remove(target, len), None);
    }
    assert!(table.remove(target, 0).is_some());

    assert_eq!(table.lookup(target), None);
    assert!(table.root.is_empty(), "nodes without routes are gone");
}

#[test]
fn bits_behind_the_prefix_are_ignored() {
    let mut table = ForwardingTable::new();
    table.insert(addr([10, 1, 2, 255]), 25, &hops(&[7]));

    assert_eq!(
        table.exact(addr([10, 1, 2, 128]), 25),
        Some(&hops(&[7]).into())
    );
    assert_eq!(table.lookup(addr([10, 1, 2, 127])), None);
    assert!(table.remove(addr([10, 1, 2, 200]), 25).is_some());
}

#[test]
fn ipv6_routes_use_all_128_bits() {
    let host = V6(0x2001_0db8_0009_0000_0000_0000_0000_0001);
    let mut table = ForwardingTable::new();
    table.insert(host, 32, &hops(&[1]));
    table.insert(host, 128, &hops(&[2]));

    assert_eq!(table.lookup(host), Some(&*hops(&[2])));
    assert_eq!(table.lookup(V6(host.0 ^ 1)), Some(&*hops(&[1])));
    assert_eq!(table.lookup(V6(host.0 ^ 1 << 100)), None);
}

#[test]
fn a_flow_keeps_its_next_hop_and_flows_are_spread() {
    let hops = hops(&[3, 4, 5]);
    let mut counts = [0_u32; 3];

    for n in 0..3_000_u32 {
        let hash = n.wrapping_mul(0x9e37_79b1);
        let chosen = select(&hops, hash).unwrap();
        assert_eq!(select(&hops, hash), Some(chosen));
        counts[chosen.index() - 3] += 1;
    }

    assert!(
        counts.iter().all(|&count| count.abs_diff(1_000) < 50),
        "{counts:?}"
    );
    assert_eq!(select(&[], 7), None);
    assert_eq!(select(&hops, u32::MAX), Some(AdjacencySlot(5)));
}

#[test]
fn a_clone_shares_what_a_change_does_not_touch() {
    let mut table = nested();
    table.insert(addr([192, 0, 2, 0]), 24, &hops(&[6]));
    let snapshot = table.clone();

    table.insert(addr([10, 1, 2, 3]), 32, &hops(&[7]));

    let untouched = |table: &ForwardingTable<V4>| {
        let node: *const Node = table.root.child(192).unwrap();
        node
    };
    assert_eq!(untouched(&table), untouched(&snapshot));
    assert_eq!(snapshot.lookup(addr([10, 1, 2, 3])), Some(&*hops(&[5])));
    assert_eq!(table.lookup(addr([10, 1, 2, 3])), Some(&*hops(&[7])));
}

/// One change. Few distinct bits, so that prefixes nest and collide.
#[derive(Clone, Debug)]
enum Step {
    Insert(V4, u8, Vec<AdjacencySlot>),
    Remove(V4, u8),
    /// One of those there are.
    RemoveNth(prop::sample::Index),
}

fn prefix() -> impl Strategy<Value = (V4, u8)> {
    let addr = prop_oneof![
        (0..16_u32, 0..4_u32).prop_map(|(high, low)| V4(high << 28 | 0x0001_0200 | low << 6)),
        any::<u32>().prop_map(|bits| V4(bits & 0xc0c0_c0c1)),
    ];
    (addr, 0..=32_u8)
}

fn step() -> impl Strategy<Value = Step> {
    let slots = prop::collection::vec((0..1000_u32).prop_map(AdjacencySlot), 0..3);
    prop_oneof![
        3 => (prefix(), slots).prop_map(|((addr, len), slots)| Step::Insert(addr, len, slots)),
        1 => prefix().prop_map(|(addr, len)| Step::Remove(addr, len)),
        1 => any::<prop::sample::Index>().prop_map(Step::RemoveNth),
    ]
}

/// The naive table: every route, looked at one after the other.
#[derive(Clone, Debug, Default)]
struct Model(Vec<(V4, u8, Vec<AdjacencySlot>)>);

fn same_bits(a: V4, b: V4, len: u8) -> bool {
    u64::from(a.0 ^ b.0) >> (32 - len) == 0
}

impl Model {
    fn covering(&self, addr: V4, most: u8) -> Option<&[AdjacencySlot]> {
        let routes = self.0.iter();
        routes
            .filter(|(prefix, len, _)| *len <= most && same_bits(addr, *prefix, *len))
            .max_by_key(|(_, len, _)| *len)
            .map(|(_, _, hops)| &**hops)
    }

    fn remove(&mut self, addr: V4, len: u8) -> Option<Vec<AdjacencySlot>> {
        let place = self
            .0
            .iter()
            .position(|route| route.1 == len && same_bits(addr, route.0, len));
        place.map(|place| self.0.remove(place).2)
    }

    fn removes_too(
        &mut self,
        table: &mut ForwardingTable<V4>,
        addr: V4,
        len: u8,
    ) -> Result<(), TestCaseError> {
        let (removed, expected) = (table.remove(addr, len), self.remove(addr, len));
        prop_assert_eq!(removed.as_deref(), expected.as_deref());
        Ok(())
    }

    fn agrees_with(&self, table: &ForwardingTable<V4>, asked: &[V4]) -> Result<(), TestCaseError> {
        for &addr in asked {
            prop_assert_eq!(table.lookup(addr), self.covering(addr, 32), "{}", addr);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_table_behaves_as_the_naive_list_and_old_clones_stay_as_they_were(
        steps in prop::collection::vec(step(), 1..80),
        others in prop::collection::vec(prefix(), 20),
    ) {
        let (mut table, mut model) = (ForwardingTable::new(), Model::default());
        let mut clones = Vec::new();
        let mut asked: Vec<_> = others.into_iter().map(|(addr, _)| addr).collect();
        for step in steps {
            clones.push((table.clone(), model.clone()));
            match step {
                Step::Insert(addr, len, hops) => {
                    let before = table.insert(addr, len, &hops);
                    prop_assert_eq!(before.as_deref(), model.covering(addr, len));
                    model.remove(addr, len);
                    model.0.push((addr, len, hops));
                    asked.push(addr);
                }
                Step::Remove(addr, len) => model.removes_too(&mut table, addr, len)?,
                Step::RemoveNth(which) if !model.0.is_empty() => {
                    let (addr, len, _) = model.0[which.index(model.0.len())];
                    model.removes_too(&mut table, addr, len)?;
                }
                Step::RemoveNth(_) => {}
            }
            model.agrees_with(&table, &asked)?;
        }
        for (table, model) in clones {
            model.agrees_with(&table, &asked)?;
        }
    }
}
