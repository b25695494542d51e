//! Networks as objects, and groups of them.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use mlua::{Error, FromLua, Lua, MetaMethod, Result, UserData, UserDataMethods, Value};

use super::address::{Address, AddressArgument};

/// Reads a network; an address alone is a network of one.
fn parse(text: &str) -> Result<(IpNet, IpAddr)> {
    let network = text.parse::<IpNet>();
    let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network =
        network.map_err(|_| Error::runtime(format!("\"{text}\" is not an address or network")))?;
    Ok((network.trunc(), network.addr()))
}

/// A network.
#[derive(Clone, Copy)]
pub(super) struct Netmask {
    network: IpNet,
    /// The address as it was written, host bits included.
    address: IpAddr,
}

impl Netmask {
    /// Reads a network.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let (network, address) = parse(text)?;
        Ok(Self { network, address })
    }
}

impl UserData for Netmask {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        let object = |ip| Address(SocketAddr::new(ip, 0));
        methods.add_method("empty", |_, _, ()| Ok(false));
        methods.add_method("getBits", |_, this, ()| Ok(this.network.prefix_len()));
        methods.add_method("getNetwork", move |_, this, ()| Ok(object(this.address)));
        methods.add_method("getMaskedNetwork", move |_, this, ()| Ok(object(this.network.addr())));
        for name in ["isIPv4", "isIpv4"] {
            methods.add_method(name, |_, this, ()| Ok(this.address.is_ipv4()));
        }
        for name in ["isIPv6", "isIpv6"] {
            methods.add_method(name, |_, this, ()| Ok(this.address.is_ipv6()));
        }
        methods.add_method("match", |_, this, address: AddressArgument| {
            Ok(this.network.contains(&address.0.0.ip()))
        });
        methods.add_method("toString", |_, this, ()| Ok(this.text()));
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.text()));
    }
}

impl Netmask {
    fn text(self) -> String {
        format!("{}/{}", self.address, self.network.prefix_len())
    }
}

/// A group of networks; the longest that has an address decides.
#[derive(Default)]
pub(super) struct NetmaskGroup {
    /// Whether addresses of the network are of the group.
    networks: HashMap<IpNet, bool>,
    /// The lengths there are.
    lengths: BTreeSet<u8>,
}

impl NetmaskGroup {
    /// Adds a network; with `!` in front it is taken out.
    fn add(&mut self, text: &str) -> Result<()> {
        let (text, is_member) = match text.strip_prefix('!') {
            Some(text) => (text, false),
            None => (text, true),
        };
        let (network, _) = parse(text)?;
        self.lengths.insert(network.prefix_len());
        self.networks.insert(network, is_member);
        Ok(())
    }

    fn has(&self, address: IpAddr) -> bool {
        let networks = self.lengths.iter().rev().filter_map(|bits| IpNet::new(address, *bits).ok());
        let known = networks.filter_map(|network| self.networks.get(&network.trunc()));
        known.copied().next().unwrap_or(false)
    }
}

impl UserData for NetmaskGroup {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut("addMask", |_, this, mask: MaskArgument| this.add(&mask.0));
        methods.add_method_mut("addMasks", |_, this, masks: Vec<MaskArgument>| {
            masks.iter().try_for_each(|mask| this.add(&mask.0))
        });
        methods.add_method("match", |_, this, address: AddressArgument| {
            Ok(this.has(address.0.0.ip()))
        });
        methods.add_method("size", |_, this, ()| Ok(this.networks.len()));
        methods.add_method("empty", |_, this, ()| Ok(this.networks.is_empty()));
        for name in ["toString", "tostring"] {
            methods.add_method(name, |_, this, ()| {
                let mut texts: Vec<String> = this
                    .networks
                    .iter()
                    .map(|(network, member)| format!("{}{network}", if *member { "" } else { "!" }))
                    .collect();
                texts.sort();
                Ok(texts.join(", "))
            });
        }
    }
}

/// A network that a script gives: an object or text.
struct MaskArgument(String);

impl FromLua for MaskArgument {
    fn from_lua(value: Value, _: &Lua) -> Result<Self> {
        match value {
            Value::UserData(object) => Ok(Self(object.borrow::<Netmask>()?.text())),
            Value::String(text) => Ok(Self(text.to_str()?.to_owned())),
            other => Err(Error::runtime(format!("a network is not a {}", other.type_name()))),
        }
    }
}

/// Whether an address is in one of these networks, as Recursor 3 asks.
pub(super) fn match_netmask(address: &AddressArgument, networks: &[String]) -> Result<bool> {
    let mut group = NetmaskGroup::default();
    networks.iter().try_for_each(|network| group.add(network))?;
    Ok(group.has(address.0.0.ip()))
}
