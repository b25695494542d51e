//! Names as objects, and sets of domains.

use std::collections::HashSet;

use mlua::{Error, FromLua, Lua, MetaMethod, Result, Table, UserData, UserDataMethods, Value};

use crate::wire::name::{Name, NameBuf};

/// A name.
#[derive(Clone)]
pub(super) struct DnsName(pub(super) NameBuf);

/// A name that a script gives: an object or text.
pub(super) struct NameArgument(pub(super) NameBuf);

impl NameArgument {
    /// Reads a name from text.
    pub(super) fn parse(text: &str) -> Result<NameBuf> {
        text.parse()
            .map_err(|error| Error::runtime(format!("\"{text}\" is not a domain name: {error}")))
    }
}

impl FromLua for NameArgument {
    fn from_lua(value: Value, _: &Lua) -> Result<Self> {
        match value {
            Value::UserData(object) => Ok(Self(object.borrow::<DnsName>()?.0.clone())),
            Value::String(text) => Ok(Self(Self::parse(&text.to_str()?)?)),
            other => Err(Error::runtime(format!("a domain name is not a {}", other.type_name()))),
        }
    }
}

/// The text without the dot at its end.
fn without_dot(name: &NameBuf) -> String {
    let text = name.to_string();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

impl UserData for DnsName {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("toString", |_, this, ()| Ok(this.0.to_string()));
        methods.add_method("toStringNoDot", |_, this, ()| Ok(without_dot(&this.0)));
        methods.add_method("equal", |_, this, other: NameArgument| Ok(is_same(this, &other)));
        methods.add_method("isPartOf", |_, this, other: NameArgument| {
            Ok(this.0.as_name().is_subdomain_of(other.0.as_name()))
        });
        methods.add_method("countLabels", |_, this, ()| Ok(this.0.as_name().label_count()));
        methods.add_method("wirelength", |_, this, ()| Ok(this.0.as_wire().len()));
        for name in ["chopOff", "chopoff"] {
            methods.add_method_mut(name, |_, this, ()| {
                let parent = this.0.as_name().parent().map(NameBuf::from);
                let chopped = parent.is_some();
                if let Some(parent) = parent {
                    this.0 = parent;
                }
                Ok(chopped)
            });
        }
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| Ok(this.0.to_string()));
        methods.add_meta_method(MetaMethod::Eq, |_, this, other: NameArgument| {
            Ok(is_same(this, &other))
        });
    }
}

fn is_same(one: &DnsName, other: &NameArgument) -> bool {
    one.0.as_name().eq_ignore_case(other.0.as_name())
}

/// A set of domains.
#[derive(Default)]
pub(super) struct Suffixes {
    /// Their names in wire form, lower-cased.
    names: HashSet<Vec<u8>>,
}

impl Suffixes {
    fn add(&mut self, name: &NameBuf) {
        self.names.insert(name.folded().as_wire().to_vec());
    }

    fn has(&self, name: &NameBuf) -> bool {
        let folded = name.folded();
        let parents =
            std::iter::successors(Some(folded.as_name()), |name: &Name<'_>| name.parent());
        parents.into_iter().any(|name| self.names.contains(name.as_wire()))
    }
}

impl UserData for Suffixes {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut("add", |lua, this, what: Value| {
            if let Value::Table(list) = &what {
                for name in Table::sequence_values::<NameArgument>(list) {
                    this.add(&name?.0);
                }
            } else {
                this.add(&NameArgument::from_lua(what, lua)?.0);
            }
            Ok(())
        });
        methods.add_method("check", |_, this, name: NameArgument| Ok(this.has(&name.0)));
        methods.add_method("toString", |_, this, ()| {
            let names = this.names.iter().filter_map(|wire| NameBuf::from_wire(wire).ok());
            let mut texts: Vec<String> = names.map(|name| without_dot(&name)).collect();
            texts.sort();
            Ok(texts.join(", "))
        });
    }
}
