//! The sandbox: a Lua state that reaches nothing but what is given to it, within a budget.
//!
//! There is no `io`, `os`, `package`, `debug` or `coroutine`, and nothing that loads code. What a
//! call may execute is counted by a hook of the Lua machine, which ends it with an error; `pcall`
//! cannot hold that error up. Finalizers run uncounted, so there are none. The memory is that of
//! the state as a whole.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use mlua::state::{GcGenParams, GcMode};
use mlua::{Error, HookTriggers, Lua, LuaOptions, Result, StdLib, Value, VmState};
use tracing::{Level, debug, enabled, error, info, warn};

use super::address::{Address, AddressArgument};
use super::constants;
use super::log_rate::LogRate;
use super::name::{DnsName, NameArgument, Suffixes};
use super::netmask::{Netmask, NetmaskGroup, match_netmask};
use super::source::ScriptSource;

/// Lines that one state may log in [`LOG_SPAN`](super::log_rate::LOG_SPAN).
const LOGGED_MAX: u32 = 100;

/// The level of syslog at which a script speaks if it names none.
const INFO: i64 = 6;

/// Instructions between two looks at the budget: a call has its budget and up to so many more.
const INSTRUCTIONS_STEP: u32 = 1_000;

/// Instructions that the text of a script itself may execute, once: lists are filled there.
const INSTRUCTIONS_OF_TEXT: u32 = 200_000_000;

/// What of Lua's own functions would load code, or is no business of a script's.
const REMOVED: [&str; 6] = ["dofile", "loadfile", "load", "loadstring", "collectgarbage", "warn"];

/// What is put around functions that would undo the budget.
const GUARDS: &str = r#"
local check = ...
local pcall, xpcall, setmetatable = pcall, xpcall, setmetatable
local type, rawget, error = type, rawget, error
local function checked(...) check() return ... end
function _G.pcall(...) return checked(pcall(...)) end
function _G.xpcall(...) return checked(xpcall(...)) end
function _G.setmetatable(object, meta)
  if type(meta) == "table" and rawget(meta, "__gc") ~= nil then
    error("finalizers are not to be had", 2)
  end
  return setmetatable(object, meta)
end
string.dump = nil
"#;

/// What is left of a call's budget, and whether the script has asked for what varies.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// Instructions left; 0 once they are spent.
    left: AtomicU32,
    /// Whether a function of Recursor 3 has said that the answer varies.
    pub(super) varies: AtomicBool,
}

impl Budget {
    /// A call begins.
    pub(super) fn begin(&self, instructions: u32) {
        self.left.store(instructions.saturating_add(INSTRUCTIONS_STEP), Ordering::Relaxed);
        self.varies.store(false, Ordering::Relaxed);
    }

    /// So many instructions more have been executed.
    fn spend(&self, instructions: u32) -> Result<()> {
        let left = self.left.load(Ordering::Relaxed).saturating_sub(instructions);
        self.left.store(left, Ordering::Relaxed);
        if left == 0 {
            return Err(Error::runtime("the call has executed more instructions than it may"));
        }
        Ok(())
    }
}

/// Makes a state and runs the text of a script in it.
pub(super) fn open(source: &ScriptSource) -> Result<(Lua, Arc<Budget>)> {
    let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::UTF8;
    let lua = Lua::new_with(libraries, LuaOptions::default())?;
    // A call leaves objects of ours behind. The incremental collector takes ten of them a step, too
    // few: after some hundred thousand calls the state has grown to its limit, and then every
    // allocation is a whole collection. The generational one takes all of them each time.
    let _before = lua.gc_set_mode(GcMode::Generational(GcGenParams::default()));
    let budget = Arc::new(Budget::default());
    for name in REMOVED {
        lua.globals().set(name, Value::Nil)?;
    }
    let spent = Arc::clone(&budget);
    let check = lua.create_function(move |_, ()| spent.spend(0))?;
    lua.load(GUARDS).set_name("=guards").call::<()>(check)?;
    give_functions(&lua)?;
    lua.globals().set("pdns", constants::table(&lua)?)?;
    let memory = usize::try_from(source.memory_bytes).unwrap_or(usize::MAX);
    lua.set_memory_limit(memory)?;
    let counted = Arc::clone(&budget);
    let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTIONS_STEP);
    lua.set_hook(triggers, move |_, _| {
        counted.spend(INSTRUCTIONS_STEP)?;
        Ok(VmState::Continue)
    })?;
    budget.begin(INSTRUCTIONS_OF_TEXT);
    lua.load(&source.text)
        .set_name(format!("@{}", source.name))
        .set_mode(mlua::chunk::ChunkMode::Text)
        .exec()?;
    Ok((lua, budget))
}

