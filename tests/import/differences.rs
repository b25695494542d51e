//! What is known to differ between a server and what is imported from it, and why.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::exchange::Outcome;
use crate::questions::Asked;

/// The known differences of a peer: for each group of questions the reason why nothing in dns64d's
/// configuration makes its answers the same.
fn known(peer: &str) -> BTreeMap<String, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("import/differences.toml");
    let table: BTreeMap<String, BTreeMap<String, String>> =
        toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    table.get(peer).cloned().unwrap_or_default()
}

/// Compares the answers; fails on differences that are not known, and on known ones that are none.
pub(crate) fn judge(peer: &str, asked: &[Asked], theirs: &[Outcome], ours: &[Outcome]) {
    let mut differing: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for ((asked, theirs), ours) in asked.iter().zip(theirs).zip(ours) {
        if theirs != ours {
            let entry = differing.entry(asked.group).or_default();
            entry.0 += 1;
            if entry.0 <= 2 {
                let line = format!("{asked:?}\n  {peer}: {theirs:?}\n  dns64d: {ours:?}\n");
                entry.1.push_str(&line);
            }
        }
    }
    let reasons = known(peer);
    let same = asked.len() - differing.values().map(|(count, _)| count).sum::<usize>();
    eprintln!("{peer}: {same} of {} answers are the same", asked.len());
    let mut faults = String::new();
    for (group, (count, examples)) in &differing {
        let all = asked.iter().filter(|asked| asked.group == *group).count();
        match reasons.get(*group) {
            Some(reason) => eprintln!("{peer}: {group}: {count} of {all}: {reason}"),
            None => faults.push_str(&format!("{group}: {count} of {all} differ\n{examples}")),
        }
    }
    for (group, reason) in reasons {
        if !differing.contains_key(group.as_str()) {
            faults.push_str(&format!("{group}: no difference any more ({reason})\n"));
        }
    }
    assert!(faults.is_empty(), "{peer}:\n{faults}");
}
