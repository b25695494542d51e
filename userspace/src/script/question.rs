//! The object `dq`: the question, the answer as it stands, and what the script wants done.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::Ipv6Net;
use mlua::{Error, FromLua, Lua, Result, Table, UserData, UserDataFields, UserDataMethods, Value};

use super::address::{Address, AddressArgument};
use super::constants::STATES;
use super::name::{DnsName, NameArgument};
use super::record::{RECORDS_MAX, RecordObject, TTL_DEFAULT_SECS, content, from_list, section};
use crate::answer::records::{self, PlainRecord, Section};
use crate::engine::script::{ScriptCall, Validation};
use crate::pref64::{Pref64, UOctet};
use crate::wire::name::NameBuf;
use crate::wire::question::Rtype;

/// A question as a script sees it.
pub(super) struct DnsQuestion {
    name: NameBuf,
    rtype: Rtype,
    remote: SocketAddr,
    local: SocketAddr,
    header: Header,
    is_tcp: bool,
    validation: Validation,
    /// The message that the records are read from when they are asked for.
    reply: Vec<u8>,
    /// The RCODE.
    pub(super) rcode: i64,
    /// The records, if the script has changed them.
    pub(super) records: Option<Vec<PlainRecord>>,
    /// What is to be done next.
    pub(super) followup_function: String,
    /// The name it is done for.
    pub(super) followup_name: Option<NameBuf>,
    /// The prefix it is done with.
    pub(super) followup_prefix: Option<Pref64>,
    followup_prefix_text: String,
    /// Whether the script says that the answer varies.
    variable: bool,
    /// Whether the script has looked at what another client would have another of.
    looked: AtomicBool,
    /// What the script wants to find again in the next hook of this query.
    pub(super) data: Value,
}

/// Bits of the query's header.
#[derive(Clone, Copy)]
struct Header {
    id: u16,
    recursion_desired: bool,
    authentic: bool,
    checking_disabled: bool,
}

impl DnsQuestion {
    /// The question of a call.
    pub(super) fn new(call: &ScriptCall<'_>, local: SocketAddr, data: Value) -> Self {
        let (name, rtype) = question_of(call);
        let request = call.request;
        Self {
            name,
            rtype,
            remote: call.client.peer,
            local,
            header: Header {
                id: request.id,
                recursion_desired: request.recursion_desired,
                authentic: request.wants_authentic,
                checking_disabled: request.checking_disabled,
            },
            is_tcp: !call.client.channel.is_udp(),
            validation: call.validation,
            reply: call.reply.to_vec(),
            rcode: i64::from(call.rcode.0),
            records: None,
            followup_function: String::new(),
            followup_name: None,
            followup_prefix: None,
            followup_prefix_text: String::new(),
            variable: false,
            looked: AtomicBool::new(false),
            data,
        }
    }

    /// The name that is asked for.
    pub(super) const fn name(&self) -> &NameBuf {
        &self.name
    }

    /// Whether what the script says holds for this query only.
    pub(super) fn varies(&self) -> bool {
        self.variable || self.looked.load(Ordering::Relaxed)
    }

    /// The script looks at what is not the same for all clients.
    fn look(&self) {
        self.looked.store(true, Ordering::Relaxed);
    }

    /// The records as they stand.
    fn records(&mut self) -> &mut Vec<PlainRecord> {
        let reply = &self.reply;
        self.records.get_or_insert_with(|| read(reply))
    }

    fn add(&mut self, record: PlainRecord) -> Result<()> {
        let records = self.records();
        if records.len() >= RECORDS_MAX {
            return Err(Error::runtime(format!("an answer has {RECORDS_MAX} records at most")));
        }
        records.push(record);
        Ok(())
    }
}

/// The records of a reply; none if there is no reply yet.
fn read(reply: &[u8]) -> Vec<PlainRecord> {
    if reply.is_empty() { Vec::new() } else { records::read(reply) }
}

/// Name and type of a call's question.
pub(super) fn question_of(call: &ScriptCall<'_>) -> (NameBuf, Rtype) {
    let question = call.request.question;
    let (name, fixed) = question.split_at(question.len().saturating_sub(4));
    let name = NameBuf::from_wire(name).unwrap_or(NameBuf::ROOT);
    let rtype = fixed.first_chunk::<2>().map_or(0, |octets| u16::from_be_bytes(*octets));
    (name, Rtype(rtype))
}

/// A prefix as scripts write it: an address of 96 bits and an empty rest, or with a length. Bits 64
/// to 71 may be what they like: PowerDNS's own example sets them.
pub(super) fn prefix(text: &str) -> Result<Pref64> {
    let network = match text.contains('/') {
        true => text.parse::<Ipv6Net>().ok(),
        false => text.parse::<Ipv6Addr>().ok().and_then(|address| {
            let network = Ipv6Net::new(address, 96).ok()?;
            Some(network.trunc())
        }),
    };
    let refusal = |why: &dyn std::fmt::Display| {
        Error::runtime(format!("\"{text}\" is not a prefix for IPv4 addresses: {why}"))
    };
    let network = network.ok_or_else(|| refusal(&"no IPv6 address"))?;
    Pref64::new(network, Ipv6Addr::UNSPECIFIED, UOctet::Any).map_err(|error| refusal(&error))
}

