//! Under which licences the workspace may depend on others' work; the same list stands in deny.toml.

use anyhow::Result;

use super::crates::Workspace;

const ALLOWED: [&str; 12] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates under a licence that is not allowed in general. The MPL binds changes to their own files only; they are used
/// as they are.
const EXCEPTIONS: [(&str, &str); 2] = [("imbl", "MPL-2.0+"), ("imbl-sized-chunks", "MPL-2.0+")];

/// Every crate from elsewhere that offers no allowed licence.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for package in &workspace.foreign {
        let licence = package.license.as_deref().unwrap_or("no licence");
        if !permits(licence) && !EXCEPTIONS.contains(&(package.name.as_str(), licence)) {
            broken.push(format!("{} {}: {licence}", package.name, package.version));
        }
    }
    let listed = workspace.read("deny.toml".as_ref())?;
    let missing = ALLOWED
        .iter()
        .filter(|licence| !listed.contains(&format!("\"{licence}\"")));
    broken.extend(missing.map(|licence| format!("deny.toml does not allow {licence}")));
    for (name, _) in EXCEPTIONS {
        if !listed.contains(&format!("name = \"{name}\"")) {
            broken.push(format!("deny.toml makes no exception for {name}"));
        }
        if !workspace.foreign.iter().any(|package| package.name == name) {
            broken.push(format!(
                "nothing depends on {name} any more: its exception can go"
            ));
        }
    }
    Ok(broken)
}

/// Whether an SPDX expression can be met with allowed licences only. `OR` binds weaker than `AND`.
fn permits(expression: &str) -> bool {
    // The older way to write a choice.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_ascii_whitespace().collect();
    let mut parser = Parser { words: &words };
    let allowed = parser.choice();
    allowed && parser.words.is_empty()
}

struct Parser<'a> {
    words: &'a [&'a str],
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        match self.words {
            [first, rest @ ..] if *first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }

    fn choice(&mut self) -> bool {
        let mut allowed = self.all();
        while self.take("OR") {
            // Both sides are read, whatever the first one says.
            allowed |= self.all();
        }
        allowed
    }

    fn all(&mut self) -> bool {
        let mut allowed = self.one();
        while self.take("AND") {
            allowed &= self.one();
        }
        allowed
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let allowed = self.choice();
            return self.take(")") && allowed;
        }
        let [name, rest @ ..] = self.words else {
            return false;
        };
        self.words = rest;
        match self.words {
            ["WITH", exception, rest @ ..] => {
                self.words = rest;
                ALLOWED.contains(&format!("{name} WITH {exception}").as_str())
            }
            _ => ALLOWED.contains(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_as_spdx_says() {
        assert!(permits("MIT"));
        assert!(permits("MIT/Apache-2.0"));
        assert!(permits("GPL-3.0 OR MIT"));
        assert!(permits("(MIT OR GPL-3.0) AND Unicode-3.0"));
        assert!(permits("Apache-2.0 WITH LLVM-exception OR GPL-3.0"));
        assert!(!permits("MIT AND GPL-3.0"));
        assert!(!permits("Apache-2.0 WITH something-else"));
        assert!(!permits("no licence"));
        assert!(!permits("(MIT"));
        assert!(!permits(""));
    }
}
