//! The users of realms, for people.

use control_api::operator::RealmReport;
use std::fmt::{self, Write};

/// All realms, ready to be shown.
#[derive(Clone, Debug)]
pub struct RealmTable<'a>(pub &'a [RealmReport]);

impl fmt::Display for RealmTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|realm| realm.realm.len()).fold(5, usize::max);
        let mut lines = format!("{:<width$}  {:>10}  credentials\n", "realm", "users");
        for RealmReport { realm, users, trouble } in self.0 {
            let count = users.map_or_else(|| "none".to_owned(), |users| users.to_string());
            let state = match (trouble, users) {
                (None, Some(_)) => "as they were read last".to_owned(),
                (None, None) => "being read".to_owned(),
                (Some(why), Some(_)) => format!("OLDER ones are in force: {why}"),
                (Some(why), None) => format!("nobody is let in: {why}"),
            };
            let _ = writeln!(lines, "{realm:<width$}  {count:>10}  {state}");
        }
        f.write_str(&lines)
    }
}

#[cfg(test)]
mod tests {
    use super::RealmTable;
    use control_api::operator::RealmReport;

    #[test]
    fn what_is_not_well_is_named() {
        let realm = |realm: &str, users, trouble: Option<&str>| RealmReport {
            realm: realm.into(),
            users,
            trouble: trouble.map(Into::into),
        };
        let realms = [
            realm("example.com", Some(1_000), None),
            realm("a.example", Some(7), Some("its database cannot be reached")),
            realm("b.example", None, Some("users.csv:3: no password")),
        ];
        let text = RealmTable(&realms).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "example.com        1000  as they were read last");
        assert!(lines[2].ends_with("7  OLDER ones are in force: its database cannot be reached"));
        assert!(lines[3].ends_with("none  nobody is let in: users.csv:3: no password"), "{text}");
    }
}
