//! Addresses with ports, as objects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use mlua::{Error, FromLua, Lua, MetaMethod, Result, UserData, UserDataMethods, Value};

/// An address and a port; 0 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address(pub(super) SocketAddr);

impl Address {
    /// Reads an address, with a port or without.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let address = text.parse::<SocketAddr>().ok();
        let bare = || {
            let text =
                text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
            Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, 0))
        };
        let refusal = || Error::runtime(format!("\"{text}\" is not an address"));
        address.or_else(bare).map(Self).ok_or_else(refusal)
    }
}

/// An address that a script gives: an object or text.
pub(super) struct AddressArgument(pub(super) Address);

impl FromLua for AddressArgument {
    fn from_lua(value: Value, _: &Lua) -> Result<Self> {
        match value {
            Value::UserData(object) => Ok(Self(*object.borrow::<Address>()?)),
            Value::String(text) => Ok(Self(Address::parse(&text.to_str()?)?)),
            other => Err(Error::runtime(format!("an address is not a {}", other.type_name()))),
        }
    }
}

impl UserData for Address {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("toString", |_, this, ()| Ok(this.0.ip().to_string()));
        methods.add_method("toStringWithPort", |_, this, ()| Ok(this.0.to_string()));
        methods.add_method("getPort", |_, this, ()| Ok(this.0.port()));
        methods.add_method("getRaw", |lua, this, ()| match this.0.ip() {
            IpAddr::V4(address) => lua.create_string(address.octets()),
            IpAddr::V6(address) => lua.create_string(address.octets()),
        });
        for name in ["isIPv4", "isIpv4"] {
            methods.add_method(name, |_, this, ()| Ok(this.0.is_ipv4()));
        }
        for name in ["isIPv6", "isIpv6"] {
            methods.add_method(name, |_, this, ()| Ok(this.0.is_ipv6()));
        }
        methods.add_method("isMappedIPv4", |_, this, ()| Ok(mapped(this).is_some()));
        methods.add_method("mapToIPv4", |_, this, ()| {
            let ip = mapped(this).map_or_else(|| this.0.ip(), IpAddr::V4);
            Ok(Self(SocketAddr::new(ip, this.0.port())))
        });
        methods.add_method_mut("truncate", |_, this, bits: u8| {
            let network = IpNet::new(this.0.ip(), bits)
                .map_err(|_| Error::runtime(format!("an address has no {bits} bits")))?;
            this.0.set_ip(network.network());
            Ok(())
        });
        methods.add_method("equal", |_, this, other: AddressArgument| {
            Ok(this.0.ip() == other.0.0.ip())
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.0.ip().to_string()));
        methods.add_meta_method(MetaMethod::Eq, |_, this, other: AddressArgument| {
            Ok(*this == other.0)
        });
    }
}

/// The IPv4 address in an IPv4-mapped one.
fn mapped(address: &Address) -> Option<Ipv4Addr> {
    match address.0.ip() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Ipv6Addr::to_ipv4_mapped(&address),
    }
}
