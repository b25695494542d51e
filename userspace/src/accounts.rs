//! Users and groups by name, as `/etc/passwd` and `/etc/group` have them (passwd(5), group(5)).
//!
//! Only these files are asked: what a name service on the network knows goes by its number.
#![forbid(unsafe_code)]

use std::fs;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The number of the user.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
    /// The numbers of the other groups that have the user as a member.
    pub groups: Vec<u32>,
}

/// A user by name or number; `None` if `/etc/passwd` has none. A number that is not in there has
/// the group of the same number.
#[must_use]
pub fn user(name: &str) -> Option<User> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    user_in(&read(PASSWD), &read(GROUP), name)
}

/// The number of a group: of `/etc/group`, or the number itself.
#[must_use]
pub fn group(name: &str) -> Option<u32> {
    group_in(&fs::read_to_string(GROUP).unwrap_or_default(), name)
}

/// A user of these two files.
fn user_in(passwd: &str, group: &str, name: &str) -> Option<User> {
    let number = name.parse::<u32>().ok();
    let entry = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [login, _, uid, gid, ..] = fields.as_slice() else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        (*login == name || number == Some(uid)).then_some((*login, uid, gid))
    });
    let Some((login, uid, gid)) = entry else {
        return number.map(|number| User { uid: number, gid: number, groups: Vec::new() });
    };
    let groups = group.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let number = fields.next()?.parse().ok()?;
        fields.next()?.split(',').any(|member| member == login).then_some(number)
    });
    Some(User { uid, gid, groups: groups.collect() })
}

/// The number of a group in this file.
fn group_in(group: &str, name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    group.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        is_it.then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\ndns64d:x:992:991::/:/usr/sbin/nologin\n";
    const GROUPS: &str = "root:x:0:\nadm:x:4:syslog,dns64d\ndns64d:x:991:\ndns:x:77:dns64\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number_with_its_groups() {
        let dns64d = Some(User { uid: 992, gid: 991, groups: vec![4] });
        assert_eq!(user_in(USERS, GROUPS, "dns64d"), dns64d);
        assert_eq!(user_in(USERS, GROUPS, "992"), dns64d);
        assert_eq!(user_in(USERS, GROUPS, "nobody"), None);
        assert_eq!(
            user_in(USERS, GROUPS, "65534"),
            Some(User { uid: 65_534, gid: 65_534, groups: Vec::new() })
        );
    }

    #[test]
    fn a_group_is_found_by_name_and_by_number() {
        assert_eq!(group_in(GROUPS, "adm"), Some(4));
        assert_eq!(group_in(GROUPS, "7"), Some(7));
        assert_eq!(group_in(GROUPS, "ad"), None);
    }
}
