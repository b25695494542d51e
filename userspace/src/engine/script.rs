//! What the engine asks of a script, and what a script may say.
//!
//! The hooks are those of PowerDNS Recursor. The engine knows nothing of the language: whoever runs
//! scripts implements [`Script`], and the engine calls it for queries that no verdict is kept of
//! (see [`super::scripted`]).

use std::any::Any;
use std::sync::Arc;

use crate::answer::encode::Request;
use crate::answer::records::PlainRecord;
use crate::datagram::Client;
use crate::pref64::Pref64;
use crate::wire::header::Rcode;
use crate::wire::name::NameBuf;

/// When a script is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Before anything is looked up.
    Preresolve = 0,
    /// The name exists and has no records of the type.
    Nodata = 1,
    /// The name does not exist.
    Nxdomain = 2,
    /// The reply is made, synthesis included, and about to leave.
    Postresolve = 3,
}

impl Hook {
    /// Every hook, in the order in which they may be called.
    pub const ALL: [Self; 4] = [Self::Preresolve, Self::Nodata, Self::Nxdomain, Self::Postresolve];

    /// The name of the function.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preresolve => "preresolve",
            Self::Nodata => "nodata",
            Self::Nxdomain => "nxdomain",
            Self::Postresolve => "postresolve",
        }
    }
}

/// What is known of the data's authenticity (RFC 4033 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Nobody has looked, or nobody has said.
    Indeterminate,
    /// It does not validate.
    Bogus,
    /// It has been validated.
    Secure,
}

/// What a script is told when it is called.
#[derive(Clone, Copy, Debug)]
pub struct ScriptCall<'a> {
    /// Which hook.
    pub hook: Hook,
    /// The query.
    pub request: &'a Request<'a>,
    /// Who asked.
    pub client: &'a Client,
    /// The RCODE as it stands.
    pub rcode: Rcode,
    /// The reply as it stands, a whole message; empty before anything is looked up.
    pub reply: &'a [u8],
    /// What is known of its authenticity.
    pub validation: Validation,
}

/// What a script keeps from one hook of a query to the next. Only the script that made it can read
/// it.
pub type Memory = Option<Arc<dyn Any + Send + Sync>>;

/// What a script has said.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// What is to be done.
    pub decision: Decision,
    /// Whether another client, or the same at another time, may be told something else: what was
    /// said is not kept.
    pub varies: bool,
    /// Whether the script has failed; the decision is [`Decision::Pass`] then.
    pub failed: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Whatever would be done without the script.
    Pass,
    /// Go on with this reply.
    Answer(Made),
    /// Look something up, and put what is found behind the records.
    Follow(Box<Followup>, Made),
    /// Give no reply.
    Drop,
}

/// A reply as a script has left it.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The RCODE.
    pub rcode: Rcode,
    /// The records; `None`: those that were there.
    pub records: Option<Vec<PlainRecord>>,
}

/// What is looked up on behalf of a script.
#[derive(Clone, Debug, PartialEq)]
pub enum Followup {
    /// A of this name, made into AAAA under the prefix.
    Aaaa(NameBuf, Pref64),
    /// PTR of the IPv4 address that is under the prefix in this name of ip6.arpa.
    Ptr(NameBuf, Pref64),
    /// The type that was asked for, of the name at the end of the CNAME records.
    Cname,
}

/// A script.
pub trait Script: Send {
    /// Whether it has this hook.
    fn has(&self, hook: Hook) -> bool;

    /// Calls the hook. What it does not have passes.
    fn call(&mut self, call: &ScriptCall<'_>, memory: &mut Memory) -> Ruling;
}
