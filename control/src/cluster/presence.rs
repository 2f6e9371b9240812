//! Which other nodes come and go, for the log.

use super::picture::Node;
use tracing::{info, warn};

/// What has become of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Joined,
    StartedAgain,
    Left,
}

/// Says who else has come or gone since `before`.
pub(super) fn tell(own: &str, before: &[Node], now: &[Node]) {
    for (node, fate) in changes(own, before, now) {
        let Node { name, aors, .. } = node;
        let member = node.member.map_or("no member".to_owned(), |at| format!("member {at}"));
        match fate {
            Fate::Joined => info!(aors, "cluster: node {name} ({member}) is there"),
            Fate::StartedAgain => info!(aors, "cluster: node {name} ({member}) has started again"),
            Fate::Left => {
                let seconds = node.age_ms / 1_000;
                warn!("cluster: node {name} ({member}) has not been heard of for {seconds} s");
            }
        }
    }
}

fn changes<'n>(
    own: &'n str,
    before: &'n [Node],
    now: &'n [Node],
) -> impl Iterator<Item = (&'n Node, Fate)> {
    let others = now.iter().filter(move |node| node.name != own);
    others.filter_map(|node| {
        let known = before.iter().find(|known| known.name == node.name && known.is_there());
        let fate = match (known, node.is_there()) {
            (None, true) => Fate::Joined,
            (Some(_), false) => Fate::Left,
            (Some(known), true) if known.started_unix_ms != node.started_unix_ms => {
                Fate::StartedAgain
            }
            _ => return None,
        };
        Some((node, fate))
    })
}

#[cfg(test)]
mod tests {
    use super::{Fate, changes};
    use crate::cluster::picture::Node;

    fn node(name: &str, age_ms: u64, started_unix_ms: u64) -> Node {
        Node { name: name.into(), age_ms, started_unix_ms, ..Node::default() }
    }

    fn fates(before: &[Node], now: &[Node]) -> Vec<(String, Fate)> {
        changes("s1", before, now).map(|(node, fate)| (node.name.clone(), fate)).collect()
    }

    #[test]
    fn others_come_start_again_and_go_once() {
        let silent = 3_600_000;
        let [own, here, anew, gone] =
            [node("s1", 0, 1), node("s2", 0, 1), node("s2", 0, 2), node("s2", silent, 2)];
        let is = |before: &Node, now: &Node, fate| {
            let found = fates(&[own.clone(), before.clone()], &[own.clone(), now.clone()]);
            assert_eq!(found, [("s2".to_owned(), fate)]);
        };
        assert_eq!(fates(&[], &[own.clone(), here.clone()]), [("s2".into(), Fate::Joined)]);
        is(&here, &anew, Fate::StartedAgain);
        is(&anew, &gone, Fate::Left);
        is(&gone, &here, Fate::Joined);
        for same in [&here, &gone] {
            assert_eq!(fates(std::slice::from_ref(same), std::slice::from_ref(same)), []);
        }
    }
}
