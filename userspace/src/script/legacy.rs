//! Hooks in the form of Recursor 3: with the client's address, name and type as text and number,
//! and records as tables. They return an RCODE and records, -1 for "as you would", or the name of a
//! follow-up with its arguments.
//!
//! A client's address cannot tell us that it is looked at, so the text of the function is asked:
//! where the first parameter is named once only, it is not used.

use mlua::function::FunctionInfo;
use mlua::{Error, FromLua, Function, Lua, MultiValue, Result, Value};

use super::constants::PASS;
use super::hooks::{followup, rcode};
use super::name::NameArgument;
use super::question::{prefix, question_of};
use super::record::{from_list, to_table};
use crate::answer::records::{self, PlainRecord};
use crate::engine::script::{Decision, Hook, Made, ScriptCall};

/// Calls a hook.
pub(super) fn call(lua: &Lua, function: &Function, call: &ScriptCall<'_>) -> Result<Decision> {
    let (name, rtype) = question_of(call);
    let client = call.client.peer.ip().to_string();
    let (text, rtype) = (name.to_string(), rtype.0);
    let returned: MultiValue = match call.hook {
        Hook::Preresolve => function.call((client, text, rtype))?,
        Hook::Nodata | Hook::Nxdomain | Hook::Postresolve => {
            let list = lua.create_table()?;
            for record in records::read(call.reply) {
                list.push(to_table(lua, &record)?)?;
            }
            function.call((client, text, rtype, list, call.rcode.0))?
        }
    };
    let mut returned = returned.into_iter();
    let mut next = || returned.next().unwrap_or(Value::Nil);
    let first = next();
    let number = match &first {
        Value::Nil | Value::Boolean(false) => return Ok(Decision::Pass),
        Value::Integer(PASS) => return Ok(Decision::Pass),
        Value::Integer(number) => *number,
        Value::String(function) => {
            let function = function.to_str()?.to_owned();
            if function == "followCNAMERecords" {
                let code = rcode_argument(next())?;
                let records = list_of(next(), &name)?;
                let Some(rcode) = rcode(code)? else { return Ok(Decision::Drop) };
                let made = Made { rcode, records };
                return Ok(Decision::Follow(Box::new(followup(&function, name, None)?), made));
            }
            let asked = NameArgument::from_lua(next(), lua)?.0;
            let prefix = prefix(&next().to_string()?)?;
            let made = Made { rcode: call.rcode, records: None };
            return Ok(Decision::Follow(Box::new(followup(&function, asked, Some(prefix))?), made));
        }
        other => {
            let what = other.type_name();
            return Err(Error::runtime(format!("a hook returns an RCODE first, not a {what}")));
        }
    };
    let Some(rcode) = rcode(number)? else { return Ok(Decision::Drop) };
    let records = list_of(next(), &name)?;
    Ok(Decision::Answer(Made { rcode, records: Some(records.unwrap_or_default()) }))
}

/// The RCODE among the arguments of a follow-up.
fn rcode_argument(value: Value) -> Result<i64> {
    value.as_integer().ok_or_else(|| Error::runtime("followCNAMERecords wants an RCODE"))
}

/// The records among what a hook returns.
fn list_of(value: Value, owner: &crate::wire::name::NameBuf) -> Result<Option<Vec<PlainRecord>>> {
    match value {
        Value::Nil => Ok(None),
        Value::Table(list) => Ok(Some(from_list(&list, owner)?)),
        other => Err(Error::runtime(format!("records are a table, not a {}", other.type_name()))),
    }
}

/// Whether a function uses its first parameter, as far as its text tells: in doubt it does.
pub(super) fn uses_first_parameter(text: &str, info: &FunctionInfo) -> bool {
    let (Some(first), Some(last)) = (info.line_defined, info.last_line_defined) else {
        return true;
    };
    let lines: Vec<&str> =
        text.lines().skip(first.saturating_sub(1)).take(last + 1 - first.min(last)).collect();
    // Of two functions in one line it cannot be told which is meant.
    if lines.first().is_none_or(|line| line.matches("function").count() != 1) {
        return true;
    }
    let body = lines.join("\n");
    let parameters = body.split_once("function").and_then(|(_, rest)| rest.split_once('('));
    let Some((_, parameters)) = parameters else { return true };
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = parameters.trim_start().find(|c| !is_letter(c)).unwrap_or(0);
    let parameter = &parameters.trim_start()[..end];
    let words = body.split(|c: char| !is_letter(c)).filter(|word| *word == parameter);
    parameter.is_empty() || words.count() != 1
}
