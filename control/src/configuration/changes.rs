//! Two configurations, setting by setting.
//!
//! The texts are compared as TOML, so that comments and order of keys do not count. Entries of lists that have a
//! name or an address are compared with the entry of the same; others, such as routes, by their order.

use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::BTreeSet;
use std::fmt;
use toml::{Table, Value};

use super::Restart;

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The setting, such as `appliance.retry_after` or `destination_sets[core].members[192.0.2.1:5060].weight`.
    pub setting: String,
    /// Its value before, as TOML; none when it was not there.
    #[serde(default)]
    pub before: Option<String>,
    /// Its value now, as TOML; none when it is not there any more.
    #[serde(default)]
    pub after: Option<String>,
    /// What must be started again before it has an effect; none when a reload is enough.
    #[serde(default)]
    pub restart: Option<Restart>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, before, after, restart } = self;
        match (before, after) {
            (Some(before), Some(after)) => write!(f, "~ {setting}: {before} -> {after}")?,
            (Some(before), None) => write!(f, "- {setting}: {before}")?,
            (None, Some(after)) => write!(f, "+ {setting}: {after}")?,
            (None, None) => write!(f, "~ {setting}")?,
        }
        match restart {
            Some(restart) => write!(f, "   ({restart})"),
            None => Ok(()),
        }
    }
}

/// What differs between two files, in the order of the new one. Passwords in the address of a database are masked.
pub fn changes(before: &Table, after: &Table) -> Vec<Change> {
    let mut found = Vec::new();
    for key in keys(before, after) {
        let empty = Value::Table(Table::new());
        let (old, new) = (before.get(key), after.get(key));
        match (old, new) {
            // A section that is not there has its defaults: its settings are shown one by one.
            (Some(Value::Table(_)), None) => compare(key, old, Some(&empty), &mut found),
            (None, Some(Value::Table(_))) => compare(key, Some(&empty), new, &mut found),
            _ => compare(key, old, new, &mut found),
        }
    }
    found
}

/// The keys of both, those of the new one first.
fn keys<'t>(before: &'t Table, after: &'t Table) -> impl Iterator<Item = &'t str> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    after.keys().chain(gone).map(String::as_str)
}

fn compare(setting: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    match (before, after) {
        (Some(old), Some(new)) if old == new => {}
        (Some(Value::Table(old)), Some(Value::Table(new))) => {
            for key in keys(old, new) {
                compare(&format!("{setting}.{key}"), old.get(key), new.get(key), found);
            }
        }
        (old, new) if is_list_of_tables(old) && is_list_of_tables(new) => {
            let list = |value: Option<&Value>| {
                value.and_then(Value::as_array).cloned().unwrap_or_default()
            };
            compare_lists(setting, &list(old), &list(new), found);
        }
        (old, new) => found.push(Change {
            setting: setting.to_owned(),
            before: old.map(shown),
            after: new.map(shown),
            restart: None,
        }),
    }
}

/// An absent list is an empty one.
fn is_list_of_tables(value: Option<&Value>) -> bool {
    value.is_none_or(|value| {
        value.as_array().is_some_and(|entries| entries.iter().all(Value::is_table))
    })
}

fn compare_lists(setting: &str, before: &[Value], after: &[Value], found: &mut Vec<Change>) {
    let (Some(old_names), Some(new_names)) = (names(before), names(after)) else {
        return compare_in_order(setting, before, after, found);
    };
    let entry = |list: &[Value], names: &[String], name: &String| {
        names.iter().position(|other| other == name).map(|at| list[at].clone())
    };
    let gone = old_names.iter().filter(|name| !new_names.contains(name));
    for name in new_names.iter().chain(gone) {
        let (old, new) = (entry(before, &old_names, name), entry(after, &new_names, name));
        compare(&format!("{setting}[{name}]"), old.as_ref(), new.as_ref(), found);
    }
    let common = |names: &[String], others: &[String]| -> Vec<String> {
        names.iter().filter(|name| others.contains(name)).cloned().collect()
    };
    let (old, new) = (common(&old_names, &new_names), common(&new_names, &old_names));
    if old != new {
        found.push(Change {
            setting: format!("{setting} (order)"),
            before: Some(old.join(", ")),
            after: Some(new.join(", ")),
            restart: None,
        });
    }
}

