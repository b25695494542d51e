//! A script in its Lua state, and the calls of its hooks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mlua::{Error, Function, Lua, Value};
use tracing::warn;

use super::constants::DROP;
use super::fault::ScriptError;
use super::legacy;
use super::log_rate::LogRate;
use super::question::DnsQuestion;
use super::source::ScriptSource;
use super::state::{self, Budget};
use crate::datagram::Client;
use crate::engine::script::{Decision, Followup, Hook, Made, Memory, Ruling, Script, ScriptCall};
use crate::pref64::Pref64;
use crate::wire::header::Rcode;
use crate::wire::name::NameBuf;

/// Errors that are logged of one script in [`LOG_SPAN`](super::log_rate::LOG_SPAN); others are
/// counted only.
const LOGGED_MAX: u32 = 10;

/// The greatest RCODE (RFC 6891 6.1.3).
const RCODE_MAX: i64 = 0xfff;

/// A script in the state of one worker.
pub struct LuaScript {
    lua: Lua,
    budget: Arc<Budget>,
    hooks: [Option<HookFunction>; 4],
    instructions: u32,
    file: String,
    listen: Vec<SocketAddr>,
    log: LogRate,
}

/// A hook, and how it is called.
pub(super) struct HookFunction {
    /// The function.
    pub(super) function: Function,
    form: Form,
}

/// The forms of hooks.
#[derive(Clone, Copy)]
enum Form {
    /// Of Recursor 4 and 5: with `dq`.
    Object,
    /// Of Recursor 3: with client, name, type and more. Whether the client's address is used.
    Legacy { uses_client: bool },
}

impl std::fmt::Debug for LuaScript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LuaScript").field("file", &self.file).finish_non_exhaustive()
    }
}

impl LuaScript {
    /// Makes a state and runs the script's text in it, which defines its functions.
    ///
    /// # Errors
    /// If it is not Lua, fails, uses more than it may, or has no hook.
    pub fn load(source: &ScriptSource) -> Result<Self, ScriptError> {
        let fault = |error: &Error| ScriptError::of(&source.name, error);
        let (lua, budget) = state::open(source).map_err(|error| fault(&error))?;
        let mut hooks = [const { None }; 4];
        for hook in Hook::ALL {
            let value: Value = lua.globals().get(hook.name()).map_err(|error| fault(&error))?;
            hooks[hook as usize] = match value {
                Value::Nil => None,
                Value::Function(function) => Some(HookFunction::new(function, source)),
                other => {
                    let (name, what) = (hook.name(), other.type_name());
                    let message = format!("{name} is a {what}, and should be a function");
                    return Err(ScriptError { file: source.name.clone(), line: None, message });
                }
            };
        }
        if hooks.iter().all(Option::is_none) {
            return Err(ScriptError {
                file: source.name.clone(),
                line: None,
                message: "no hook: preresolve, nodata, nxdomain and postresolve are called"
                    .to_owned(),
            });
        }
        Ok(Self {
            lua,
            budget,
            hooks,
            instructions: source.instructions,
            file: source.name.clone(),
            listen: source.listen.clone(),
            log: LogRate::new(LOGGED_MAX),
        })
    }

    /// The hooks that the script has.
    pub fn hooks(&self) -> impl Iterator<Item = Hook> + '_ {
        Hook::ALL.into_iter().filter(|hook| self.has(*hook))
    }

    /// Calls a hook of the form of Recursor 4 and 5.
    fn call_object(
        &self,
        function: &Function,
        call: &ScriptCall<'_>,
        memory: &mut Memory,
    ) -> mlua::Result<(Decision, bool)> {
        let local = local_address(&self.listen, call.client);
        let data = self.recall(memory);
        let object = self.lua.create_userdata(DnsQuestion::new(call, local, data))?;
        let result: mlua::Result<Value> = function.call(&object);
        let question: DnsQuestion = object.take()?;
        let handled = !matches!(result?, Value::Nil | Value::Boolean(false));
        if !matches!(question.data, Value::Nil) {
            *memory =
                Some(Arc::new(Remembered { lua: self.lua.weak(), data: question.data.clone() }));
        }
        let varies = question.varies();
        Ok((if handled { decision(question)? } else { Decision::Pass }, varies))
    }

    /// What an earlier hook of the query has left in `dq.data`, in this state.
    fn recall(&self, memory: &Memory) -> Value {
        let remembered = memory.as_ref().and_then(|memory| memory.downcast_ref::<Remembered>());
        match remembered {
            // Values of another state have no meaning here.
            Some(Remembered { lua, data }) if *lua == self.lua.weak() => data.clone(),
            _ => Value::Nil,
        }
    }

    fn log(&mut self, hook: Hook, error: &Error) {
        if let Some(missed) = self.log.allows(Instant::now()) {
            let error = ScriptError::of(&self.file, error);
            warn!(hook = hook.name(), missed, "the query is answered without the script: {error}");
        }
    }
}

