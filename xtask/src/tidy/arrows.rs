//! Which crates of the workspace may depend on which.

use super::crates::{Dependency, Package, Workspace};

const PROTOCOLS: [&str; 3] = ["quorate-raft", "quorate-paxos", "quorate-primary-backup"];

/// Logs and what stands in front of them.
const LOGS: [&str; 4] = [
    "quorate-raft",
    "quorate-paxos",
    "quorate-primary-backup",
    "quorate-replication",
];

/// What a crate may depend on inside the workspace, for itself and for its tests.
struct Arrows {
    normal: &'static [&'static str],
    dev: &'static [&'static str],
}

/// `None`: everything.
fn allowed(name: &str) -> Option<Arrows> {
    const CORE: &[&str] = &["quorate-core"];
    let arrows = |normal| Some(Arrows { normal, dev: &[] });
    match name {
        "quorate-core" | "quorate-handoff" => arrows(&[]),
        "quorate-transport" | "quorate-journal" => arrows(CORE),
        // It knows the contract only, and is tested over real logs.
        "quorate-replication" => Some(Arrows {
            normal: CORE,
            dev: &PROTOCOLS,
        }),
        protocol if PROTOCOLS.contains(&protocol) => arrows(CORE),
        "quorate-node" => Some(Arrows {
            normal: &[
                "quorate-core",
                "quorate-handoff",
                "quorate-journal",
                "quorate-transport",
            ],
            dev: &PROTOCOLS,
        }),
        // The simulated disk stands below the real journal.
        "quorate-sim" => Some(Arrows {
            normal: &["quorate-core", "quorate-journal"],
            dev: &LOGS,
        }),
        // These may see all.
        "quorate" | "quorate-kv" | "quorate-benches" | "xtask" => None,
        // A crate that nobody has thought about yet.
        _ => arrows(&[]),
    }
}

/// Every arrow that points where it must not.
pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    let inside: Vec<&str> = workspace
        .members
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    workspace
        .members
        .iter()
        .flat_map(|package| wrong_arrows(package, &inside))
        .collect()
}

fn wrong_arrows(package: &Package, inside: &[&str]) -> Vec<String> {
    let Some(arrows) = allowed(&package.name) else {
        return Vec::new();
    };
    let permitted = |dependency: &Dependency| {
        let name = dependency.name.as_str();
        let dev = dependency.kind.as_deref() == Some("dev");
        arrows.normal.contains(&name) || (dev && arrows.dev.contains(&name))
    };
    let wrong = package
        .dependencies
        .iter()
        // A crate may ask for itself, to switch its own features on in tests.
        .filter(|asked| inside.contains(&asked.name.as_str()) && asked.name != package.name)
        .filter(|asked| !permitted(asked));
    wrong
        .map(|asked| format!("{} must not depend on {}", package.name, asked.name))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    fn wrong(name: &str, dependency: &str, kind: Option<&str>) -> bool {
        let package: Package = serde_json::from_value(json!({
            "id": "x", "name": name, "version": "0.1.0", "license": null, "manifest_path": "x",
            "dependencies": [{"name": dependency, "kind": kind}],
        }))
        .unwrap();
        !wrong_arrows(&package, &["quorate-core", "quorate-raft", "quorate-paxos"]).is_empty()
    }

    #[test]
    fn protocols_never_see_one_another() {
        assert!(!wrong("quorate-raft", "quorate-core", None));
        assert!(!wrong("quorate-raft", "serde", None));
        assert!(wrong("quorate-raft", "quorate-paxos", None));
        assert!(wrong("quorate-raft", "quorate-paxos", Some("dev")));
    }

    #[test]
    fn the_runtime_meets_protocols_in_its_tests_only() {
        assert!(wrong("quorate-node", "quorate-raft", None));
        assert!(!wrong("quorate-node", "quorate-raft", Some("dev")));
    }

    #[test]
    fn the_adapters_meet_protocols_in_their_tests_only() {
        assert!(wrong("quorate-replication", "quorate-raft", None));
        assert!(!wrong("quorate-replication", "quorate-raft", Some("dev")));
    }

    #[test]
    fn a_crate_without_a_rule_may_depend_on_nothing_inside() {
        assert!(wrong("quorate-new", "quorate-core", None));
    }
}