/// What tells the entries of a list from each other; none when nothing does.
fn names(list: &[Value]) -> Option<Vec<String>> {
    let name = |entry: &Value| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let address =
            || {
                let address = text("address")?;
                Some(text("transport").map_or_else(
                    || address.to_owned(),
                    |transport| format!("{transport} {address}"),
                ))
            };
        text("name").map(str::to_owned).or_else(address)
    };
    let names: Vec<String> = list.iter().map(name).collect::<Option<_>>()?;
    let unique: BTreeSet<_> = names.iter().collect();
    (unique.len() == names.len()).then_some(names)
}

/// Entries without names: those that stayed tell where the others were.
fn compare_in_order(setting: &str, before: &[Value], after: &[Value], found: &mut Vec<Change>) {
    let texts = |list: &[Value]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let operations = capture_diff_slices(Algorithm::Myers, &texts(before), &texts(after));
    for operation in operations {
        if matches!(operation, DiffOp::Equal { .. }) {
            continue;
        }
        let (old, new) = (operation.old_range(), operation.new_range());
        let (olds, news) = (&before[old.clone()], &after[new.clone()]);
        for offset in 0..olds.len().max(news.len()) {
            let index = if offset < news.len() { new.start } else { old.start } + offset;
            let setting = format!("{setting}[{index}]");
            compare(&setting, olds.get(offset), news.get(offset), found);
        }
    }
}

/// A value in one line.
fn shown(value: &Value) -> String {
    masked(&value.to_string())
}

/// The text with what stands between `:` and `@` of a URL replaced.
fn masked(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        all.push_str(before);
        all.push_str("://");
        let end = after.find(['/', '"', '\'']).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
            Some((Some((user, _)), host)) => {
                all.push_str(user);
                all.push_str(":***@");
                all.push_str(host);
            }
            _ => all.push_str(authority),
        }
        rest = tail;
    }
    all.push_str(rest);
    all
}

#[cfg(test)]
mod tests {
    use super::{changes, masked};

    const BEFORE: &str = r#"
[appliance]
domains = ["example.com"]
[[listen]]
address = "192.0.2.1:5060"
[[destination_sets]]
name = "core"
members = [{ address = "192.0.2.2:5060" }, { address = "192.0.2.3:5060", weight = 2 }]
[[routes]]
match = { methods = ["REGISTER"] }
relay = true
[[routes]]
forward = "core"
"#;

    fn lines(before: &str, after: &str) -> Vec<String> {
        let found = changes(&before.parse().unwrap(), &after.parse().unwrap());
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn comments_and_order_of_keys_do_not_count() {
        let after = BEFORE
            .replace("name = \"core\"\n", "")
            .replace("weight = 2 }]", "weight = 2 }]\n# x\nname = \"core\"");
        assert_eq!(lines(BEFORE, &after), [""; 0]);
    }

    #[test]
    fn each_setting_is_named() {
        let after = BEFORE
            .replace("domains = [\"example.com\"]", "retry_after = 7")
            .replace("weight = 2", "weight = 3")
            .replace("{ address = \"192.0.2.2:5060\" }, ", "")
            .replace("[[routes]]\nforward", "[[routes]]\nmatch = { methods = [\"PUBLISH\"] }\nrelay = true\n[[routes]]\nforward");
        assert_eq!(
            lines(BEFORE, &(after + "[log]\nlevel = \"warn\"\n")),
            [
                "+ appliance.retry_after: 7",
                "- appliance.domains: [\"example.com\"]",
                "~ destination_sets[core].members[192.0.2.3:5060].weight: 2 -> 3",
                "- destination_sets[core].members[192.0.2.2:5060]: { address = \"192.0.2.2:5060\" }",
                "+ log.level: \"warn\"",
                "+ routes[1]: { match = { methods = [\"PUBLISH\"] }, relay = true }",
            ]
        );
    }

    #[test]
    fn a_changed_order_of_named_entries_is_a_change() {
        let two = "[[ports]]\nname = \"a\"\n[[ports]]\nname = \"b\"\n";
        let turned = "[[ports]]\nname = \"b\"\n[[ports]]\nname = \"a\"\n";
        assert_eq!(lines(two, turned), ["~ ports (order): a, b -> b, a"]);
    }

    #[test]
    fn passwords_are_masked() {
        assert_eq!(masked("\"postgres://u:p@ss@db/x\""), "\"postgres://u:***@db/x\"");
        assert_eq!(masked("{ a = \"postgres://db/x\" }"), "{ a = \"postgres://db/x\" }");
    }
}
