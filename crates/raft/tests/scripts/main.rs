//! Text scripts: commands in, the whole trace of messages, records and commits out.
//!
//! A script holds its own expected output: lines that begin with `> ` are commands, those with `#` comments, the rest is
//! what came out. `UPDATE_EXPECT=1 cargo test -p quorate-raft --test scripts` rewrites it; the diff is then to be
//! reviewed like code.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.
#![allow(unreachable_pub, dead_code)] // Modules that several test programs share.

mod clock;
mod cluster;
mod disks;
#[path = "../support/image.rs"]
mod image;
#[path = "../support/member.rs"]
mod member;
mod orders;
mod show;

use std::fmt::Write;
use std::path::Path;

use cluster::Cluster;
use expect_test::expect_file;

fn replay(script: &str) -> String {
    let mut cluster = Cluster::default();
    let mut page = String::new();
    let mut fresh = true;
    for line in script.lines() {
        if line.starts_with('#') {
            if !fresh {
                page.push('\n');
            }
            writeln!(page, "{line}").unwrap();
            fresh = true;
        } else if let Some(command) = line.strip_prefix("> ") {
            if !fresh {
                page.push('\n');
            }
            writeln!(page, "> {command}").unwrap();
            page.push_str(&cluster.run(command));
            fresh = false;
        }
    }
    page
}

#[test]
fn every_script_plays_as_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scripts.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    scripts.sort();
    assert!(scripts.len() >= 20, "scripts are found: {}", scripts.len());
    for path in scripts {
        let script = std::fs::read_to_string(&path).unwrap();
        let page = std::panic::catch_unwind(|| replay(&script));
        let page = page.unwrap_or_else(|_| panic!("in {}", path.display()));
        expect_file![&path].assert_eq(&page);
    }
}
