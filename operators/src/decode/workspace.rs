//! Which org a workspace belongs to, as of any time. Owned here: the history that `workspace` control records make.

use crate::model::control::{ControlRecord, ControlValue};
use engine::key::Map;
use engine::time::Micros;

/// The org of each workspace over time.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceDirectory {
    versions: Map<String, Vec<(Micros, Option<String>)>>,
}

impl WorkspaceDirectory {
    /// Built from control records in any order; kinds other than `workspace` are passed over. Where several orgs
    /// claim a workspace, the claim made last holds, and when it is deleted the one before it holds again.
    pub fn new<'a>(records: impl IntoIterator<Item = &'a ControlRecord>) -> Self {
        let mut claims: Map<&str, Vec<(Micros, u64, &str, bool)>> = Map::default();
        for record in records {
            if let ControlValue::Workspace(claim) = &record.value {
                let claim = (record.at, record.position, record.org.as_str(), claim.is_some());
                claims.entry(&record.key).or_default().push(claim);
            }
        }
        let versions = claims.into_iter().map(|(workspace, claims)| (workspace.to_owned(), history(claims))).collect();
        WorkspaceDirectory { versions }
    }

    /// The org that the workspace belongs to at a time, if a record says so. A record holds from its own time on.
    pub fn lookup(&self, workspace: &str, at: Micros) -> Option<&str> {
        let versions = self.versions.get(workspace)?;
        let started = versions.partition_point(|(from, _)| *from <= at);
        versions[..started].last()?.1.as_deref()
    }
}

fn history(mut claims: Vec<(Micros, u64, &str, bool)>) -> Vec<(Micros, Option<String>)> {
    claims.sort_unstable();
    let mut standing: Vec<&str> = Vec::new();
    let mut versions = Vec::with_capacity(claims.len());
    for (at, _, org, claimed) in claims {
        standing.retain(|other| *other != org);
        if claimed {
            standing.push(org);
        }
        versions.push((at, standing.last().map(|org| (*org).to_owned())));
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: u64, position: u64, org: &str, key: &str, value: Option<()>) -> ControlRecord {
        let value = ControlValue::Workspace(value);
        ControlRecord { at: Micros(at), position, org: org.to_owned(), key: key.to_owned(), value }
    }

    #[test]
    fn the_org_is_that_of_the_time() {
        let mut records = vec![
            record(10, 0, "E1", "T1", Some(())),
            record(20, 1, "E2", "T1", Some(())),
            record(20, 2, "E3", "T1", Some(())),
            record(30, 3, "E3", "T1", None),
            record(40, 4, "E2", "T1", None),
            record(40, 5, "E1", "T1", None),
            record(15, 6, "E9", "T2", Some(())),
        ];
        for _ in 0..2 {
            let directory = WorkspaceDirectory::new(&records);
            let orgs = [9, 10, 19, 20, 30, 40].map(|at| directory.lookup("T1", Micros(at)));
            assert_eq!(orgs, [None, Some("E1"), Some("E1"), Some("E3"), Some("E2"), None]);
            assert_eq!(directory.lookup("T2", Micros(15)), Some("E9"));
            assert_eq!(directory.lookup("T3", Micros(15)), None);
            records.reverse();
        }
    }
}
