//! Records, as objects and as the tables of Recursor 3.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mlua::{Error, FromLua, Lua, Result, Table, UserData, UserDataFields, UserDataMethods, Value};

use super::address::Address;
use super::name::{DnsName, NameArgument};
use crate::answer::records::{PlainRecord, Section, rdata_of};
use crate::wire::name::NameBuf;
use crate::wire::question::Rtype;

/// Seconds of TTL where a script gives none.
pub(super) const TTL_DEFAULT_SECS: u32 = 3_600;

/// Records that one answer may have.
pub(super) const RECORDS_MAX: usize = 1_024;

/// A record.
#[derive(Clone)]
pub(super) struct RecordObject(pub(super) PlainRecord);

/// RDATA of a record from its text.
pub(super) fn content(rtype: Rtype, text: &str) -> Result<Vec<u8>> {
    rdata_of(rtype, text)
        .ok_or_else(|| Error::runtime(format!("\"{text}\" is not the content of a {rtype} record")))
}

/// The section with this number.
pub(super) fn section(number: i64) -> Result<Section> {
    match number {
        1 => Ok(Section::Answer),
        2 => Ok(Section::Authority),
        3 => Ok(Section::Additional),
        _ => Err(Error::runtime(format!("{number} is no section: 1 is the answer, 2 authority"))),
    }
}

impl UserData for RecordObject {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("name", |_, this| Ok(DnsName(this.0.name.clone())));
        fields.add_field_method_set("name", |_, this, name: NameArgument| {
            this.0.name = name.0;
            Ok(())
        });
        fields.add_field_method_get("type", |_, this| Ok(this.0.rtype.0));
        fields.add_field_method_get("ttl", |_, this| Ok(this.0.ttl_secs));
        fields.add_field_method_set("ttl", |_, this, ttl_secs: u32| {
            this.0.ttl_secs = ttl_secs;
            Ok(())
        });
        fields.add_field_method_get("place", |_, this| Ok(this.0.section as u8));
        fields.add_field_method_set("place", |_, this, place: i64| {
            this.0.section = section(place)?;
            Ok(())
        });
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("getContent", |_, this, ()| Ok(this.0.text()));
        methods.add_method_mut("changeContent", |_, this, text: String| {
            this.0.rdata = content(this.0.rtype, &text)?;
            Ok(())
        });
        methods.add_method("getCA", |_, this, ()| {
            let rdata = this.0.rdata.as_slice();
            let v4 = || <[u8; 4]>::try_from(rdata).ok().map(|a| IpAddr::V4(Ipv4Addr::from(a)));
            let v6 = || <[u8; 16]>::try_from(rdata).ok().map(|a| IpAddr::V6(Ipv6Addr::from(a)));
            let ip = match this.0.rtype {
                Rtype::A => v4(),
                Rtype::AAAA => v6(),
                _ => None,
            };
            Ok(ip.map(|ip| Address(SocketAddr::new(ip, 0))))
        });
    }
}

/// A record that a script gives: an object, or a table with `qtype`, `content` and, where they are
/// not the default, `qname`, `ttl` and `place`.
pub(super) struct RecordArgument {
    record: Given,
}

/// What of a record is given.
enum Given {
    Whole(PlainRecord),
    /// Without the name, which is that of the question then.
    Part(Option<NameBuf>, Rtype, u32, Section, Vec<u8>),
}

impl RecordArgument {
    /// The record, with this owner if it has none.
    pub(super) fn into_record(self, owner: &NameBuf) -> PlainRecord {
        match self.record {
            Given::Whole(record) => record,
            Given::Part(name, rtype, ttl_secs, section, rdata) => {
                let name = name.unwrap_or_else(|| owner.clone());
                PlainRecord { section, name, rtype, ttl_secs, rdata }
            }
        }
    }
}

impl FromLua for RecordArgument {
    fn from_lua(value: Value, lua: &Lua) -> Result<Self> {
        let record = match value {
            Value::UserData(object) => Given::Whole(object.borrow::<RecordObject>()?.0.clone()),
            Value::Table(table) => {
                let rtype = match table.get::<Option<u16>>("qtype")? {
                    Some(number) => number,
                    None => table.get("type")?,
                };
                let rtype = Rtype(rtype);
                let name = match table.get::<Value>("qname")? {
                    Value::Nil => table.get::<Value>("name")?,
                    name => name,
                };
                let name = match name {
                    Value::Nil => None,
                    name => Some(NameArgument::from_lua(name, lua)?.0),
                };
                let ttl_secs = table.get::<Option<u32>>("ttl")?.unwrap_or(TTL_DEFAULT_SECS);
                let section = section(table.get::<Option<i64>>("place")?.unwrap_or(1))?;
                let text: String = table.get("content")?;
                Given::Part(name, rtype, ttl_secs, section, content(rtype, &text)?)
            }
            other => {
                let what = other.type_name();
                return Err(Error::runtime(format!("a record is not a {what}")));
            }
        };
        Ok(Self { record })
    }
}

/// The records of a list.
pub(super) fn from_list(list: &Table, owner: &NameBuf) -> Result<Vec<PlainRecord>> {
    let mut records = Vec::new();
    for record in list.sequence_values::<RecordArgument>() {
        if records.len() >= RECORDS_MAX {
            return Err(Error::runtime(format!("an answer has {RECORDS_MAX} records at most")));
        }
        records.push(record?.into_record(owner));
    }
    Ok(records)
}

/// A record as Recursor 3 shows it.
pub(super) fn to_table(lua: &Lua, record: &PlainRecord) -> Result<Table> {
    let table = lua.create_table()?;
    table.set("qname", record.name.to_string())?;
    table.set("qtype", record.rtype.0)?;
    table.set("ttl", record.ttl_secs)?;
    table.set("place", (record.section as u8).to_string())?;
    table.set("content", record.text())?;
    Ok(table)
}