/// What `dq.data` was.
struct Remembered {
    /// The state it belongs to.
    lua: mlua::WeakLua,
    data: Value,
}

impl HookFunction {
    fn new(function: Function, source: &ScriptSource) -> Self {
        let info = function.info();
        let form = if info.num_params >= 2 {
            Form::Legacy { uses_client: legacy::uses_first_parameter(&source.text, &info) }
        } else {
            Form::Object
        };
        Self { function, form }
    }
}

impl Script for LuaScript {
    fn has(&self, hook: Hook) -> bool {
        self.hooks[hook as usize].is_some()
    }

    fn call(&mut self, call: &ScriptCall<'_>, memory: &mut Memory) -> Ruling {
        let pass = Ruling { decision: Decision::Pass, varies: false, failed: false };
        let Some(hook) = &self.hooks[call.hook as usize] else { return pass };
        self.budget.begin(self.instructions);
        let result = match hook.form {
            Form::Object => self.call_object(&hook.function, call, memory),
            Form::Legacy { uses_client } => legacy::call(&self.lua, &hook.function, call)
                .map(|decision| (decision, uses_client)),
        };
        let varies = self.budget.varies.load(Ordering::Relaxed);
        match result {
            Ok((decision, looked)) => Ruling { decision, varies: varies || looked, failed: false },
            Err(error) => {
                self.log(call.hook, &error);
                Ruling { failed: true, ..pass }
            }
        }
    }
}

/// Where a query came in, with the port.
fn local_address(listen: &[SocketAddr], client: &Client) -> SocketAddr {
    let socket = listen.get(usize::from(client.channel.socket()));
    SocketAddr::new(client.local, socket.map_or(0, SocketAddr::port))
}

/// What a hook that has returned true wants done.
fn decision(question: DnsQuestion) -> mlua::Result<Decision> {
    let Some(rcode) = rcode(question.rcode)? else { return Ok(Decision::Drop) };
    let name = question.followup_name.clone().unwrap_or_else(|| question.name().clone());
    let function = question.followup_function;
    let made = Made { rcode, records: question.records };
    if function.is_empty() {
        return Ok(Decision::Answer(made));
    }
    Ok(Decision::Follow(Box::new(followup(&function, name, question.followup_prefix)?), made))
}

/// The RCODE that a script gives; `None` if it wants no reply.
pub(super) fn rcode(number: i64) -> mlua::Result<Option<Rcode>> {
    match number {
        DROP => Ok(None),
        // It fits: RCODE_MAX is below 2^16.
        0..=RCODE_MAX => Ok(Some(Rcode(number as u16))),
        _ => Err(Error::runtime(format!("{number} is no RCODE"))),
    }
}

/// The follow-up with this name.
pub(super) fn followup(
    function: &str,
    name: NameBuf,
    prefix: Option<Pref64>,
) -> mlua::Result<Followup> {
    let wanted = || prefix.ok_or_else(|| Error::runtime(format!("{function} wants a prefix")));
    match function {
        "getFakeAAAARecords" => Ok(Followup::Aaaa(name, wanted()?)),
        "getFakePTRRecords" => Ok(Followup::Ptr(name, wanted()?)),
        "followCNAMERecords" => Ok(Followup::Cname),
        _ => Err(Error::runtime(format!("there is no follow-up \"{function}\""))),
    }
}