/// Gives a state the functions of Recursor.
fn give_functions(lua: &Lua) -> Result<()> {
    let globals = lua.globals();
    let new_name = |_: &Lua, name: NameArgument| Ok(DnsName(name.0));
    globals.set("newDN", lua.create_function(new_name)?)?;
    let new_address = |_: &Lua, address: AddressArgument| Ok::<Address, Error>(address.0);
    globals.set("newCA", lua.create_function(new_address)?)?;
    let new_netmask = |_: &Lua, text: String| Netmask::parse(&text);
    globals.set("newNetmask", lua.create_function(new_netmask)?)?;
    globals.set("newNMG", lua.create_function(|_, ()| Ok(NetmaskGroup::default()))?)?;
    globals.set("newDS", lua.create_function(|_, ()| Ok(Suffixes::default()))?)?;
    let matches = |_: &Lua, (address, networks): (AddressArgument, Value)| match networks {
        Value::Table(list) => {
            let networks: Vec<String> = list.sequence_values().collect::<Result<_>>()?;
            match_netmask(&address, &networks)
        }
        other => match_netmask(&address, &[other.to_string()?]),
    };
    globals.set("matchnetmask", lua.create_function(matches)?)?;
    let rate = Arc::new(Mutex::new(LogRate::new(LOGGED_MAX)));
    let printed = Arc::clone(&rate);
    let log = move |_: &Lua, (message, level): (Value, Option<i64>)| {
        log(&rate, &message.to_string()?, level.unwrap_or(INFO));
        Ok(())
    };
    globals.set("pdnslog", lua.create_function(log)?)?;
    let print = move |_: &Lua, values: mlua::Variadic<Value>| {
        let texts = values.iter().map(Value::to_string).collect::<Result<Vec<String>>>()?;
        self::log(&printed, &texts.join("\t"), INFO);
        Ok(())
    };
    globals.set("print", lua.create_function(print)?)?;
    for name in ["getFakeAAAARecords", "getFakePTRRecords", "followCNAMERecords"] {
        globals.set(name, name)?;
    }
    Ok(())
}

/// Logs what a script says, by the levels of syslog; not more than [`LOGGED_MAX`] lines in a span.
fn log(rate: &Mutex<LogRate>, message: &str, level: i64) {
    let is_heard = match level {
        ..=3 => enabled!(target: "script", Level::ERROR),
        4 => enabled!(target: "script", Level::WARN),
        5 | 6 => enabled!(target: "script", Level::INFO),
        7 => enabled!(target: "script", Level::DEBUG),
        _ => false,
    };
    if !is_heard {
        return;
    }
    let allowed = rate.lock().unwrap_or_else(PoisonError::into_inner).allows(Instant::now());
    let Some(missed) = allowed else { return };
    if missed > 0 {
        warn!(target: "script", missed, "the script says too much: not all of it is logged");
    }
    match level {
        ..=3 => error!(target: "script", "{message}"),
        4 => warn!(target: "script", "{message}"),
        5 | 6 => info!(target: "script", "{message}"),
        _ => debug!(target: "script", "{message}"),
    }
}