impl UserData for DnsQuestion {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("qname", |_, this| Ok(DnsName(this.name.clone())));
        fields.add_field_method_get("qtype", |_, this| Ok(this.rtype.0));
        fields.add_field_method_get("remoteaddr", |_, this| {
            this.look();
            Ok(Address(this.remote))
        });
        fields.add_field_method_get("localaddr", |_, this| {
            this.look();
            Ok(Address(this.local))
        });
        for name in ["isTcp", "isTCP"] {
            fields.add_field_method_get(name, |_, this| {
                this.look();
                Ok(this.is_tcp)
            });
        }
        fields.add_field_method_get("rcode", |_, this| Ok(this.rcode));
        fields.add_field_method_set("rcode", |_, this, rcode: i64| {
            this.rcode = rcode;
            Ok(())
        });
        fields.add_field_method_get("variable", |_, this| Ok(this.variable));
        fields.add_field_method_set("variable", |_, this, variable: bool| {
            this.variable = variable;
            Ok(())
        });
        fields.add_field_method_get("validationState", |_, this| {
            let state = match this.validation {
                Validation::Indeterminate => STATES[0],
                Validation::Secure => STATES[2],
                Validation::Bogus => STATES[3],
            };
            Ok(state.1)
        });
        fields.add_field_method_get("data", |_, this| Ok(this.data.clone()));
        fields.add_field_method_set("data", |_, this, data: Value| {
            this.data = data;
            Ok(())
        });
        add_followup_fields(fields);
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut(
            "addAnswer",
            |_, this, (rtype, text, ttl_secs, name): (u16, Text, Option<u32>, _)| {
                let made = make(this, rtype, &text.0, Section::Answer, ttl_secs, name)?;
                this.add(made)
            },
        );
        methods.add_method_mut(
            "addRecord",
            |_, this, (rtype, text, place, ttl_secs, name): (u16, Text, i64, Option<u32>, _)| {
                let made = make(this, rtype, &text.0, section(place)?, ttl_secs, name)?;
                this.add(made)
            },
        );
        methods.add_method("getRecords", |lua, this, ()| {
            let records = match &this.records {
                Some(records) => records.clone(),
                None => read(&this.reply),
            };
            lua.create_sequence_from(records.into_iter().map(RecordObject))
        });
        methods.add_method_mut("setRecords", |_, this, list: Table| {
            this.records = Some(from_list(&list, &this.name)?);
            Ok(())
        });
        methods.add_method("getDH", |_, this, ()| {
            this.look();
            Ok(this.header)
        });
    }
}

/// Text, or what stands for text.
struct Text(String);

impl FromLua for Text {
    fn from_lua(value: Value, _: &Lua) -> Result<Self> {
        match &value {
            Value::UserData(object) if object.is::<DnsName>() => Ok(Self(value.to_string()?)),
            Value::UserData(object) if object.is::<Address>() => Ok(Self(value.to_string()?)),
            Value::String(_) | Value::Integer(_) | Value::Number(_) => Ok(Self(value.to_string()?)),
            other => {
                let what = other.type_name();
                Err(Error::runtime(format!("the content of a record is not a {what}")))
            }
        }
    }
}

/// A record of a question.
fn make(
    question: &DnsQuestion,
    rtype: u16,
    text: &str,
    section: Section,
    ttl_secs: Option<u32>,
    name: Option<NameArgument>,
) -> Result<PlainRecord> {
    let rtype = Rtype(rtype);
    Ok(PlainRecord {
        section,
        name: name.map_or_else(|| question.name.clone(), |name| name.0),
        rtype,
        ttl_secs: ttl_secs.unwrap_or(TTL_DEFAULT_SECS),
        rdata: content(rtype, text)?,
    })
}

/// What is to be done after the hook.
fn add_followup_fields<F: UserDataFields<DnsQuestion>>(fields: &mut F) {
    fields.add_field_method_get("followupFunction", |_, this| Ok(this.followup_function.clone()));
    fields.add_field_method_set("followupFunction", |_, this, function: String| {
        this.followup_function = function;
        Ok(())
    });
    for name in ["followupName", "followupDomain"] {
        fields.add_field_method_get(name, |_, this| {
            let name = this.followup_name.as_ref().unwrap_or(&this.name);
            Ok(DnsName(name.clone()))
        });
        fields.add_field_method_set(name, |_, this, name: NameArgument| {
            this.followup_name = Some(name.0);
            Ok(())
        });
    }
    fields.add_field_method_get("followupPrefix", |_, this| Ok(this.followup_prefix_text.clone()));
    fields.add_field_method_set("followupPrefix", |lua, this, value: Value| {
        let text = match &value {
            Value::UserData(_) => AddressArgument::from_lua(value, lua)?.0.0.ip().to_string(),
            other => other.to_string()?,
        };
        this.followup_prefix = Some(prefix(&text)?);
        this.followup_prefix_text = text;
        Ok(())
    });
}

impl UserData for Header {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("getID", |_, this, ()| Ok(this.id));
        methods.add_method("getRD", |_, this, ()| Ok(this.recursion_desired));
        methods.add_method("getAD", |_, this, ()| Ok(this.authentic));
        methods.add_method("getCD", |_, this, ()| Ok(this.checking_disabled));
        for name in ["getAA", "getTC"] {
            methods.add_method(name, |_, _, ()| Ok(false));
        }
        for name in ["getRCODE", "getOPCODE"] {
            methods.add_method(name, |_, _, ()| Ok(0));
        }
    }
}
