//! The program's table of clients: who gets answers from the kernel, and whose.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use aya::maps::LpmTrie;
use aya::maps::lpm_trie::Key;
use dns64_ebpf::abi::{self, ClientEntry, ClientKey, mapped};
use ipnet::IpNet;

use super::XdpError;
use super::steering::Steering;

/// The trie as user space has it: octets of a [`ClientKey`] to those of a [`ClientEntry`].
type Clients<'m> = LpmTrie<
    &'m mut aya::maps::MapData,
    [u8; size_of::<ClientKey>()],
    [u8; size_of::<ClientEntry>()],
>;

impl Steering {
    /// Says what becomes of the queries of clients. Networks that are not named have their queries
    /// left to user space; so have those past the first [`abi::CLIENTS_MAX`].
    ///
    /// While this changes, some clients are left to user space: nobody gets another's answers.
    ///
    /// # Errors
    /// If the map cannot be written.
    pub fn set_clients(
        &mut self,
        networks: impl IntoIterator<Item = (IpNet, ClientEntry)>,
    ) -> Result<(), XdpError> {
        let write = |error| XdpError::of_map("write a BPF map", error);
        let mut clients: Clients<'_> = self.program.map(abi::MAP_CLIENTS)?;
        // The networks around others go first and come last: else those others would for a moment
        // have what is theirs.
        let mut known: Vec<Key<[u8; 16]>> = clients.keys().flatten().collect();
        known.sort_by_key(Key::prefix_len);
        for key in &known {
            clients.remove(key).map_err(write)?;
        }
        let mut networks: Vec<_> = networks.into_iter().take(abi::CLIENTS_MAX as usize).collect();
        let bits =
            |network: &IpNet| ClientKey::trie_prefix_len(network.addr(), network.prefix_len());
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(bits(network)));
        let mut written = BTreeSet::new();
        for (network, entry) in networks {
            let bits = bits(&network);
            let address = mapped(network.network());
            // The first that names a network counts.
            if written.insert((bits, address)) {
                clients.insert(&Key::new(bits, address), entry.octets(), 0).map_err(write)?;
            }
        }
        Ok(())
    }
}
