//! The map of our addresses and ports that XDP programs ask.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use aya::maps::HashMap;
use dns64_ebpf::abi::{self, ServiceKey, mapped};

use super::{Program, XdpError};

/// The octets of a [`ServiceKey`].
type ServiceOctets = [u8; size_of::<ServiceKey>()];

/// What we were about to do.
const WRITE: &str = "write a BPF map";

/// What the map of a program holds.
#[derive(Debug, Default)]
pub(super) struct Services(BTreeSet<ServiceOctets>);

impl Services {
    /// Makes the map hold these and no others. More than [`abi::SERVICES_MAX`] do not fit.
    ///
    /// # Errors
    /// If the map cannot be written.
    pub(super) fn set(
        &mut self,
        program: &mut Program,
        services: &BTreeSet<SocketAddr>,
    ) -> Result<(), XdpError> {
        let wanted: BTreeSet<ServiceOctets> = services
            .iter()
            .take(abi::SERVICES_MAX as usize)
            .map(|service| ServiceKey::new(mapped(service.ip()), service.port()).octets())
            .collect();
        let mut map: HashMap<_, ServiceOctets, u8> = program.map(abi::MAP_SERVICES)?;
        for key in self.0.difference(&wanted) {
            map.remove(key).map_err(|error| XdpError::of_map(WRITE, error))?;
        }
        for key in wanted.difference(&self.0) {
            map.insert(key, 1, 0).map_err(|error| XdpError::of_map(WRITE, error))?;
        }
        self.0 = wanted;
        Ok(())
    }
}
